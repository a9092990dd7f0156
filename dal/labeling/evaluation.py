"""How far the labeling of one's own data is: accuracies, and how much predictions still change.

Cross-validated accuracy is biased: the labeled items were selected, and are not like the others. An
audit sample is drawn uniformly and never fitted to, so its accuracy is an unbiased estimate of that
on the items from which it was drawn.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

Z = 1.959964  # 97.5% quantile of the standard normal distribution
NUM_FOLDS = 5


class Audit(NamedTuple):
    """Accuracy on an audit sample.

    Attributes:
        num: Labeled items of the sample.
        accuracy: Share of right predictions.
        low: Lower end of its 95% interval.
        high: Upper end.
    """

    num: int
    accuracy: float
    low: float
    high: float


def audit(num_right: int, num: int) -> Audit:
    """An accuracy with Wilson's score interval of 95%.

    Args:
        num_right: Right predictions, in [0, ``num``].
        num: Predictions, at least 1.

    References:
        Wilson (1927); Brown, Cai, DasGupta (2001), "Interval estimation for a binomial proportion",
        recommend it for small samples, where the normal interval is too short.

    Example:
        >>> num, accuracy, low, high = audit(9, 10)
        >>> f"{accuracy:.2f} in {low:.3f} to {high:.3f}"
        '0.90 in 0.596 to 0.982'
    """
    share = num_right / num
    middle = share + Z**2 / (2 * num)
    spread = Z * math.sqrt(share * (1 - share) / num + Z**2 / (4 * num**2))
    scale = 1 + Z**2 / num
    low, high = (middle - spread) / scale, (middle + spread) / scale
    # At 0 and 1 an end is the share itself, but for rounding.
    return Audit(num, share, min(max(low, 0.0), share), max(min(high, 1.0), share))


def folds(labels: Tensor, generator: torch.Generator, num: int = NUM_FOLDS) -> Tensor:
    """A fold of each labeled item for a stratified cross-validation.

    The items of a class are spread over the folds as evenly as they can be. The only item of a
    class is in no fold: it is always fitted to, since nothing else could predict it.

    Args:
        labels: ``(L,)``, int64, at least 0.
        generator: Draws which item is in which fold.
        num: Number of folds.

    Returns:
        ``(L,)``, int64 in [0, ``num``), -1 for items in no fold.

    Example:
        >>> folds(torch.tensor([0, 0, 1, 1, 2]), torch.Generator().manual_seed(0), 2)[-1]
        tensor(-1)
    """
    assigned = torch.full_like(labels, -1)
    offset = 0
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        if len(rows) == 1:
            continue
        rows = rows[torch.randperm(len(rows), generator=generator)]
        # Classes continue where the last one ended, so that folds are equally large.
        assigned[rows] = (torch.arange(len(rows)) + offset) % num
        offset += len(rows)
    return assigned
