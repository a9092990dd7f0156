"""Rows of a pool that several processes share, and the reductions over them.

Each process has a contiguous share of the rows, and computes what concerns its rows alone. What is
decided from all rows comes from a reduction. Every process must call it, and gets the same result:
that of one process with all rows, to the last digit. So shares begin at multiples of the chunks in
which one process would read the rows, and of equal scores the one of the lower row wins.

What is exchanged hardly grows with the number of rows. For N = 10⁹ rows of D = 384 on 64 devices,
with B = 1000:

* A ranking by score (margin, entropy, least confidence): once B scores and B rows from each device,
  64·1000·12 bytes = 0.8 MB. It takes the time of the slowest share, 16 million rows, and some
  milliseconds.
* A greedy search (core-set): for each pick, a score and a row from each device, 64·16 bytes = 1 KB,
  and the features of one row to all, 1.5 KB. These are 2·B messages, each a latency of about 50 µs:
  0.1 s for a batch. Each device keeps 17 bytes for each of its rows, 0.3 GB.
* Draws ∝ mass (BADGE, Falcun): for each draw, of BADGE for each block of 256 proposals, the sum of
  each chunk of rows, N/8192·8 bytes = 1 MB from all together, and the rows that are drawn.
* Candidates to be clustered (ALFA-Mix, DropQuery): once their rows, 8 bytes for each.
* BAIT (Binary): once the sum F, added in pairs, of some D² numbers from each device, 0.3 GB in all.
  Then, for each block of at most 64 steps, 2·131,072 scores and rows from each device, 0.2 GB, the
  features and terms of the rows that are best of all, 0.4 GB, and how many of the steps are valid,
  8 bytes from each. With 2·B steps these are at least 32 blocks and 20 GB, 10 MB for a step: two
  seconds in all on a network of 100 Gbit/s. Every device computes the steps themselves, and keeps
  about 50 bytes for each of its rows, 0.8 GB.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from dal.functional import ranking
from dal.functional.rows import Rows

# Shares begin at multiples of it. What depends on the rows that are computed together, as the last
# digit of a matrix product does, is computed in chunks of so many rows or of a part of them.
CHUNK_ROWS = 1 << 13  # 25 MiB of float64 at D = 384


def part_of_chunk(max_rows: int) -> int:
    """A half, a quarter, ... of CHUNK_ROWS, or all: the first that is not above ``max_rows``.

    Example:
        >>> part_of_chunk(3000)
        2048
    """
    size = CHUNK_ROWS
    while size > max_rows:
        size //= 2
    return size


class Shares:
    """One process, which has all rows: every reduction is the identity.

    Attributes:
        num: How many processes there are.
        rank: Number of this one.
    """

    num = 1
    rank = 0

    def own(self, num_rows: int, chunk_rows: int) -> slice:
        """The rows of this process; may be none.

        Args:
            num_rows: N, of all processes.
            chunk_rows: Rows that are computed together.

        Example:
            >>> Shares().own(10, 4)
            slice(0, 10, None)
        """
        num_chunks = math.ceil(num_rows / chunk_rows)
        first, last = (n * num_chunks // self.num for n in (self.rank, self.rank + 1))
        return slice(min(first * chunk_rows, num_rows), min(last * chunk_rows, num_rows))

    def gathered(self, part: Tensor) -> Tensor:
        """The parts of all processes, one after the other.

        Args:
            part: Of this one, ``(n, ...)``; n may differ between processes.

        Returns:
            ``(sum of n, ...)``.
        """
        return part

    def placed(self, num: int) -> tuple[int, int]:
        """How many rows all processes have, and which of these is the first of this one.

        Args:
            num: How many this one has.
        """
        sizes = self.gathered(torch.tensor([num])).tolist()
        return sum(sizes), sum(sizes[: self.rank])

    def combined(self, part: Tensor) -> Tensor:
        """Entries that each are known to one process, in every process.

        Args:
            part: Of this one, ``(...)``, of equal shape in all; 0 what it does not know.
        """
        return part

    def row_of(self, owner: int, row: Tensor) -> Tensor:
        """What one process gives, in every process.

        Args:
            owner: The rank of that process.
            row: What it gives; elsewhere a tensor of the same shape and type.
        """
        del owner
        return row

    def highest(self, row: int, value: float) -> tuple[int, int, float]:
        """The highest of the values that the processes have found, the lower row of equals.

        Args:
            row: Where this process has found its own, among all rows.
            value: Its own; -infinity if it has none.

        Returns:
            The rank that has found it, its row, and the value.
        """
        found = self.gathered(torch.tensor([[value, row]], dtype=torch.float64)).tolist()
        values: Sequence[tuple[float, int]] = [(pair[0], -int(pair[1])) for pair in found]
        owner = max(range(len(values)), key=values.__getitem__)
        return owner, -values[owner][1], values[owner][0]


class ProcessShares(Shares):
    """The processes of the default group of ``torch.distributed``, of which each has a share.

    Args:
        device: Where the processes exchange tensors: that of the GPU with NCCL.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.num, self.rank = dist.get_world_size(), dist.get_rank()
        self.device = torch.device(device)

    def gathered(self, part: Tensor) -> Tensor:
        """The parts of all processes, one after the other."""
        own_size = torch.tensor([len(part)], device=self.device)
        sizes = [torch.zeros_like(own_size) for _ in range(self.num)]
        dist.all_gather(sizes, own_size)
        largest = max(int(size) for size in sizes)
        padded = torch.zeros(largest, *part.shape[1:], dtype=part.dtype, device=self.device)
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.num)]
        dist.all_gather(parts, padded)
        kept = [one[: int(size)] for one, size in zip(parts, sizes, strict=True)]
        return torch.cat(kept).to(part.device)

    def combined(self, part: Tensor) -> Tensor:
        """Entries that each are known to one process, in every process."""
        whole = part.to(self.device).contiguous().clone()
        dist.all_reduce(whole)  # exact: of the terms of a sum all are 0 but one
        return whole.to(part.device)

    def row_of(self, owner: int, row: Tensor) -> Tensor:
        """What one process gives, in every process."""
        sent = row.to(self.device).contiguous().clone()
        dist.broadcast(sent, owner)
        return sent.to(row.device)


