"""Exact Euclidean distances at the price of a matrix product.

With the norms, a product of two matrices gives all distances between their rows, and how far each
is from the truth at most. Only where that does not decide, a distance is taken from the float64
differences of the two rows. So near-duplicates are told apart, and nothing depends on the size of
a chunk or on the number of threads.

The bound: for rows x, y let h = ‖x‖²/2 + ‖y‖²/2, so that ‖x − y‖²/2 = h − x·y. A product of D terms
has an error of at most D·u·‖x‖‖y‖ <= D·u·h, with u half of the type's ``eps``; the squared norms
together have one of D·u·h. The remaining operations, a common vector subtracted from x and y among
them, add less than 32·u·h. All together is at most (D + 16)·eps·h.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dal.functional.rows import Rows

CHUNK_ROWS = 1 << 10  # of both sides of a product: 4 MiB of float32, for the cache
CHUNK_PAIRS = 1 << 13  # whose differences are formed: 25 MiB of float64 at D = 384

# Distances that differ by this share are equal: sums of float64 in two orders do not agree.
EQUAL = 1e-12


def between(first: Tensor, second: Tensor) -> Tensor:
    """Distances of pairs of rows, from float64 differences.

    Args:
        first: ``(P, D)``.
        second: ``(P, D)``, or one row ``(D,)`` for all.

    Returns:
        ``(P,)``, float64.

    Example:
        >>> between(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([0.0, 0.0]))
        tensor([0., 5.], dtype=torch.float64)
    """
    return (first.double() - second.double()).square_().sum(-1).sqrt_()


def nearest(
    rows: Rows,
    others: Tensor,
    groups: Tensor | None = None,
    other_groups: Tensor | None = None,
) -> Tensor:
    """Distance of each row to the nearest of some other rows, exact in float64.

    Args:
        rows: ``(N, D)``, floating point; read once.
        others: ``(M, D)``.
        groups: Of the rows, ``(N,)``, int. With groups, only others of another group count.
        other_groups: Of the others, ``(M,)``.

    Returns:
        ``(N,)``, float64; infinite where no other counts.

    Memory: the products and differences of a chunk.

    Example:
        >>> nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [7.0]]))
        tensor([1., 2.], dtype=torch.float64)
        >>> points, groups = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 0, 1])
        >>> nearest(points, points, groups, groups)
        tensor([5., 4., 4.], dtype=torch.float64)
    """
    distances = torch.full((len(rows),), torch.inf, dtype=torch.float64, device=rows.device)
    if len(others) == 0:
        return distances
    # Norms around the common centre are small, and the bounds with them.
    centre = others.mean(0)
    error = _relative_error(rows)
    for part, to_part in _chunks(rows):
        centred = to_part - centre  # (n, D)
        norms = half_norms(centred)  # (n,)
        for other_part, to_other_part in _chunks(others):
            other_centred = to_other_part - centre  # (m, D)
            other_norms = half_norms(other_centred)  # (m,)
            # Half of the squared distance, less the row's half norm, is at least that.
            lower = torch.addmm(
                (1 - error) * other_norms, centred, other_centred.mT, alpha=-1
            )  # (n, m)
            if groups is not None and other_groups is not None:
                is_same = groups[part, None] == other_groups[other_part]
                lower.masked_fill_(is_same, torch.inf)
            known = distances[part]  # (n,)
            # The nearest is not above the upper bound of any, nor above what is known by now.
            upper = lower.amin(1) + 2 * error * (norms + other_norms.max())
            known_upper = (known.square() / 2 * (1 + error)).to(rows.dtype)
            upper = torch.minimum(upper, known_upper - (1 - error) * norms)
            upper = upper.clamp_max(torch.finfo(rows.dtype).max)
            upper[known == 0] = -torch.inf
            row, other = (lower <= upper[:, None]).nonzero(as_tuple=True)
            for pairs in _pairs(len(row)):
                exact = between(to_part[row[pairs]], to_other_part[other[pairs]])
                known.scatter_reduce_(0, row[pairs], exact, "amin")
    return distances


def half_norms(rows: Tensor) -> Tensor:
    """‖x‖²/2 of each row, ``(N,)``.

    Memory: the squares of a chunk.

    Example:
        >>> half_norms(torch.tensor([[3.0, 4.0]]))
        tensor([12.5000])
    """
    norms = rows.new_empty(len(rows))
    for part, of_part in _chunks(rows):
        norms[part] = of_part.square().sum(1) / 2
    return norms


def are_within(
    rows: Tensor,
    others: Tensor,
    radius: float,
    norms: Tensor | None = None,
    other_norms: Tensor | None = None,
) -> Tensor:
    """Which pairs of rows are less than a radius apart, each decided as by exact distances.

    A distance that equals the radius up to a share of 10⁻¹² is not less.

    Args:
        rows: ``(N, D)``, floating point.
        others: ``(M, D)``.
        radius: At least 0; may be infinite.
        norms: What :func:`half_norms` gives of the rows, for who has it already.
        other_norms: The same of the others.

    Returns:
        ``(N, M)``, bool.

    Memory: N·M entries of the rows' type and N·M bytes, twice.

    Example:
        >>> are_within(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]]), 3.0)
        tensor([[ True, False],
                [ True,  True]])
    """
    if len(rows) == 0 or len(others) == 0:
        return torch.zeros(len(rows), len(others), dtype=torch.bool, device=rows.device)
    norms = half_norms(rows) if norms is None else norms  # (N,)
    other_norms = half_norms(others) if other_norms is None else other_norms  # (M,)
    error = _relative_error(rows)
    # Half of the squared distance, less the row's half norm, is at least that.
    lower = torch.addmm((1 - error) * other_norms, rows, others.mT, alpha=-1)  # (N, M)
    limits = (radius * radius / 2 - (1 - error) * norms)[:, None]  # (N, 1)
    is_within = lower < limits - 2 * error * (norms.max() + other_norms.max())
    is_open = lower <= limits
    if is_open.count_nonzero() > is_within.count_nonzero():
        row, other = (is_open ^ is_within).nonzero(as_tuple=True)
        for pairs in _pairs(len(row)):
            exact = between(rows[row[pairs]], others[other[pairs]])
            is_within[row[pairs], other[pairs]] = are_less(exact, radius)
    return is_within


def row_counts(mask: Tensor) -> Tensor:
    """How many entries of each row are true, ``(N,)``, int32, for a mask ``(N, M)``.

    Example:
        >>> row_counts(torch.tensor([[True, False], [True, True]]))
        tensor([1, 2], dtype=torch.int32)
    """
    # As bytes: 20 times faster than the sum of booleans.
    return mask.view(torch.uint8).sum(1, dtype=torch.int32)


def column_counts(mask: Tensor) -> Tensor:
    """How many entries of each column are true, ``(M,)``, int32, for a mask ``(N, M)``.

    Example:
        >>> column_counts(torch.tensor([[True, False], [True, True]]))
        tensor([2, 1], dtype=torch.int32)
    """
    return mask.view(torch.uint8).sum(0, dtype=torch.int32)


def are_less(distances: Tensor, radius: float) -> Tensor:
    """Which distances are less than a radius, by more than a share of 10⁻¹².

    Example:
        >>> are_less(torch.tensor([0.1, 0.3], dtype=torch.float64), 0.1 + 0.2)
        tensor([ True, False])
    """
    return distances < radius * (1 - EQUAL)


def _relative_error(rows: Rows) -> float:
    """Of half a squared distance, as a share of the half squared norms."""
    return (rows.shape[1] + 16) * torch.finfo(rows.dtype).eps


def _chunks(rows: Rows) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(rows), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        yield part, rows[part]


def _pairs(num: int) -> Iterator[slice]:
    for start in range(0, num, CHUNK_PAIRS):
        yield slice(start, start + CHUNK_PAIRS)
