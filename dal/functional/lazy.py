"""The row of the highest value, where values only fall and are updated only if they may win."""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_ROWS = 256  # updated together


def highest(
    values: Tensor, is_stale: Tensor, update: Callable[[Tensor], None]
) -> tuple[int, float]:
    """The row of the highest value, the lower one of equals, and its value.

    A stale value is an upper bound. Those that could be the highest are updated, the largest
    bounds first, until none is left: a larger one, or an equal one at a lower row.

    Args:
        values: ``(N,)``, of which a fresh one or a stale one is above -infinity; changed by
            ``update``. Rows of -infinity never win.
        is_stale: ``(N,)``, bool; changed by this function.
        update: Sets the values of some rows, ``(R,)``, int64, ascending, to what they are now.

    Example:
        The bound 9 falls to 1, and the 5 wins before the bound 2 is looked at.

        >>> values, now = torch.tensor([5.0, 9.0, 2.0]), torch.tensor([5.0, 1.0, 2.0])
        >>> def update(rows): values[rows] = now[rows]
        >>> highest(values, torch.tensor([False, True, True]), update)
        (0, 5.0)
    """
    fresh = values.masked_fill(is_stale, -torch.inf)
    row = int(fresh.argmax())
    best = float(fresh[row])
    while True:
        is_rival = values > best
        is_rival[:row] |= (values[:row] == best) & (best > -torch.inf)
        is_rival &= is_stale
        rivals = is_rival.nonzero().flatten()
        if len(rivals) == 0:
            return row, best
        rivals = _largest(rivals, values[rivals])
        update(rivals)
        is_stale[rivals] = False
        updated = values[rivals]
        first = int(updated.argmax())
        # An equal one wins if it is the lower row.
        row, best = max([(row, best), (int(rivals[first]), float(updated[first]))], key=_rank)


def _rank(candidate: tuple[int, float]) -> tuple[float, int]:
    row, value = candidate
    return value, -row


def _largest(rows: Tensor, values: Tensor) -> Tensor:
    """The rows of the largest values, at most a block; lower rows of equal ones."""
    if len(rows) <= BLOCK_ROWS:
        return rows
    smallest = values.topk(BLOCK_ROWS).values[-1]
    is_above = values > smallest
    num_equal = BLOCK_ROWS - int(is_above.sum())
    is_above[(values == smallest).nonzero().flatten()[:num_equal]] = True
    return rows[is_above]
