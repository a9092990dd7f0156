"""The temperature of a softmax under which confidences are right most nearly as often as they say.

References:
    [Guo2017] Guo et al. (2017), "On calibration of modern neural networks".
    [Bae2025] Bae et al. (2025), "Uncertainty herding: one active learning method for all label
    budgets", whose candidates these are.
"""

from torch import Tensor

from dal.functional import scoring

NUM_BINS = 15  # [Guo2017]
TEMPERATURES = tuple(tenths / 10 for tenths in range(10, 200))  # [Bae2025]: 1.0, 1.1, ..., 19.9


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T of 1.0, 1.1, ..., 19.9 with the lowest expected calibration error of softmax(f / T).

    Of equal ones the lowest; differences below 1e-12 are rounding.

    Args:
        logits: f, ``(N, K)`` with N >= 1.
        labels: Classes, ``(N,)``, int64 in [0, K).

    Returns:
        T. It is computed in float64.

    Example:
        Half of the predictions are right, so that 0.5 is the confidence to have:

        >>> import torch
        >>> temperature(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([0, 1]))
        19.9
    """
    doubles = logits.double()
    sums = [
        scoring.calibration_sums((doubles / value).softmax(-1), labels, NUM_BINS)
        for value in TEMPERATURES
    ]
    errors = [round(float(scoring.calibration_error(each)), 12) for each in sums]
    return TEMPERATURES[errors.index(min(errors))]
