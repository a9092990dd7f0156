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
    g = gradients(probs, features)
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


def gradients(probs: Tensor, features: Tensor) -> Tensor:
    return torch.stack(
        [
            torch.kron(one_hot(int(p.argmax()), p) - p, h)
            for p, h in zip(probs, features, strict=True)
        ]
    )


def badge_by_rejection(
    probs: Tensor,
    features: Tensor,
    num: int,
    generator: torch.Generator,
    num_proposals: int,
    max_rejected: float,
) -> dict[int, float]:
    """k-means++ by rejection on explicit gradient embeddings, one proposal after the other.

    A proposal is drawn by the bounds before its block, and kept by its present distance.
    """
    g = gradients(probs, features)
    between = torch.stack([(g - c).square().sum(1) for c in g])
    between[between < 1e-12] = 0
    lengths = g.norm(dim=1)
    first = int(lengths.argmax())
    drawn = {first: lengths[first].item() ** 2}
    known: dict[int, float] = {}  # distances that have been computed
    num_rejected = 0

    def distance(row: int) -> float:
        return 0.0 if row in drawn else min(between[row, c].item() for c in drawn)

    def bound(row: int) -> float:
        lowest = min((lengths[row] + lengths[c]).item() ** 2 for c in drawn)
        return 0.0 if row in drawn else min(lowest, known.get(row, lowest))

    while len(drawn) < num:
        if num_rejected > max_rejected:
            known, num_rejected = {row: distance(row) for row in range(len(g))}, 0
        bounds = torch.tensor([bound(row) for row in range(len(g))], dtype=torch.float64)
        if bounds.sum() == 0:
            filled = fill_uniformly(list(drawn), num, len(g), generator)
            return {row: drawn.get(row, 0.0) for row in filled}
        shares, chances = torch.rand(2, num_proposals, generator=generator, dtype=torch.float64)
        block = []
        for share, chance in zip(shares.tolist(), chances.tolist(), strict=True):
            target, row = share * bounds.sum().item(), 0
            while bounds[: row + 1].sum() <= target:
                row += 1
            block.append(row)
            if len(drawn) == num:
                continue
            if chance * bounds[row] < distance(row):
                drawn[row] = distance(row)
            else:
                num_rejected += 1
        known |= {row: distance(row) for row in block}
    return drawn


selections: dict[str, Callable[[Any], list[int]]] = {
    "badge": lambda q: list(
        badge(q.pool_probs.double(), q.pool_features.double(), q.num, q.generator)
    ),
}
