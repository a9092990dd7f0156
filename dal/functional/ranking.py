"""The rows with the lowest or the highest scores."""

from torch import Tensor


def lowest(scores: Tensor, num: int) -> Tensor:
    """Positions of the ``num`` lowest scores, lowest first; ties go to the lower position.

    Args:
        scores: One score per row, ``(N,)``.
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
    # Not topk: among equal scores its choice depends on the device. But only the scores up to the
    # last one that is taken need to be in order.
    if not 0 < num < len(scores):
        return scores.sort(stable=True).indices[:num]
    limit = scores.kthvalue(num).values
    candidates = (scores <= limit).nonzero().flatten()
    if len(candidates) < num:  # NaN among them, which is above all and comes last
        return scores.sort(stable=True).indices[:num]
    return candidates[scores[candidates].sort(stable=True).indices[:num]]


def highest(scores: Tensor, num: int) -> Tensor:
    """Positions of the ``num`` highest scores, highest first; ties go to the lower position.

    Args:
        scores: One score per row, ``(N,)``, floating point.
        num: How many positions to return, in [0, N].

    Returns:
        Positions, ``(num,)``, int64.

    Raises:
        ValueError: If ``num`` is outside [0, N].

    Example:
        >>> import torch
        >>> highest(torch.tensor([2.0, 1.0, 3.0, 3.0]), 3)
        tensor([2, 3, 0])
    """
    return lowest(-scores, num)
