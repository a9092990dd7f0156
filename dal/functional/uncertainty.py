"""How uncertain a classifier is about each row, from its class probabilities.

References:
    [Settles2009] Settles (2009), "Active learning literature survey", section 3.1.
    [Bahri2022] Bahri et al. (2022), "Is margin all you need?", section 2.
"""

import torch
from torch import Tensor


def margin(probs: Tensor) -> Tensor:
    """Difference between the two highest class probabilities, in [0, 1].

    The score of [Bahri2022].

    Args:
        probs: Class probabilities, ``(..., K)`` with K >= 2.

    Returns:
        Margins, ``(...)``; small means uncertain.

    Raises:
        ValueError: If K < 2.

    Example:
        >>> margin(torch.tensor([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]]))
        tensor([0.2000, 1.0000])
    """
    if probs.shape[-1] < 2:
        raise ValueError(f"Expected `probs` with at least 2 classes, got {tuple(probs.shape)}.")
    highest, second = probs.topk(2, dim=-1).values.unbind(-1)
    return highest - second


def entropy(probs: Tensor) -> Tensor:
    """Shannon entropy of the class distribution in nats, in [0, log K].

    The score of [Settles2009], equation 3.

    Args:
        probs: Class probabilities, ``(..., K)``; a probability of 0 contributes 0.

    Returns:
        Entropies, ``(...)``; large means uncertain.

    Example:
        >>> entropy(torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]))
        tensor([1.3863, 0.0000])
    """
    contributions: Tensor = torch.special.entr(probs)
    return contributions.sum(-1)


def least_confidence(probs: Tensor) -> Tensor:
    """Probability that the most likely class is wrong, 1 - max p, in [0, 1 - 1/K].

    The score of [Settles2009], equation 1.

    Args:
        probs: Class probabilities, ``(..., K)``.

    Returns:
        Scores, ``(...)``; large means uncertain.

    Example:
        >>> least_confidence(torch.tensor([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]]))
        tensor([0.5000, 0.0000])
    """
    return 1 - probs.amax(-1)
