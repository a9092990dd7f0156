import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dal.report import savings, significance, tables
from dal.report.results import Results
from tests.report.conftest import Writer, auc_table, read


def test_comparisons_are_those_of_scipy(results: Results) -> None:
    compared = results.comparisons.set_index(["dataset", "strategy"])
    assert len(compared) == 9
    for (dataset, strategy), row in compared.iterrows():
        aucs = auc_table(results.frame, dataset)
        ours, randoms = aucs[strategy], aucs["random"]
        assert row["num_runs"] == row["num_pairs"] == 6
        assert row["difference"] == pytest.approx((ours - randoms).mean())
        assert row["std"] == pytest.approx((ours - randoms).std())
        interval = stats.ttest_rel(ours, randoms).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
        assert row["p_t"] == pytest.approx(stats.ttest_rel(ours, randoms).pvalue)
        assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(ours, randoms).pvalue)
    margin = compared.xs("margin", level="strategy")
    assert (margin["difference"] > 2).all()
    assert (margin["holm_t"] < 0.05).all()


def test_the_family_of_holm_is_a_dataset(results: Results) -> None:
    for _, group in results.comparisons.groupby("dataset"):
        for test in ("t", "wilcoxon"):
            p = group[f"p_{test}"].to_numpy()
            assert group[f"holm_{test}"].tolist() == significance.holm(p).tolist()


def test_over_datasets_a_dataset_is_one_observation(results: Results) -> None:
    compared = results.comparisons_over_datasets.set_index("strategy")
    means = {
        dataset: auc_table(results.frame, dataset).mean()
        for dataset in ("first", "second", "third")
    }
    for strategy, row in compared.iterrows():
        differences = [mean[strategy] - mean["random"] for mean in means.values()]
        assert row["num_datasets"] == 3
        assert row["difference"] == pytest.approx(np.mean(differences))
        interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
        assert row["p_t"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_seeds_pair_only_with_equal_pools(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(3):
        write_run([0.5, 0.5], "random", seed)
        write_run([0.5, 0.6], "margin", seed, pool=range(50, 60) if seed == 1 else None)
    write_run([0.5, 0.7], "margin", 7)
    results = read(tmp_path)
    assert results.pairs["seed"].tolist() == [0, 2]
    (row,) = results.comparisons.itertuples()
    assert (row.num_runs, row.num_pairs) == (4, 2)
    assert row.difference == pytest.approx(5)


def test_the_order_of_a_pool_does_not_count(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "random", pool=range(10))
    write_run([0.6], "margin", pool=range(9, -1, -1))
    assert len(read(tmp_path).pairs) == 1


def test_without_random_nothing_is_compared(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(2):
        write_run([0.5], "margin", seed)
    results = read(tmp_path)
    assert results.baselines == {"toy": None}
    (row,) = results.comparisons.itertuples()
    assert (row.num_runs, row.num_pairs) == (2, 0)
    assert math.isnan(row.difference)
    assert results.median_savings.empty


def test_any_strategy_can_be_the_baseline(study: Path) -> None:
    results = read(study, baseline="margin")
    assert results.strategies[0] == "margin"
    compared = results.comparisons.set_index(["dataset", "strategy"])
    aucs = auc_table(results.frame, "second")
    found = compared.loc[("second", "random"), "difference"]
    assert found == pytest.approx((aucs["random"] - aucs["margin"]).mean())
    assert "margin" not in compared.index.get_level_values("strategy")
    table = tables.benchmark_table(results)
    assert table.header[2] == "Margin"
    for built in tables.build_tables(results):
        if built.name != "overlaps":
            assert "andom" not in built.caption, built.name


def test_a_variant_can_be_the_baseline(write_run: Writer, tmp_path: Path) -> None:
    for root, size in (("a", 1), ("b", 2)):
        options = {"strategy": {"_target_": "package.badge", "size": size}}
        write_run([0.5, 0.6 + size / 10], "badge", root=root, config=options)
    results = read(tmp_path, baseline="badge [size=1]")
    (row,) = results.comparisons.itertuples()
    assert (row.strategy, row.difference) == ("badge [size=2]", pytest.approx(5))


def test_final_scores_are_those_of_the_last_cycle(results: Results) -> None:
    frame = results.frame[(results.frame["cycle"] == 7) & (results.frame["dataset"] == "first")]
    last = frame.pivot_table(index="seed", columns="strategy", values="accuracy") * 100
    scores = results.final_scores[results.final_scores["dataset"] == "first"]
    scores = scores.set_index("strategy")
    assert scores["accuracy"].to_dict() == pytest.approx(last.mean().to_dict())
    differences = scores["accuracy_difference"].drop("random").to_dict()
    expected = last.drop(columns="random").sub(last["random"], axis=0).mean().to_dict()
    assert differences == pytest.approx(expected)
    assert math.isnan(scores.loc["random", "accuracy_difference"])
    assert set(scores["nll"]) == {1.0}
    assert "brier" not in scores.columns


def test_label_savings_by_hand(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.2, 0.4, 0.5, 0.6], "random", 0)  # 10 to 40 labels
    write_run([0.2, 0.5, 0.7, 0.7], "margin", 0)  # 0.6 halfway between 20 and 30
    write_run([0.2, 0.4, 0.7, 0.6], "random", 1)  # its own 0.6 before the end
    write_run([0.2, 0.4, 0.5, 0.55], "margin", 1)  # never
    results = read(tmp_path)
    rows = results.savings.set_index(["strategy", "seed"])
    assert rows.loc[("margin", 0), "labels"] == pytest.approx(25)
    assert rows.loc[("margin", 0), "ratio"] == pytest.approx(25 / 40)
    assert math.isinf(rows.loc[("margin", 1), "labels"])
    assert rows.loc[("random", 0), "ratio"] == 1
    assert rows.loc[("random", 1), "labels"] == pytest.approx(20 + 10 * 0.2 / 0.3)
    summary = results.median_savings.set_index("strategy")
    assert summary.loc["margin", "num_reached"] == 1
    assert math.isinf(summary.loc["margin", "ratio"])  # half of the pairs: no median
    assert summary.loc["margin", "low"] == pytest.approx(25 / 40)
    assert math.isinf(summary.loc["margin", "high"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_first_reached_is_on_the_curve_and_first(heights: list[float], target: float) -> None:
    num_labeled = np.arange(1.0, len(heights) + 1)
    found = savings.first_reached(num_labeled, np.array(heights), target)
    assert math.isinf(found) == (max(heights) < target)
    if math.isfinite(found):
        assert np.interp(found, num_labeled, heights) == pytest.approx(
            max(target, heights[0]) if found == 1 else target, abs=1e-6
        )
        assert all(h < target for h, num in zip(heights, num_labeled, strict=True) if num < found)


def test_times_are_means_of_cycles_that_select(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6, 0.7], "margin", 0, seconds=1.0)
    write_run([0.5, 0.6, 0.7], "margin", 1, seconds=3.0)
    (row,) = read(tmp_path).times.itertuples()
    assert (row.device, row.num_runs, row.seconds) == ("cpu", 2, 2.0)
