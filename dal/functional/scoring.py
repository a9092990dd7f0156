"""Scores of predicted probabilities: the Brier score of each row, the calibration error of all.

References:
    [Gneiting2007] Gneiting and Raftery (2007), "Strictly proper scoring rules,
    prediction, and estimation".
    [Guo2017] Guo et al. (2017), "On calibration of modern neural networks".
"""

import torch
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
        >>> brier(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 0]))
        tensor([0.5000, 2.0000])
    """
    return (probs - F.one_hot(labels, probs.shape[-1])).square().sum(-1)


def calibration_sums(probs: Tensor, labels: Tensor, num_bins: int) -> Tensor:
    """What the calibration error needs of some predictions, in float64; sums of parts add up.

    A prediction with confidence p̂ = max p is in the bin b with b < p̂ · num_bins <= b + 1.

    Args:
        probs: Class probabilities, ``(N, K)``.
        labels: Classes, ``(N,)``, int64 in [0, K).
        num_bins: Number of bins between 0 and 1.

    Returns:
        ``(num_bins, 3)``: for each bin the number of predictions, the sum of their confidences, and
        how many are right.

    Example:
        >>> calibration_sums(torch.tensor([[0.25, 0.75], [0.0, 1.0]]), torch.tensor([1, 0]), 2)
        tensor([[0.0000, 0.0000, 0.0000],
                [2.0000, 1.7500, 1.0000]], dtype=torch.float64)
    """
    confidences, predicted = probs.max(-1)  # (N,)
    confidences = confidences.double()
    edges = torch.arange(1, num_bins, dtype=torch.float64, device=probs.device) / num_bins
    is_in_bin = F.one_hot(torch.bucketize(confidences, edges), num_bins).double()  # (N, num_bins)
    terms = torch.stack([torch.ones_like(confidences), confidences, predicted == labels], 1)
    return is_in_bin.mT @ terms


def calibration_error(sums: Tensor) -> Tensor:
    """Expected calibration error, in [0, 1]: mean gap of confidence and accuracy over the bins.

    Bins count by their number of predictions [Guo2017], equation 3.

    Args:
        sums: Of :func:`calibration_sums`.

    Example:
        >>> calibration_error(torch.tensor([[0.0, 0.0, 0.0], [2.0, 1.75, 1.0]]))
        tensor(0.3750)
    """
    return (sums[:, 1] - sums[:, 2]).abs().sum() / sums[:, 0].sum()
