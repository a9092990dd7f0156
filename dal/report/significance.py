"""Tests, intervals and their corrections: arrays of differences in, numbers out.

References:
    Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure".
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 0.05  # of every test
LEVEL = 0.95  # of every interval
NUM_RESAMPLES = 10_000
# AUC in percent that are closer than this are equal. Accuracies have 7 digits in curve.csv, which
# moves their mean by up to 5e-6; on a test set of 50,000, with 20 cycles, the least real difference
# is 1e-4. Rounding to a number of decimals would not do: of 2000 pairs of runs with equal totals of
# right answers, rounding to 6 decimals told 697 apart, since values at an edge are rounded apart.
TOLERANCE = 1e-5
MAX_EXACT_PAIRS = 50  # beyond, the normal distribution is as good, and scipy takes it as well

Floats = NDArray[np.float64]


def merge_ties(values: Floats) -> Floats:
    """The values, those that differ by a rounding error only being made equal.

    Args:
        values: Any, ``(n,)``, NaN not among them.

    Example:
        >>> merge_ties(np.array([2.0, 1.0, 2.000001])).tolist()
        [2.0, 1.0, 2.0]
    """
    order = np.argsort(values, kind="stable")
    merged = values.astype(float)
    for before, here in itertools.pairwise(order):
        if values[here] - values[before] < TOLERANCE:
            merged[here] = merged[before]
    return merged


def wilcoxon(differences: Floats) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; missing for fewer than 2 pairs.

    Differences of zero are discarded, as Wilcoxon does, and equal ones share the mean of their
    ranks; if all are zero, it is 1. Up to 50 pairs it is exact, with ties too, by counting in how
    many of the 2ⁿ choices of signs each sum of ranks comes out. Beyond, it is the normal
    approximation.

    Args:
        differences: One per pair, ``(n,)``.

    Example:
        >>> wilcoxon(np.array([1.0, 1.0, 2.0, 3.0, 4.0]))
        0.0625
    """
    if len(differences) < 2:
        return math.nan
    sizes = merge_ties(np.append(np.abs(differences), 0.0))[:-1]
    is_other = sizes >= TOLERANCE
    if not is_other.any():
        return 1.0
    sizes, signs = sizes[is_other], np.sign(differences[is_other])
    if len(sizes) > MAX_EXACT_PAIRS:
        return float(stats.wilcoxon(signs * sizes, method="asymptotic").pvalue)
    # Twice the ranks, which are integers also where a tie shares a mean of ranks.
    ranks = (2 * stats.rankdata(sizes)).astype(int)
    # (sum of ranks + 1,): the probability of each sum of the ranks of positive differences
    probs = np.ones(1)
    for rank in ranks:
        probs = (np.pad(probs, (0, rank)) + np.pad(probs, (rank, 0))) / 2
    positive = int(ranks[signs > 0].sum())
    tail = min(probs[: positive + 1].sum(), probs[positive:].sum())
    return min(1.0, 2 * float(tail))


def paired_t(differences: Floats) -> float:
    """The two-sided p-value of the paired t-test; missing for fewer than 2 pairs.

    If all differences are the same but for rounding, it is 0, or 1 if they are zero.

    Args:
        differences: One per pair, ``(n,)``.
    """
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) < TOLERANCE:
        return 0.0 if abs(differences.mean()) >= TOLERANCE else 1.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def mean_interval(values: Floats) -> tuple[float, float]:
    """The t 95% interval of a mean; missing for fewer than 2 values.

    mean ± t · s / √n, with the quantile of t with n − 1 degrees of freedom: exact at any n where
    the values are normal, and it excludes zero exactly where :func:`paired_t` is below 0.05,
    before any correction.

    Args:
        values: Observations, ``(n,)``.

    Example:
        >>> low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)
    """
    if len(values) < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0:  # the distribution has no scale then, and scipy no interval
        return float(values[0]), float(values[0])
    low, high = stats.t.interval(LEVEL, len(values) - 1, values.mean(), stats.sem(values))
    return float(low), float(high)


def median_interval(values: Floats) -> tuple[float, float]:
    """The percentile bootstrap 95% interval of a median; missing for fewer than 2 values.

    Its ends are medians of some of the 10,000 seeded resamples, so that values may be infinite
    (censored). No interval between the least and the greatest of n values holds the true median
    more often than 1 − 2¹⁻ⁿ of the time: 5 values allow 94% at most, and 3 values 75%.

    Args:
        values: Observations, ``(n,)``, which may be infinite.
    """
    if len(values) < 2:
        return math.nan, math.nan
    # A generator of its own: an interval does not depend on which others are computed.
    picks = np.random.default_rng(0).integers(len(values), size=(NUM_RESAMPLES, len(values)))
    medians = median(values[picks], axis=1)
    ends = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return float(ends[0]), float(ends[1])


def median(values: Floats, axis: int = 0) -> Floats:
    """The median; of an even number, the mean of the middle two, infinite if one of them is.

    ``np.median`` of values some of which are infinite warns, or gives NaN.

    Example:
        >>> float(median(np.array([3.0, 1.0, np.inf, 2.0])))
        2.5
    """
    num = values.shape[axis]
    ordered = np.sort(values, axis=axis)
    middle: Floats = (ordered.take((num - 1) // 2, axis) + ordered.take(num // 2, axis)) / 2
    return middle


def holm(p: Floats) -> Floats:
    """p-values that hold for a whole family of tests, by Holm's step-down procedure.

    The i-th smallest of m becomes the largest of (m − j + 1) p_j over j ≤ i, and at most 1.
    Missing ones stay missing and do not count.

    Args:
        p: p-values of the family, ``(m,)``.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
        [0.03, 0.06, 0.06, nan]
    """
    corrected = np.full(len(p), math.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = np.arange(len(order), 0, -1) * p[order]
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected


def pairs_for_wilcoxon(num_tests: int) -> int:
    """How many pairs a signed-rank test needs to be able to fall below 0.05 after Holm.

    With n pairs its smallest two-sided p-value is 2 / 2ⁿ, and the smallest of a family of
    ``num_tests`` is multiplied by their number.

    Example:
        >>> pairs_for_wilcoxon(1), pairs_for_wilcoxon(9)
        (6, 9)
    """
    num = 1
    while num_tests * 2.0 ** (1 - num) >= ALPHA:
        num += 1
    return num


def pairs_for_t(differences: Floats, num_tests: int) -> int | None:
    """How many pairs would make a t-test significant, if mean and spread stayed as observed.

    The smallest n with |mean| √n / std ≥ the two-sided t quantile at 0.05 / num_tests; None if that
    is more than 1000. It is optimistic: the next mean is as likely to be smaller as to be larger.

    Args:
        differences: One per pair, ``(n,)`` with n ≥ 2.
        num_tests: Tests in the family of Holm's correction.
    """
    mean, std = abs(differences.mean()), differences.std(ddof=1)
    for num in range(2, 1001):
        if mean * math.sqrt(num) >= std * stats.t.ppf(1 - ALPHA / num_tests / 2, num - 1):
            return num
    return None
