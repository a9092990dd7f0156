"""The greedy solution of the k-center problem: rows that are far from all centres.

A distance to the nearest centre only falls as centres come in. So the rows that were far away at
some time are the only ones to look at again, and each only against the centres that it has not
seen.

References:
    [Sener2018] Sener and Savarese (2018), "Active learning for convolutional neural networks: a
    core-set approach", algorithm 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import distances, lazy, sampling
from dal.functional.rows import Rows

CHUNK_ROWS = 1 << 13  # 25 MiB of float64 at D = 384


class Selection(NamedTuple):
    """A batch, in the order in which it was chosen.

    Attributes:
        positions: ``(B,)``, int64, distinct, on the CPU.
        distances: Of each to its nearest centre when it was chosen, ``(B,)``, float64; to the mean
            for the first one if there were no centres; NaN for those drawn uniformly.
        num_uniform: How many were drawn uniformly, the last ones: all that is left coincides with a
            centre.
    """

    positions: Tensor
    distances: Tensor
    num_uniform: int


def select(
    features: Rows,
    labeled_features: Tensor,
    num: int,
    generator: torch.Generator,
    report: Callable[[int, int], None] | None = None,
) -> Selection:
    """Rows chosen one after the other, each the farthest from its nearest centre.

    Centres are the labeled rows and those chosen before. Without any the first is the row nearest
    to the mean. Ties go to the lower position. Distances are exact in float64.

    Args:
        features: Of the pool, ``(U, D)``, floating point; read once, and single rows after that.
        labeled_features: ``(L, D)``, L at least 0.
        num: How many rows to choose, in [1, U].
        generator: Of the uniform rest; on the CPU.
        report: Is told after each row how many are chosen, and of how many.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: 17·U bytes and a copy of the centres beside the features.

    Example:
        >>> features, labeled = torch.tensor([[0.0], [4.0], [9.0], [8.0]]), torch.tensor([[1.0]])
        >>> select(features, labeled, 2, torch.Generator())
        Selection(positions=tensor([2, 1]), distances=tensor([8., 3.], dtype=torch.float64), \
num_uniform=0)
    """
    num_rows, num_labeled = len(features), len(labeled_features)
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    centres = torch.empty(
        num_labeled + num, features.shape[1], dtype=features.dtype, device=features.device
    )
    centres[:num_labeled] = labeled_features
    num_centres = num_labeled
    at_choice = torch.full((num,), torch.nan, dtype=torch.float64)
    chosen: list[int] = []
    if num_labeled == 0:
        to_mean = _distances_to_mean(features)
        chosen.append(int(to_mean.argmin()))
        at_choice[0] = to_mean[chosen[0]]
        centres[0], num_centres = _row(features, chosen[0]), 1
    nearest = distances.nearest(features, centres[:num_centres])  # (U,)
    num_seen = torch.full((num_rows,), num_centres, device=features.device)  # (U,)
    nearest[chosen] = -torch.inf

    def update(rows: Tensor) -> None:
        # The centres that some of the rows have seen change nothing: a minimum is idempotent.
        unseen = centres[int(num_seen[rows].min()) : num_centres]
        nearest[rows] = nearest[rows].minimum(distances.nearest(features[rows], unseen))
        num_seen[rows] = num_centres

    while len(chosen) < num:
        # What coincides with a centre is not stale: no distance falls below 0.
        is_stale = (num_seen < num_centres) & (nearest > 0)
        row, distance = lazy.highest(nearest, is_stale, update)
        if distance == 0:
            break
        at_choice[len(chosen)] = distance
        chosen.append(row)
        nearest[row] = -torch.inf
        centres[num_centres] = _row(features, row)
        num_centres += 1
        if report is not None:
            report(len(chosen), num)
    positions = sampling.fill_uniformly(chosen, num, num_rows, generator)
    return Selection(positions, at_choice, num - len(chosen))


def _row(features: Rows, row: int) -> Tensor:
    return features[slice(row, row + 1)][0]


def _distances_to_mean(features: Rows) -> Tensor:
    """Of every row, ``(N,)``, float64; the rows are read twice."""
    parts = [slice(start, start + CHUNK_ROWS) for start in range(0, len(features), CHUNK_ROWS)]
    total = torch.stack([features[part].sum(0, dtype=torch.float64) for part in parts]).sum(0)
    mean = total / len(features)  # (D,)
    return torch.cat([distances.between(features[part], mean) for part in parts])
