"""Proper scores of predicted probabilities, one per row.

References:
    [Gneiting2007] Gneiting and Raftery (2007), "Strictly proper scoring rules,
    prediction, and estimation".
"""

import torch.nn.functional as F
from torch import Tensor


def brier(probs: Tensor, labels: Tensor) -> Tensor:
    """Squared distance of the probabilities from the one-hot label, in [0, 2].

    Strictly proper [Gneiting2007].

    Args:
        probs: Class probabilities, ``(N, K)``.
        labels: Classes, ``(N,)``, int64 in [0, K).

    Returns:
        Scores, ``(N,)``; 0 for a certain and right prediction.

    Example:
        >>> import torch
        >>> brier(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 0]))
        tensor([0.5000, 2.0000])
    """
    return (probs - F.one_hot(labels, probs.shape[-1])).square().sum(-1)
