"""Rows whose balls cover the most rows that no ball covers yet.

A row covers those less than δ away, itself among them. No graph is kept: one pass over blocks of
rows counts how many each row covers, and as rows get covered the counts fall.

References:
    [Yehuda2022] Yehuda et al. (2022), "Active learning through a covering lens", algorithm 1 and
    section 3.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import clustering, distances, lazy, sampling

# K-means on all rows up to that many, and else on a sample; on 256 rows for each cluster at least,
# as faiss does.
MAX_CLUSTERED_ROWS = 1 << 18
MIN_POINTS_PER_CLUSTER = 256

# No two rows of unit length are as far apart.
COVERS_ALL = 3.0


class Selection(NamedTuple):
    """A batch, in the order in which it was chosen.

    Attributes:
        positions: ``(B,)``, int64, distinct, on the CPU.
        num_covered: How many targets each covered that were not covered before, ``(B,)``, float64;
            NaN for those drawn uniformly.
        num_targets: How many rows, not covered by labeled ones, the counts are over.
        num_uniform: How many were drawn uniformly, the last ones: all targets are covered.
    """

    positions: Tensor
    num_covered: Tensor
    num_targets: int
    num_uniform: int


def pure_radius(
    units: Tensor, num_clusters: int, purity: float, num_rows: int, generator: torch.Generator
) -> float:
    """The largest δ at which enough balls are pure: hold rows of one cluster of k-means only.

    Let rᵢ be the distance of row i to the nearest row of another cluster. The ball of radius δ
    around row i, {j: ‖i − j‖ < δ}, holds a row of another cluster exactly if rᵢ < δ. So the share
    of pure balls is mean(rᵢ >= δ), and no search is needed. It is at least p exactly if n of the rᵢ
    are at least δ, n being the smallest number with n/N >= p. So the largest such δ is the n-th
    largest of the rᵢ.

    Args:
        units: ``(N, D)``, rows of unit length or 0.
        num_clusters: In [1, N].
        purity: The share p, in (0, 1].
        num_rows: How many balls to look at, drawn at random; all if there are no more. A ball holds
            all rows in any case. The share that is pure has a standard error of
            √(p(1 − p) / ``num_rows``).
        generator: Of the clusters and the draw; on the CPU.

    Returns:
        δ; 3, so that each ball holds all rows, if there is only one cluster.

    Memory: one float32 copy of the rows if they are not on the CPU, and of those that the clusters
    are fitted to.

    Example:
        Of four balls the radius of the first may be 8 and the others have another cluster nearer:

        >>> units = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-0.6, 0.8], [-1.0, 0.0]])
        >>> round(pure_radius(units, 2, 0.5, 4, torch.Generator().manual_seed(0)), 3)
        1.789
    """
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    max_points = max(MIN_POINTS_PER_CLUSTER, MAX_CLUSTERED_ROWS // num_clusters)
    clusters = clustering.clusters(units, num_clusters, seed, max_points).assignment
    clusters = clusters.to(units.device, torch.int32)  # (N,)
    sample = torch.randperm(len(units), generator=generator)[:num_rows].sort().values
    sample = sample.to(units.device)
    radii = distances.nearest(units[sample], units, clusters[sample], clusters)  # (num_rows,)
    shares = torch.arange(1, len(radii) + 1, dtype=torch.float64) / len(radii)
    num_pure = int(torch.searchsorted(shares, purity)) + 1
    return min(float(radii.sort(descending=True).values[num_pure - 1]), COVERS_ALL)


def select(
    units: Tensor,
    num_labeled: int,
    num: int,
    radius: float,
    num_targets: int | None,
    generator: torch.Generator,
    report: Callable[[int, int], None] | None = None,
) -> Selection:
    """Rows chosen one after the other, each covering the most targets not covered by then.

    Ties go to the lower position. A count never misses or adds a pair: which rows are less than
    the radius apart is decided as by exact distances, see :func:`distances.are_within`.

    Args:
        units: The labeled rows and then the pool, ``(L + U, D)``, of unit length or 0.
        num_labeled: L, at least 0. What these cover is no target.
        num: How many rows to choose, in [1, U].
        radius: δ.
        num_targets: T, how many of the rows not covered by labeled ones to count over, drawn at
            random; all if None or not fewer.
        generator: Of the targets and the uniform rest; on the CPU.
        report: Is told how many targets are counted, and then how many are chosen, and of how many.

    Raises:
        ValueError: If ``num`` is out of range.

    Time: 2·U·T·D operations for the counts at first, half of that if all of the pool are targets,
    and at most as many again for all rows chosen.

    Memory: a copy of the targets, 32·U bytes, and the products of a chunk.

    Example:
        >>> units = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0], [0.0, -1.0]])
        >>> select(units, 1, 2, 0.7, None, torch.Generator())
        Selection(positions=tensor([1, 3]), num_covered=tensor([2., 1.], dtype=torch.float64), \
num_targets=3, num_uniform=0)
    """
    labeled, pool = units[:num_labeled], units[num_labeled:]
    if not 1 <= num <= len(pool):
        raise ValueError(f"Expected `num` in [1, {len(pool)}], got {num}.")
    is_covered = distances.are_less(distances.nearest(pool, labeled), radius)  # (U,)
    targets = is_covered.logical_not().nonzero().flatten()  # (T,)
    if num_targets is not None and num_targets < len(targets):
        drawn = torch.randperm(len(targets), generator=generator)[:num_targets].sort().values
        targets = targets[drawn.to(targets.device)]
    counts = count_covered(pool, targets, radius, report).double()  # (U,), or more if stale
    target_units = pool[targets]  # (T, D)
    is_left = torch.ones(len(targets), dtype=torch.bool, device=pool.device)
    covered = targets[:0]  # which of the targets, in the order in which they were covered
    num_seen = torch.zeros(len(pool), dtype=torch.int64, device=pool.device)  # (U,)

    def update(rows: Tensor) -> None:
        start = int(num_seen[rows].min())
        for first in range(start, len(covered), distances.CHUNK_ROWS):
            numbers = covered[first : first + distances.CHUNK_ROWS]
            is_near = distances.are_within(pool[rows], target_units[numbers], radius)
            order = torch.arange(first, first + len(numbers), device=pool.device)
            is_near &= order >= num_seen[rows, None]
            counts[rows] -= distances.row_counts(is_near)
        num_seen[rows] = len(covered)

    chosen: list[int] = []
    at_choice = torch.full((num,), torch.nan, dtype=torch.float64)
    while len(chosen) < num:
        # No count falls below 0.
        is_stale = (num_seen < len(covered)) & (counts > 0)
        row, count = lazy.highest(counts, is_stale, update)
        if count == 0:
            break
        at_choice[len(chosen)] = count
        chosen.append(row)
        counts[row] = -torch.inf
        is_new = distances.are_within(pool[row : row + 1], target_units, radius)[0] & is_left
        is_left &= ~is_new
        covered = torch.cat([covered, is_new.nonzero().flatten()])
        if report is not None:
            report(len(chosen), num)
    positions = sampling.fill_uniformly(chosen, num, len(pool), generator)
    return Selection(positions, at_choice, len(targets), num - len(chosen))


def count_covered(
    rows: Tensor,
    targets: Tensor,
    radius: float,
    report: Callable[[int, int], None] | None = None,
) -> Tensor:
    """How many targets are less than the radius away, for every row.

    Args:
        rows: ``(N, D)``.
        targets: Which of the rows are targets, ``(T,)``, int64, ascending.
        radius: δ.
        report: Is told how many targets have been counted, and of how many.

    Returns:
        ``(N,)``, int64.

    Memory: the products of a chunk, and copies of the rows of two chunks.

    Example:
        >>> rows = torch.tensor([[0.0], [1.0], [3.0]])
        >>> count_covered(rows, torch.tensor([0, 1]), 2.5)
        tensor([2, 2, 1])
    """
    is_target = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    is_target[targets] = True
    # Targets first: what a target covers and what it is covered by is the same, counted once.
    order = torch.cat([targets, is_target.logical_not().nonzero().flatten()])  # (N,)
    norms = distances.half_norms(rows)[order]
    counts = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)  # in that order
    for start in range(0, len(targets), distances.CHUNK_ROWS):
        columns = slice(start, min(start + distances.CHUNK_ROWS, len(targets)))
        column_rows, column_norms = rows[order[columns]], norms[columns]
        is_near = distances.are_within(column_rows, column_rows, radius, column_norms, column_norms)
        counts[columns] += distances.row_counts(is_near)
        for first in range(columns.stop, len(rows), distances.CHUNK_ROWS):
            part = slice(first, first + distances.CHUNK_ROWS)
            is_near = distances.are_within(
                rows[order[part]], column_rows, radius, norms[part], column_norms
            )
            counts[part] += distances.row_counts(is_near)
            num_targets = max(0, len(targets) - first)
            counts[columns] += distances.column_counts(is_near[:num_targets])
        if report is not None:
            report(columns.stop, len(targets))
    return torch.empty_like(counts).scatter_(0, order, counts)
