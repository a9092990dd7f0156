"""Random draws of rows.

The randomness is a generator on the CPU, wherever the tensors are: equal seeds then give equal
draws on every device.
"""

import torch
from torch import Tensor


def draw_proportionally(cumulative: Tensor, generator: torch.Generator) -> int:
    """A row drawn with probability ∝ its mass; never one of mass 0.

    Args:
        cumulative: Cumulative sum of the masses, ``(N,)``, with a last entry above 0.
        generator: The randomness; takes one float64.

    Example:
        >>> draw_proportionally(torch.tensor([0.0, 3.0, 3.0]), torch.Generator())
        1
    """
    target = torch.rand((), generator=generator, dtype=torch.float64).to(cumulative.device)
    # From the right, and below the total: where the sum has just risen.
    return int(torch.searchsorted(cumulative, target * cumulative[-1], right=True))


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
