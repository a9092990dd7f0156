import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dal.report import rankings, significance
from dal.report.results import Results
from tests.report.conftest import Writer, auc_table, read

# Demšar (2006), table 5(a): q at 0.05 for 2 to 10 classifiers.
PUBLISHED_Q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]


def test_penalties_by_a_double_loop(results: Results) -> None:
    matrix, num_datasets = results.penalties
    quantile = stats.t.ppf(0.975, 5)
    expected = pd.DataFrame(0.0, index=matrix.index, columns=matrix.columns)
    for dataset in ("first", "second", "third"):
        here = results.frame[results.frame["dataset"] == dataset]
        for cycle in range(1, 8):
            at = here[here["cycle"] == cycle].set_index(["strategy", "seed"])["accuracy"].to_dict()
            for i, j in itertools.permutations(matrix.index, 2):
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
    assert stats.t.ppf(1 - significance.ALPHA / 2, 4) == pytest.approx(2.776, abs=5e-4)


def test_strategies_without_common_seeds_are_not_penalized(
    write_run: Writer, tmp_path: Path
) -> None:
    for seed in range(2):
        write_run([0.5, 0.5], "random", seed)
        write_run([0.5, 0.9], "margin", seed)
        write_run([0.5, 0.9], "badge", seed + 5)
    matrix, num_datasets = read(tmp_path).penalties
    assert matrix.loc["margin", "random"] == 1
    assert matrix.loc["random", "margin"] == 0
    assert math.isnan(matrix.loc["margin", "badge"])
    assert num_datasets.loc["margin", "badge"] == 0


def test_critical_differences_are_the_published_ones() -> None:
    for k, q in enumerate(PUBLISHED_Q, start=2):
        expected = q * math.sqrt(k * (k + 1) / (6 * 14))
        assert rankings.critical_difference(k, 14) == pytest.approx(expected, rel=3e-4)


def test_the_ranking_is_pandas_and_scipys(results: Results) -> None:
    found = results.ranking
    assert found is not None
    means = pd.DataFrame(
        {name: auc_table(results.frame, name).mean() for name in ("first", "second", "third")}
    ).T
    expected = means.rank(axis=1, ascending=False).mean().sort_values()
    assert found.ranks.to_dict() == pytest.approx(expected.to_dict())
    assert found.ranks.index[0] == "margin"
    assert found.p_friedman == pytest.approx(stats.friedmanchisquare(*means.to_numpy().T).pvalue)
    assert (found.num_datasets, found.left_out, found.unpaired) == (3, [], [])


def test_a_tie_is_a_tie_whatever_the_rounding(write_run: Writer, tmp_path: Path) -> None:
    for place in range(6):
        write_run([0.5, 0.6, 0.7], "random", name=str(place), fingerprint=str(place))
        write_run([0.6, 0.7, 0.8], "margin", name=str(place), fingerprint=str(place))
        # The same total in another order: its float64 mean differs in the last digit.
        write_run([0.7, 0.8, 0.6], "badge", name=str(place), fingerprint=str(place))
    found = read(tmp_path).ranking
    assert found is not None
    assert found.ranks.to_dict() == {"margin": 1.5, "badge": 1.5, "random": 3.0}


def test_equal_strategies_are_ranked_equal(write_run: Writer, tmp_path: Path) -> None:
    for place, strategy in itertools.product("ab", ("random", "margin", "badge")):
        write_run([0.5, 0.6], strategy, name=place, fingerprint=place)
    found = read(tmp_path).ranking
    assert found is not None
    assert set(found.ranks) == {2.0}
    assert found.p_friedman == 1


def test_a_strategy_that_a_dataset_lacks_is_not_ranked(results: Results) -> None:
    is_first = results.frame["dataset"] == "first"
    found = results.subset(~(is_first & (results.frame["strategy"] == "badge"))).ranking
    assert found is not None
    assert found.left_out == ["badge"]
    assert results.subset(is_first).ranking is None


def test_cliques_are_the_largest_groups_within_the_critical_difference() -> None:
    ranks = pd.Series({"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0})
    ranking = rankings.Ranking(ranks, 10, [], [], 0.01, 1.0)
    assert rankings.cliques(ranking) == [["a", "b"], ["b", "c"]]
    alike = ranking._replace(critical_difference=5.0)
    assert rankings.cliques(alike) == [["a", "b", "c", "d"]]
