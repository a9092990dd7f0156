"""Random draws of rows.

The randomness is a generator on the CPU, wherever the tensors are: equal seeds then give equal
draws on every device.
"""

import math

import torch
from torch import Tensor

from dal.functional import sharding
from dal.functional.sharding import Shares


class Draws:
    """Draws of rows with probability ∝ mass, from cumulative sums of the masses.

    The sums are rounded alike whatever processes share the rows: within chunks of CHUNK_ROWS rows,
    and from chunk to chunk.

    Args:
        num_rows: How many rows this process has.
        device: Where their masses are.
        shares: The processes that draw together, each with whole chunks of CHUNK_ROWS rows.

    Memory: one float64 per row.

    Example:
        >>> draws = Draws(3, torch.device("cpu"))
        >>> draws.update(torch.tensor([0.0, 3.0, 0.0]))
        3.0
        >>> draws.rows(torch.tensor([0.0, 0.9], dtype=torch.float64))
        tensor([1, 1])
    """

    def __init__(
        self, num_rows: int, device: torch.device, shares: Shares = sharding.ALONE
    ) -> None:
        chunk_rows = sharding.CHUNK_ROWS
        num_chunks = math.ceil(num_rows / chunk_rows)
        self.shares = shares
        self._num_rows = num_rows
        self._num_chunks = num_chunks
        self._offset = shares.placed(num_rows)[1]
        self._first_chunk = shares.placed(num_chunks)[1]
        # One chunk more than are needed: a GPU adds up a matrix of one row in another order.
        self._sums = torch.zeros(num_chunks + 1, chunk_rows, dtype=torch.float64, device=device)
        self._ends = torch.zeros(0, dtype=torch.float64)  # of all chunks, on the CPU

    def update(self, masses: Tensor) -> float:
        """Takes the masses that the next draws are ∝ to, and returns their sum over all processes.

        Args:
            masses: Of the rows of this process, ``(n,)``, at least 0.
        """
        flat = self._sums.view(-1)
        flat[: self._num_rows] = masses
        flat[self._num_rows :] = 0
        sums = self._sums.cumsum_(1)[:-1]  # (C, CHUNK_ROWS)
        self._ends = self.shares.gathered(sums[:, -1]).cpu().cumsum(0)
        starts = torch.cat([self._ends.new_zeros(1), self._ends])[self._first_chunk :]
        sums += starts[: self._num_chunks, None].to(sums.device)
        return float(self._ends[-1])

    def rows(self, uniforms: Tensor) -> Tensor:
        """Rows drawn independently of each other, in every process; never one of mass 0.

        Args:
            uniforms: The randomness, ``(M,)``, float64 in [0, 1), on the CPU.

        Returns:
            Rows among those of all processes, ``(M,)``, int64, on the CPU.
        """
        targets = uniforms * self._ends[-1]
        # From the right, and below the total: where the sum has just risen.
        chunks = torch.searchsorted(self._ends, targets, right=True) - self._first_chunk
        is_own = (chunks >= 0) & (chunks < self._num_chunks)
        sums = self._sums[:-1].view(-1)
        found = torch.searchsorted(sums, targets[is_own].to(sums.device), right=True)
        rows = torch.zeros(len(targets), dtype=torch.int64)
        rows[is_own] = found.cpu() + self._offset
        return self.shares.combined(rows)

    def row(self, generator: torch.Generator) -> int:
        """One row.

        Args:
            generator: The randomness; takes one float64.
        """
        return int(self.rows(torch.rand((), generator=generator, dtype=torch.float64)[None]))


def fill_uniformly(
    chosen: list[int], num: int, num_rows: int, generator: torch.Generator
) -> Tensor:
    """The chosen rows, and then others, drawn uniformly without replacement.

    Args:
        chosen: Distinct rows in [0, ``num_rows``); at most ``num``.
        num: How many rows there should be, at most ``num_rows``.
        num_rows: How many rows there are to draw from.
        generator: The randomness; takes a permutation of the other rows, even to draw none.

    Returns:
        ``(num,)``, int64, distinct, on the CPU.

    Example:
        >>> fill_uniformly([3, 0], 3, 4, torch.Generator().manual_seed(0))
        tensor([3, 0, 1])
    """
    is_left = torch.ones(num_rows, dtype=torch.bool)
    is_left[chosen] = False
    rest = is_left.nonzero().flatten()  # (num_rows - len(chosen),)
    order = torch.randperm(len(rest), generator=generator)[: num - len(chosen)]
    return torch.cat([torch.tensor(chosen, dtype=torch.int64), rest[order]])
