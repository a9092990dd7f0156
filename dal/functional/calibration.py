"""The temperature of a softmax under which confidences are right most nearly as often as they say.

References:
    [Guo2017] Guo et al. (2017), "On calibration of modern neural networks".
    [Bae2025] Bae et al. (2025), "Uncertainty herding: one active learning method for all label
    budgets", whose candidates these are.
"""

import torch
from torch import Tensor

NUM_BINS = 15  # [Guo2017]
CHUNK_ENTRIES = 1 << 22
TEMPERATURES = tuple(tenths / 10 for tenths in range(10, 200))  # [Bae2025]: 1.0, 1.1, ..., 19.9


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T of 1.0, 1.1, ..., 19.9 with the lowest expected calibration error of softmax(f / T).

    Of equal ones the lowest; differences below 1e-12 are rounding.

    Args:
        logits: f, ``(N, K)`` with N >= 1.
        labels: Classes, ``(N,)``, int64 in [0, K).

    Returns:
        T. It is computed in float64, as :func:`dal.functional.scoring.calibration_error` would.

    Example:
        Half of the predictions are right, so that 0.5 is the confidence to have:

        >>> temperature(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([0, 1]))
        19.9
    """
    doubles = logits.double()
    highest, predicted = doubles.max(-1)  # (N,), at every temperature
    below = doubles - highest[:, None]  # (N, K)
    values = torch.tensor(TEMPERATURES, dtype=torch.float64, device=logits.device)
    edges = torch.arange(1, NUM_BINS, dtype=torch.float64, device=logits.device) / NUM_BINS
    errors = []
    for part in values.split(max(1, CHUNK_ENTRIES // logits.numel())):
        # The highest probability: exp(0) over the sum.
        confidences = 1 / (below / part[:, None, None]).exp().sum(-1)  # (T, N, K) -> (T, N)
        gaps = confidences.new_zeros(len(part), NUM_BINS)
        bins = torch.bucketize(confidences, edges)
        gaps.scatter_add_(1, bins, confidences - (predicted == labels).double())
        errors.append(gaps.abs().sum(1) / len(labels))
    rounded = [round(error, 12) for error in torch.cat(errors).tolist()]
    return TEMPERATURES[rounded.index(min(rounded))]
