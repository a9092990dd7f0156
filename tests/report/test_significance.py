import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dal.report import significance

# Student's t at 0.975, as in the tables of any textbook, for 2 to 6 observations.
PUBLISHED_T = [12.706, 4.303, 3.182, 2.776, 2.571]


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=6))
def test_the_interval_of_a_mean_is_students(halves: list[int]) -> None:
    values = [half / 2 for half in halves]
    num, mean = len(values), math.fsum(values) / len(values)
    error = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (num - 1) / num)
    low, high = significance.mean_interval(np.array(values))
    assert (low + high) / 2 == pytest.approx(mean, abs=1e-12)
    assert (high - low) / 2 == pytest.approx(PUBLISHED_T[num - 2] * error, rel=2e-4, abs=1e-12)


def test_the_interval_of_a_mean_is_dual_to_the_t_test() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        differences = generator.normal(1, 1, 5)
        low, high = significance.mean_interval(differences)
        p = stats.ttest_1samp(differences, 0).pvalue
        assert (low > 0 or high < 0) == (p < 0.05)


def test_the_interval_of_a_mean_holds_the_true_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(3, 2, (500, 5))
    ends = np.array([significance.mean_interval(sample) for sample in samples])
    covered = (ends[:, 0] <= 3) & (ends[:, 1] >= 3)
    # 0.95 ± 3 standard errors; a percentile bootstrap of five values covers about 0.84.
    assert 0.92 < covered.mean() < 0.98


def test_the_interval_of_a_median_is_scipys_bootstrap() -> None:
    values = np.random.default_rng(1).normal(0, 1, 9)
    ours = significance.median_interval(values)
    theirs = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.05)
    assert ours == significance.median_interval(values)


@pytest.mark.parametrize("num", [2, 3, 4, 5])
def test_the_interval_of_a_median_of_few_values_is_their_range(num: int) -> None:
    values = np.arange(num, dtype=float)
    assert significance.median_interval(values) == (0, num - 1)
    values[-1] = math.inf
    assert significance.median_interval(values) == (0, math.inf)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.inf)), min_size=1, max_size=8))
def test_a_median_may_be_infinite(values: list[float]) -> None:
    assert significance.median(np.array(values)) == statistics.median(values)


def test_one_value_has_no_interval_and_no_test() -> None:
    one = np.array([1.0])
    assert all(map(math.isnan, significance.mean_interval(one)))
    assert all(map(math.isnan, significance.median_interval(one)))
    assert math.isnan(significance.wilcoxon(one))
    assert math.isnan(significance.paired_t(one))


def test_equal_curves_are_no_evidence() -> None:
    same = np.zeros(5)
    assert significance.wilcoxon(same) == significance.paired_t(same) == 1
    assert significance.mean_interval(same) == significance.median_interval(same) == (0, 0)
    assert significance.mean_interval(same + 0.1) == (0.1, 0.1)


def wilcoxon_by_hand(differences: list[float]) -> float:
    """Over all 2ⁿ choices of signs, with midranks by counting."""
    kept = [x for x in differences if x]
    sizes = [abs(x) for x in kept]
    ranks = [sum(y < x for y in sizes) + (sum(y == x for y in sizes) + 1) / 2 for x in sizes]
    observed = sum(rank for rank, x in zip(ranks, kept, strict=True) if x > 0)
    sums = [sum(itertools.compress(ranks, s)) for s in itertools.product((0, 1), repeat=len(kept))]
    tail = min(sum(x <= observed for x in sums), sum(x >= observed for x in sums))
    return min(1.0, 2 * tail / len(sums))


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9))
def test_wilcoxon_by_hand_with_ties(differences: list[int]) -> None:
    found = significance.wilcoxon(np.array(differences, dtype=float))
    assert found == pytest.approx(wilcoxon_by_hand([float(x) for x in differences]))


@pytest.mark.parametrize("num", [2, 5, 9, 20, 50, 51, 200])
def test_wilcoxon_without_ties_is_scipys(num: int) -> None:
    differences = np.random.default_rng(num).normal(0.3, 1, num)
    assert significance.wilcoxon(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_rounding_makes_no_difference() -> None:
    """Runs with equal totals of right answers: 540 test rows, 21 cycles, 7 digits as in a file."""
    generator = np.random.default_rng(0)
    for _ in range(100):
        right = generator.integers(200, 520, 21)
        moved = right.copy()
        moved[3] += 7
        moved[9] -= 6
        moved[15] -= 1
        first, second = (
            100 * np.mean([float(f"{np.float32(num / 540):.7g}") for num in counts])
            for counts in (right, moved)
        )
        assert len(set(significance.merge_ties(np.array([first, 50.0, second])))) == 2
        noise = np.array([first - second, second - first, first - second])
        assert significance.wilcoxon(noise) == significance.paired_t(noise) == 1
        assert significance.wilcoxon(1 + noise) == 0.25
        assert significance.paired_t(1 + noise) == 0


def holm_by_hand(p: list[float]) -> list[float]:
    """An adjusted value is the least level at which the step-down procedure rejects."""
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted, largest = [0.0] * len(p), 0.0
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - step) * p[place]))
        adjusted[place] = largest
    return adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_hand(p: list[float]) -> None:
    assert significance.holm(np.array(p)).tolist() == pytest.approx(holm_by_hand(p))


def test_holm_of_holms_paper() -> None:
    # Holm (1979) rejects the first at 0.05 / 3, the second at 0.05 / 2; the third stops it.
    assert significance.holm(np.array([0.01, 0.06, 0.02])).tolist() == pytest.approx(
        [0.03, 0.06, 0.04]
    )
    assert math.isnan(significance.holm(np.array([math.nan, 0.5]))[0])
    assert significance.holm(np.array([math.nan, 0.5]))[1] == 0.5


def test_pairs_for_wilcoxon_is_the_least_number_that_can_reject() -> None:
    for num_tests in (1, 3, 9):
        enough = significance.pairs_for_wilcoxon(num_tests)
        best = [stats.wilcoxon(np.arange(1.0, num + 1)).pvalue for num in (enough - 1, enough)]
        assert num_tests * best[1] < 0.05 <= num_tests * best[0]


def test_pairs_for_t_is_the_least_number_that_rejects() -> None:
    differences = np.array([0.5, 1.5, 1.0, -0.4, 0.9])
    enough = significance.pairs_for_t(differences, 2)
    assert enough is not None
    t = [
        differences.mean() * math.sqrt(num) / differences.std(ddof=1)
        for num in (enough - 1, enough)
    ]
    p = [2 * stats.t.sf(value, num - 1) for value, num in zip(t, (enough - 1, enough), strict=True)]
    assert 2 * p[1] <= 0.05 < 2 * p[0]
    assert significance.pairs_for_t(np.array([1.0, -1.0, 0.001]), 1) is None
