import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dal.report import runs, statistics
from tests.report.conftest import Writer

# Demšar (2006), table 5(a): q at 0.05 for 2 to 10 classifiers.
PUBLISHED_Q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]


def auc_table(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """AUC by seed and strategy, in one line of pandas."""
    here = frame[frame["dataset"] == dataset]
    return here.groupby(["seed", "strategy"])["accuracy"].mean().unstack() * 100


def test_comparisons_are_those_of_scipy(frame: pd.DataFrame) -> None:
    compared = statistics.comparisons(frame).set_index(["dataset", "strategy"])
    assert len(compared) == 9
    for (dataset, strategy), row in compared.iterrows():
        aucs = auc_table(frame, dataset)
        ours, randoms = aucs[strategy], aucs["random"]
        assert row["num_runs"] == row["num_pairs"] == 6
        assert row["difference"] == pytest.approx((ours - randoms).mean())
        assert row["std"] == pytest.approx((ours - randoms).std())
        assert row["p_t"] == pytest.approx(stats.ttest_rel(ours, randoms).pvalue)
        assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(ours, randoms).pvalue)
    margin = compared.xs("margin", level="strategy")
    assert (margin["difference"] > 2).all()
    assert (margin["holm_t"] < 0.05).all()


def test_the_family_of_holm_is_a_dataset(frame: pd.DataFrame) -> None:
    for _, group in statistics.comparisons(frame).groupby("dataset"):
        for test in ("t", "wilcoxon"):
            assert group[f"holm_{test}"].tolist() == holm_by_hand(group[f"p_{test}"].tolist())


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
    assert statistics.holm(np.array(p)).tolist() == pytest.approx(holm_by_hand(p))


def test_holm_of_holms_paper() -> None:
    # Holm (1979) rejects the first at 0.05 / 3, the second at 0.05 / 2; the third stops it.
    assert statistics.holm(np.array([0.01, 0.06, 0.02])).tolist() == pytest.approx(
        [0.03, 0.06, 0.04]
    )
    assert math.isnan(statistics.holm(np.array([math.nan, 0.5]))[0])
    assert statistics.holm(np.array([math.nan, 0.5]))[1] == 0.5


