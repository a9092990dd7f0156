"""Which rows a score puts first."""

from torch import Tensor


def lowest(scores: Tensor, num: int) -> Tensor:
    """Positions of the ``num`` lowest scores, lowest first; ties go to the lower position.

    Args:
        scores: One score a row, ``(N,)``.
        num: How many positions to return, in [0, N].

    Returns:
        Positions, ``(num,)``, int64.

    Raises:
        ValueError: If ``num`` is outside [0, N].

    Example:
        >>> import torch
        >>> lowest(torch.tensor([2.0, 1.0, 3.0, 1.0]), 3)
        tensor([1, 3, 0])
    """
    if not 0 <= num <= len(scores):
        raise ValueError(f"Expected `num` in [0, {len(scores)}], got {num}.")
    # Not topk: among equal scores its choice depends on the device.
    return scores.sort(stable=True).indices[:num]


def highest(scores: Tensor, num: int) -> Tensor:
    """Positions of the ``num`` highest scores, highest first; ties go to the lower position.

    Args:
        scores: One score a row, ``(N,)``, floating point.
        num: How many positions to return, in [0, N].

    Returns:
        Positions, ``(num,)``, int64.

    Raises:
        ValueError: If ``num`` is outside [0, N].
    """
    return lowest(-scores, num)
