"""Draws of rows, and BADGE."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.reference.bait import one_hot


def draw_proportionally(masses: Tensor, generator: torch.Generator) -> int:
    """The row at which the running sum of the masses passes a uniform share of their total."""
    share = torch.rand((), generator=generator, dtype=torch.float64)
    target = share * masses.double().sum()
    running = 0.0
    for row, mass in enumerate(masses.tolist()):
        running += mass
        if running > target:
            return row
    raise AssertionError


def fill_uniformly(
    chosen: list[int], num: int, num_rows: int, generator: torch.Generator
) -> list[int]:
    rest = [row for row in range(num_rows) if row not in chosen]
    order = torch.randperm(len(rest), generator=generator).tolist()
    return chosen + [rest[i] for i in order[: num - len(chosen)]]


def badge(
    probs: Tensor, features: Tensor, num: int, generator: torch.Generator
) -> dict[int, float]:
    """k-means++ on explicit gradient embeddings: each with its squared distance when drawn.

    All distances are computed from scratch for every draw.
    """
    gradients = [
        torch.kron(one_hot(int(p.argmax()), p) - p, h) for p, h in zip(probs, features, strict=True)
    ]
    g = torch.stack(gradients)
    norms = g.square().sum(1)
    first = int(norms.argmax())
    drawn = {first: norms[first].item()}
    while len(drawn) < num:
        squares = torch.stack([(g - g[c]).square().sum(1) for c in drawn]).amin(0)
        squares[squares < 1e-12] = 0
        squares[list(drawn)] = 0
        if squares.sum() == 0:
            filled = fill_uniformly(list(drawn), num, len(g), generator)
            return {row: drawn.get(row, 0.0) for row in filled}
        row = draw_proportionally(squares, generator)
        drawn[row] = squares[row].item()
    return drawn


selections: dict[str, Callable[[Any], list[int]]] = {
    "badge": lambda q: list(
        badge(q.pool_probs.double(), q.pool_features.double(), q.num, q.generator)
    ),
}
