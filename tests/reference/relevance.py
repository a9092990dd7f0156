"""Falcun, with all distances from scratch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.reference.scoring import margin
from tests.reference.seeding import draw_proportionally, fill_uniformly


def falcun(
    probs: Tensor, num: int, generator: torch.Generator, gamma: float = 10.0
) -> dict[int, float]:
    """Each row with its relevance when it was drawn, NaN for those drawn uniformly."""
    p = probs.double()
    unsure = [1 - difference for difference in margin(p)]
    drawn: dict[int, float] = {}
    while len(drawn) < num:
        left = [row for row in range(len(p)) if row not in drawn]
        distance = {
            row: min([unsure[row], *((p[row] - p[other]).abs().sum().item() for other in drawn)])
            for row in left
        }
        low, high = min(distance.values()), max(distance.values())
        spread = high - low
        relevances = torch.zeros(len(p), dtype=torch.float64)
        for row in left:
            scaled = (distance[row] - low) / spread if spread > 1e-6 else 0.0
            relevances[row] = unsure[row] + scaled
        if relevances.sum() == 0:
            filled = fill_uniformly(list(drawn), num, len(p), generator)
            return {row: drawn.get(row, float("nan")) for row in filled}
        row = draw_proportionally((relevances / relevances.max()) ** gamma, generator)
        drawn[row] = relevances[row].item()
    return drawn


selections: dict[str, Callable[[Any], list[int]]] = {
    "falcun": lambda q: list(falcun(q.pool_probs, q.num, q.generator)),
}