def test_over_datasets_a_dataset_is_one_observation(frame: pd.DataFrame) -> None:
    compared = statistics.comparisons_over_datasets(frame).set_index("strategy")
    means = {dataset: auc_table(frame, dataset).mean() for dataset in ("first", "second", "third")}
    for strategy, row in compared.iterrows():
        differences = [mean[strategy] - mean["random"] for mean in means.values()]
        assert row["num_datasets"] == 3
        assert row["difference"] == pytest.approx(np.mean(differences))
        assert row["p_t"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_the_bootstrap_is_scipys(frame: pd.DataFrame) -> None:
    for dataset in ("first", "second"):
        aucs = auc_table(frame, dataset)
        differences = (aucs["margin"] - aucs["random"]).to_numpy()
        ours = statistics.bootstrap_interval(differences, np.mean)
        theirs = stats.bootstrap(
            (differences,), np.mean, method="percentile", n_resamples=50_000, rng=1
        ).confidence_interval
        assert ours == pytest.approx(tuple(theirs), abs=0.05 * differences.std())
        assert ours == statistics.bootstrap_interval(differences, np.mean)


def test_one_value_has_no_interval_and_no_test() -> None:
    one = np.array([1.0])
    assert all(map(math.isnan, statistics.bootstrap_interval(one, np.mean)))
    assert math.isnan(statistics.wilcoxon(one))
    assert math.isnan(statistics.paired_t(one))


def test_equal_curves_are_no_evidence() -> None:
    same = np.zeros(5)
    assert statistics.wilcoxon(same) == statistics.paired_t(same) == 1
    assert statistics.bootstrap_interval(same, np.mean) == (0, 0)


def test_pairs_for_wilcoxon_is_the_least_number_that_can_reject() -> None:
    for num_tests in (1, 3, 9):
        enough = statistics.pairs_for_wilcoxon(num_tests)
        best = [stats.wilcoxon(np.arange(1.0, num + 1)).pvalue for num in (enough - 1, enough)]
        assert num_tests * best[1] < 0.05 <= num_tests * best[0]


def test_pairs_for_t_is_the_least_number_that_rejects() -> None:
    differences = np.array([0.5, 1.5, 1.0, -0.4, 0.9])
    enough = statistics.pairs_for_t(differences, 2)
    assert enough is not None
    t = [
        differences.mean() * math.sqrt(num) / differences.std(ddof=1)
        for num in (enough - 1, enough)
    ]
    p = [2 * stats.t.sf(value, num - 1) for value, num in zip(t, (enough - 1, enough), strict=True)]
    assert 2 * p[1] <= 0.05 < 2 * p[0]
    assert statistics.pairs_for_t(np.array([1.0, -1.0, 0.001]), 1) is None


def test_seeds_pair_only_with_equal_pools(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(3):
        write_run([0.5, 0.5], "random", seed)
        write_run([0.5, 0.6], "margin", seed, pool=range(50, 60) if seed == 1 else None)
    write_run([0.5, 0.7], "margin", 7)
    frame = runs.read([tmp_path]).frame
    assert statistics.pairs(frame)["seed"].tolist() == [0, 2]
    (row,) = statistics.comparisons(frame).itertuples()
    assert (row.num_runs, row.num_pairs) == (4, 2)
    assert row.difference == pytest.approx(5)


def test_the_order_of_a_pool_does_not_count(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "random", pool=range(10))
    write_run([0.6], "margin", pool=range(9, -1, -1))
    assert len(statistics.pairs(runs.read([tmp_path]).frame)) == 1


def test_without_random_nothing_is_compared(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(2):
        write_run([0.5], "margin", seed)
    frame = runs.read([tmp_path]).frame
    assert statistics.baseline(frame, "toy") is None
    (row,) = statistics.comparisons(frame).itertuples()
    assert (row.num_runs, row.num_pairs) == (2, 0)
    assert math.isnan(row.difference)
    assert statistics.savings_summary(frame).empty


def test_penalties_by_a_double_loop(frame: pd.DataFrame) -> None:
    matrix, num_datasets = statistics.penalties(frame)
    quantile = stats.t.ppf(0.975, 5)
    expected = pd.DataFrame(0.0, index=matrix.index, columns=matrix.columns)
    for dataset in ("first", "second", "third"):
        here = frame[frame["dataset"] == dataset]
        for i, j in itertools.permutations(matrix.index, 2):
            for cycle in range(1, 8):
                at = here[here["cycle"] == cycle].set_index(["strategy", "seed"])["accuracy"]
                d = np.array([at[i, seed] - at[j, seed] for seed in range(6)])
                sigma = math.sqrt(sum((d - d.mean()) ** 2) / 5)
                if math.sqrt(6) * d.mean() / sigma > quantile:
                    expected.loc[i, j] += 1 / 7
    for i, j in itertools.permutations(matrix.index, 2):
        assert matrix.loc[i, j] == pytest.approx(expected.loc[i, j])
        assert num_datasets.loc[i, j] == 3
    assert expected.loc["margin", "entropy"] > 2
    assert np.isnan(np.diag(matrix)).all()


def test_the_quantile_of_five_runs_is_the_published_one() -> None:
    assert stats.t.ppf(1 - statistics.ALPHA / 2, 4) == pytest.approx(2.776, abs=5e-4)


def test_strategies_without_common_seeds_are_not_penalized(
    write_run: Writer, tmp_path: Path
) -> None:
    for seed in range(2):
        write_run([0.5, 0.5], "random", seed)
        write_run([0.5, 0.9], "margin", seed)
        write_run([0.5, 0.9], "badge", seed + 5)
    matrix, num_datasets = statistics.penalties(runs.read([tmp_path]).frame)
    assert matrix.loc["margin", "random"] == 1
    assert matrix.loc["random", "margin"] == 0
    assert math.isnan(matrix.loc["margin", "badge"])
    assert num_datasets.loc["margin", "badge"] == 0


def test_critical_differences_are_the_published_ones() -> None:
    for k, q in enumerate(PUBLISHED_Q, start=2):
        expected = q * math.sqrt(k * (k + 1) / (6 * 14))
        assert statistics.critical_difference(k, 14) == pytest.approx(expected, rel=3e-4)


def test_the_ranking_is_pandas_and_scipys(frame: pd.DataFrame) -> None:
    found = statistics.ranking(frame)
    assert found is not None
    means = pd.DataFrame(
        {name: auc_table(frame, name).mean() for name in ("first", "second", "third")}
    ).T
    expected = means.rank(axis=1, ascending=False).mean().sort_values()
    assert found.ranks.to_dict() == pytest.approx(expected.to_dict())
    assert found.ranks.index[0] == "margin"
    assert found.p_friedman == pytest.approx(stats.friedmanchisquare(*means.to_numpy().T).pvalue)
    assert (found.num_datasets, found.left_out, found.unpaired) == (3, [], [])


def test_a_strategy_that_a_dataset_lacks_is_not_ranked(frame: pd.DataFrame) -> None:
    lacks = (frame["dataset"] == "first") & (frame["strategy"] == "badge")
    found = statistics.ranking(frame[~lacks])
    assert found is not None
    assert found.left_out == ["badge"]
    assert statistics.ranking(frame[frame["dataset"] == "first"]) is None


def test_cliques_are_the_largest_groups_within_the_critical_difference() -> None:
    ranks = pd.Series({"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0})
    ranking = statistics.Ranking(ranks, 10, [], [], 0.01, 1.0)
    assert statistics.cliques(ranking) == [["a", "b"], ["b", "c"]]
    alike = ranking._replace(critical_difference=5.0)
    assert statistics.cliques(alike) == [["a", "b", "c", "d"]]


def test_label_savings_by_hand(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.2, 0.4, 0.5, 0.6], "random", 0)  # 10 to 40 labels
    write_run([0.2, 0.5, 0.7, 0.7], "margin", 0)  # 0.6 halfway between 20 and 30
    write_run([0.2, 0.4, 0.7, 0.6], "random", 1)  # its own 0.6 before the end
    write_run([0.2, 0.4, 0.5, 0.55], "margin", 1)  # never
    frame = runs.read([tmp_path]).frame
    rows = statistics.savings(frame).set_index(["strategy", "seed"])
    assert rows.loc[("margin", 0), "labels"] == pytest.approx(25)
    assert rows.loc[("margin", 0), "ratio"] == pytest.approx(25 / 40)
    assert math.isinf(rows.loc[("margin", 1), "labels"])
    assert rows.loc[("random", 0), "ratio"] == 1
    assert rows.loc[("random", 1), "labels"] == pytest.approx(20 + 10 * 0.2 / 0.3)
    summary = statistics.savings_summary(frame).set_index("strategy")
    assert summary.loc["margin", "num_reached"] == 1
    assert math.isinf(summary.loc["margin", "ratio"])  # half of the pairs: no median
    assert summary.loc["margin", "low"] == pytest.approx(25 / 40)
    assert math.isinf(summary.loc["margin", "high"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_first_reached_is_on_the_curve_and_first(heights: list[float], target: float) -> None:
    num_labeled = np.arange(1.0, len(heights) + 1)
    found = statistics.first_reached(num_labeled, np.array(heights), target)
    assert math.isinf(found) == (max(heights) < target)
    if math.isfinite(found):
        assert np.interp(found, num_labeled, heights) == pytest.approx(
            max(target, heights[0]) if found == 1 else target, abs=1e-6
        )
        assert all(h < target for h, num in zip(heights, num_labeled, strict=True) if num < found)


def test_times_are_means_of_cycles_that_select(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6, 0.7], "margin", 0, seconds=1.0)
    write_run([0.5, 0.6, 0.7], "margin", 1, seconds=3.0)
    (row,) = statistics.times(runs.read([tmp_path]).frame).itertuples()
    assert (row.device, row.num_runs, row.seconds) == ("cpu", 2, 2.0)
