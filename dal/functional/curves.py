"""A learning curve in one number: its mean height, or the area under it.

[Huseljic2024] reports the area under the learning curve. Its published numbers are the mean over
all cycles, :func:`mean_height`.

References:
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", section 6.1.
"""

import torch
from torch import Tensor


def mean_height(heights: Tensor) -> Tensor:
    """Mean of a curve over its cycles, all with the same weight, however many labels they took.

    Args:
        heights: A metric after each cycle, ``(..., C)`` with C >= 1.

    Returns:
        Means, ``(...)``, in the unit of ``heights``.

    Raises:
        ValueError: If the curve has no cycle.

    Example:
        >>> mean_height(torch.tensor([0.2, 0.6, 0.7]))
        tensor(0.5000)
    """
    if heights.shape[-1] == 0:
        raise ValueError("Expected `heights` of at least one cycle, got none.")
    return heights.mean(-1)


def trapezoid(num_labeled: Tensor, heights: Tensor) -> Tensor:
    """Area under a curve over the number of labels, divided by the number of labels it spans.

    A curve of one cycle spans no labels; its height is returned.

    Args:
        num_labeled: Number of labels in each cycle, ``(C,)`` with C >= 1, increasing.
        heights: A metric after each cycle, ``(..., C)``.

    Returns:
        Normalised areas, ``(...)``, in the unit of ``heights``.

    Raises:
        ValueError: If the curve has no cycle, the lengths differ, or ``num_labeled`` does not
            increase.

    Example:
        >>> trapezoid(torch.tensor([10, 20, 40]), torch.tensor([0.2, 0.6, 0.7]))
        tensor(0.5667)
    """
    if num_labeled.shape != heights.shape[-1:] or len(num_labeled) == 0:
        raise ValueError(
            "Expected `num_labeled` (C,) and `heights` (..., C) with C >= 1, got "
            f"{tuple(num_labeled.shape)} and {tuple(heights.shape)}."
        )
    widths = num_labeled.diff()
    if (widths <= 0).any():
        raise ValueError(f"Expected `num_labeled` to increase, got {num_labeled.tolist()}.")
    if len(num_labeled) == 1:
        return heights[..., 0]
    area = torch.trapezoid(heights, num_labeled.to(heights.dtype), dim=-1)
    return area / widths.sum()
