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

from dal.functional import distances, lazy, sampling, sharding
from dal.functional.rows import Rows
from dal.functional.sharding import Shares


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
    shares: Shares = sharding.ALONE,
) -> Selection:
    """Rows chosen one after the other, each the farthest from its nearest centre.

    Centres are the labeled rows and those chosen before. Without any the first is the row nearest
    to the mean. Ties go to the lower position. Distances are exact in float64.

    Args:
        features: Of the pool, ``(U, D)``, floating point; read once, and single rows after that. Of
            several processes, each has those of its own share: U rows are all of them together.
        labeled_features: ``(L, D)``, L at least 0.
        num: How many rows to choose, in [1, U].
        generator: Of the uniform rest; on the CPU.
        report: Is told after each row how many are chosen, and of how many.
        shares: The processes that select together, each with whole chunks of CHUNK_ROWS rows.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: 17·U bytes and a copy of the centres beside the features.

    Example:
        >>> features, labeled = torch.tensor([[0.0], [4.0], [9.0], [8.0]]), torch.tensor([[1.0]])
        >>> select(features, labeled, 2, torch.Generator())
        Selection(positions=tensor([2, 1]), distances=tensor([8., 3.], dtype=torch.float64), \
num_uniform=0)
    """
    num_rows, offset = shares.placed(len(features))
    num_labeled = len(labeled_features)
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
        nearness = -_distances_to_mean(features, num_rows, shares)
        row = int(nearness.argmax()) if len(features) else 0
        value = float(nearness[row]) if len(features) else -torch.inf
        owner, first, value = shares.highest(row + offset, value)
        chosen.append(first)
        at_choice[0] = -value
        centres[0], num_centres = _row(features, first - offset, owner, shares), 1
    nearest = distances.nearest(features, centres[:num_centres])  # (U,)
    num_seen = torch.full_like(nearest, num_centres, dtype=torch.int64)  # (U,)
    nearest[[row - offset for row in chosen if 0 <= row - offset < len(nearest)]] = -torch.inf

    def update(rows: Tensor) -> None:
        # The centres that some of the rows have seen change nothing: a minimum is idempotent.
        unseen = centres[int(num_seen[rows].min()) : num_centres]
        nearest[rows] = nearest[rows].minimum(distances.nearest(features[rows], unseen))
        num_seen[rows] = num_centres

    while len(chosen) < num:
        # What coincides with a centre is not stale: no distance falls below 0.
        is_stale = (num_seen < num_centres) & (nearest > 0)
        own, distance = lazy.highest(nearest, is_stale, update) if len(nearest) else (0, -torch.inf)
        owner, row, distance = shares.highest(own + offset, distance)
        if distance == 0:
            break
        at_choice[len(chosen)] = distance
        chosen.append(row)
        if owner == shares.rank:
            nearest[own] = -torch.inf
        centres[num_centres] = _row(features, row - offset, owner, shares)
        num_centres += 1
        if report is not None:
            report(len(chosen), num)
    positions = sampling.fill_uniformly(chosen, num, num_rows, generator)
    return Selection(positions, at_choice, num - len(chosen))


def _row(features: Rows, row: int, owner: int, shares: Shares) -> Tensor:
    """A row of the process ``owner``, there the number ``row`` of its share, in all processes."""
    if owner != shares.rank:
        found = torch.empty(features.shape[1], dtype=features.dtype, device=features.device)
    else:
        found = features[slice(row, row + 1)][0]
    return shares.row_of(owner, found)


def _distances_to_mean(features: Rows, num_rows: int, shares: Shares) -> Tensor:
    """Of every row to the mean of all, ``(N,)``, float64; the rows are read twice."""
    size = sharding.CHUNK_ROWS
    parts = [slice(start, start + size) for start in range(0, len(features), size)]
    none = torch.empty(0, features.shape[1], dtype=torch.float64, device=features.device)
    sums = [features[part].sum(0, dtype=torch.float64)[None] for part in parts]
    mean = shares.gathered(torch.cat([none, *sums])).sum(0) / num_rows  # (D,)
    return torch.cat([none[:, 0], *(distances.between(features[part], mean) for part in parts)])