ALONE = Shares()


def local(rows: Tensor, num_own: int, offset: int) -> Tensor:
    """Those of some rows that this process has, numbered within its share.

    Args:
        rows: Among the rows of all processes, ``(M,)``, int64.
        num_own: How many rows this process has.
        offset: The first of them.

    Example:
        >>> local(torch.tensor([7, 2, 9, 5]), num_own=4, offset=5)
        tensor([2, 0])
    """
    return rows[(rows >= offset) & (rows < offset + num_own)] - offset


def taken(matrix: Rows, rows: Tensor, offset: int, shares: Shares) -> Tensor:
    """A copy of some rows of all processes, in each of them.

    Args:
        matrix: The rows of this process, ``(n, ...)``.
        rows: Which ones, among those of all processes, ``(M,)``, int64; the same everywhere.
        offset: The first row of this process.
        shares: The processes.

    Returns:
        ``(M, ...)``, in the order of ``rows``.

    Example:
        >>> taken(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([2, 0]), 0, ALONE).tolist()
        [[3.0], [1.0]]
    """
    if shares.num == 1:
        return matrix[rows]
    ascending, order = rows.sort()
    found = shares.gathered(matrix[local(ascending, len(matrix), offset)])
    return torch.empty_like(found).index_copy_(0, order.to(found.device), found)


def lowest(scores: Tensor, num: int, offset: int, shares: Shares) -> tuple[Tensor, Tensor]:
    """Rows of the lowest scores of all processes, and these, lowest first.

    Args:
        scores: Of the rows of this process, ``(n,)``.
        num: How many rows to return, at most as many as all processes have.
        offset: The first row of this process.
        shares: The processes.

    Returns:
        Rows, ``(num,)``, int64, of equal scores the lower first, and scores, ``(num,)``.

    Example:
        >>> lowest(torch.tensor([2.0, 1.0, 3.0]), 2, 0, ALONE)
        (tensor([1, 0]), tensor([1., 2.]))
    """
    own = ranking.lowest(scores, min(num, len(scores)))
    # Ranks are in the order of their rows, so equal scores stay in that order, too.
    values, rows = shares.gathered(scores[own]), shares.gathered(own + offset)
    best = ranking.lowest(values, num)
    return rows[best], values[best]


def highest(scores: Tensor, num: int, offset: int, shares: Shares) -> tuple[Tensor, Tensor]:
    """Rows of the highest scores of all processes, and these, highest first: as :func:`lowest`.

    Example:
        >>> highest(torch.tensor([2.0, 1.0, 3.0]), 2, 0, ALONE)
        (tensor([2, 0]), tensor([3., 2.]))
    """
    rows, negated = lowest(-scores, num, offset, shares)
    return rows, -negated


def total(parts: Iterable[Tensor], first: int, like: Tensor, shares: Shares) -> Tensor:
    """Sum of tensors of which each process has some: the same to the last digit, whoever has which.

    They are added in pairs, 2 i and 2 i + 1, then the sums of pairs, and so on. At most 2 log₂ n
    sums are kept at a time, of n tensors.

    Args:
        parts: Those of this process, one after the other; they may be changed.
        first: How many the processes before this one have.
        like: A tensor of their shape and type.
        shares: The processes.

    Example:
        >>> total(torch.tensor([[1.0], [2.0], [4.0]]), 0, torch.empty(1), ALONE)
        tensor([7.])
    """
    own: list[_PartialSum] = []
    for number, part in enumerate(parts, first):
        _add_in_pairs(own, _PartialSum(0, number, part))
    keys = torch.empty(len(own), 3, dtype=torch.int64)
    for key, some in zip(keys, own, strict=True):
        key[:] = torch.tensor([shares.rank, some.level, some.number])
    sums: list[_PartialSum] = []
    for owner, level, number in shares.gathered(keys).tolist():
        value = own.pop(0).value if owner == shares.rank else torch.empty_like(like)
        _add_in_pairs(sums, _PartialSum(level, number, shares.row_of(owner, value)))
    whole = sums.pop().value
    while sums:
        whole = sums.pop().value.add_(whole)
    return whole


class _PartialSum(NamedTuple):
    """The sum of the 2^level parts from part number · 2^level on."""

    level: int
    number: int
    value: Tensor


def _add_in_pairs(sums: list[_PartialSum], new: _PartialSum) -> None:
    """Appends a sum to those of the parts before it, after adding it to its left neighbours."""
    while new.number % 2 and sums and sums[-1][:2] == (new.level, new.number - 1):
        new = _PartialSum(new.level + 1, new.number // 2, sums.pop().value.add_(new.value))
    sums.append(new)
