"""Every strategy against the baseline: pairs of runs, and tests over seeds and over datasets.

Two runs are a pair if they have the same dataset, seed, data fingerprint and initial pool. AUC and
its differences are in percent.

References:
    Demšar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets": one dataset as
    one observation.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dal.report import palette, significance
from dal.report.scores import PAIR_KEYS, sort_rows
from dal.report.significance import Floats

FINAL_METRICS = ("accuracy", "nll", "brier", "ece")  # as LinearHead logs them
TEST_COLUMNS = ["difference", "std", "low", "high", "p_wilcoxon", "p_t"]


def choose_baselines(
    scores: pd.DataFrame, datasets: Sequence[str], baseline: str
) -> dict[str, str | None]:
    """The strategy that the others of each dataset are compared to; None where it was not run.

    If it was run in several variants, the one with the most complete runs.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
        datasets: All of them, in their order.
        baseline: Its name, without or with a variant in brackets.
    """
    baselines: dict[str, str | None] = {}
    for dataset in datasets:
        num_runs = scores.loc[scores["dataset"] == dataset, "strategy"].value_counts(sort=False)
        variants = [name for name in num_runs.index if baseline in (name, palette.split(name)[0])]
        baselines[dataset] = max(
            sorted(variants), key=lambda name: int(num_runs[name]), default=None
        )
    return baselines


def pair_runs(scores: pd.DataFrame, baselines: Mapping[str, str | None]) -> pd.DataFrame:
    """One row per pair of runs, of a strategy and of the baseline: their AUC and its difference.

    Columns: ``dataset, strategy, seed, run, baseline_run, auc, baseline_auc, difference``.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
        baselines: Of :func:`choose_baselines`.
    """
    columns = ["dataset", "strategy", "seed", "run", "baseline_run", "auc", "baseline_auc"]
    found = []
    for dataset, baseline in baselines.items():
        here = scores[scores["dataset"] == dataset].dropna(subset=PAIR_KEYS)
        against = here[here["strategy"] == baseline].rename(
            columns={"run": "baseline_run", "auc": "baseline_auc"}
        )
        others = here[here["strategy"] != baseline]
        against = against[[*PAIR_KEYS, "baseline_run", "baseline_auc"]]
        found.append(others.merge(against, on=PAIR_KEYS))
    pairs = pd.concat(found)[columns]
    return pairs.assign(difference=pairs["auc"] - pairs["baseline_auc"]).reset_index(drop=True)


def pair_cycles(pairs: pd.DataFrame, cycles: pd.DataFrame) -> pd.DataFrame:
    """One row per cycle of each pair: ``gain``, how much more accurate than the baseline's run.

    Columns: those of ``pairs``, ``cycle``, ``num_labeled`` and ``gain``, in percentage points.

    Args:
        pairs: Of :func:`pair_runs`.
        cycles: Of complete runs, from :func:`dal.report.scores.select_complete_runs`.
    """
    columns = ["run", "cycle", "num_labeled", "accuracy"]
    ours = pairs.merge(cycles[columns], on="run")
    theirs = cycles[columns].rename(columns={"run": "baseline_run", "accuracy": "baseline"})
    both = ours.merge(theirs, on=["baseline_run", "cycle", "num_labeled"])
    gain = 100 * (both["accuracy"] - both["baseline"])
    return both.drop(columns=["accuracy", "baseline"]).assign(gain=gain)


def compare_by_dataset(
    scores: pd.DataFrame, pairs: pd.DataFrame, baselines: Mapping[str, str | None]
) -> pd.DataFrame:
    """Every strategy against the baseline, by dataset, paired over seeds.

    Columns: ``dataset, strategy``; ``num_runs`` complete and ``num_pairs`` with their baseline
    run; ``difference`` of AUC, its ``std`` over pairs (missing for one pair), and ``low`` and
    ``high``, the t 95% interval of its mean; ``p_wilcoxon``, of the two-sided signed-rank test,
    exact up to 50 pairs without ties; ``p_t``, of the paired t-test; ``holm_wilcoxon`` and
    ``holm_t``, the same after Holm's correction. The family of a correction is all strategies of
    one dataset and one test. A test of one pair does not exist and is not in it.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
        pairs: Of :func:`pair_runs`.
        baselines: Of :func:`choose_baselines`.
    """
    differences = {
        key: group.to_numpy(float)
        for key, group in pairs.groupby(["dataset", "strategy"], sort=False)["difference"]
    }
    rows = []
    for key, num_runs in scores.groupby(["dataset", "strategy"], sort=False).size().items():
        dataset, strategy = key
        if strategy == baselines[dataset]:
            continue
        of_pairs = differences.get(key, np.empty(0))
        rows.append(
            {
                "dataset": dataset,
                "strategy": strategy,
                "num_runs": num_runs,
                "num_pairs": len(of_pairs),
                **_test(of_pairs),
            }
        )
    columns = ["dataset", "strategy", "num_runs", "num_pairs", *TEST_COLUMNS]
    table = sort_rows(pd.DataFrame(rows, columns=columns), list(baselines))
    return _correct(table, list(table.groupby("dataset", sort=False).groups.values()))


def compare_over_datasets(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Every strategy against the baseline, one dataset being one observation (Demšar 2006).

    The columns are those of :func:`compare_by_dataset` without ``dataset`` and ``num_runs``, with
    ``num_datasets`` for ``num_pairs``. An observation is the mean difference of AUC over the pairs
    of a dataset. The family of a correction is all strategies and one test.

    Args:
        comparisons: Of :func:`compare_by_dataset`.
    """
    means = comparisons.dropna(subset="difference")
    rows = []
    for strategy, group in means.groupby("strategy", sort=False):
        differences = group["difference"].to_numpy(float)
        rows.append({"strategy": strategy, "num_datasets": len(differences), **_test(differences)})
    table = pd.DataFrame(rows, columns=["strategy", "num_datasets", *TEST_COLUMNS])
    table = sort_rows(table, [])
    return _correct(table, [table.index])


def average_aucs(
    scores: pd.DataFrame, comparisons: pd.DataFrame, datasets: Sequence[str]
) -> pd.DataFrame:
    """AUC of every strategy and its difference from the baseline's, by dataset.

    Columns: ``dataset, strategy``; ``auc`` and ``auc_std``, mean and standard deviation over the
    ``num_runs`` complete runs; those of :func:`compare_by_dataset` but for the interval, missing
    for the baseline.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
        comparisons: Of :func:`compare_by_dataset`.
        datasets: All of them, in their order.
    """
    runs = scores.groupby(["dataset", "strategy"], sort=False)["auc"]
    aucs = runs.agg(["mean", "std"]).rename(columns={"mean": "auc", "std": "auc_std"})
    aucs = aucs.assign(num_runs=runs.size()).reset_index()
    compared = comparisons.drop(columns=["low", "high", "num_runs"])
    return sort_rows(aucs.merge(compared, on=["dataset", "strategy"], how="left"), datasets)


def compare_final_scores(cycles: pd.DataFrame, baselines: Mapping[str, str | None]) -> pd.DataFrame:
    """Scores after the last cycle by dataset and strategy, and differences from the baseline's.

    Columns: ``dataset, strategy, num_runs``; for each of ``accuracy`` (in percent), ``nll``,
    ``brier`` and ``ece`` that was recorded, its mean over runs, and ``<name>_difference``, the mean
    over pairs of runs with the same seed, data and initial pool; missing for the baseline.

    Args:
        cycles: Of complete runs, from :func:`dal.report.scores.select_complete_runs`.
        baselines: Of :func:`choose_baselines`.
    """
    metrics = [name for name in FINAL_METRICS if name in cycles.columns]
    last = cycles.groupby("run", sort=False).tail(1)
    last = last.assign(accuracy=100 * last["accuracy"])
    is_baseline = last["strategy"] == last["dataset"].map(dict(baselines))
    pairs = last[~is_baseline].merge(
        last.loc[is_baseline, [*PAIR_KEYS, *metrics]].dropna(subset=PAIR_KEYS),
        on=PAIR_KEYS,
        suffixes=("", "_baseline"),
    )
    keys = ["dataset", "strategy"]
    groups = last.groupby(keys, sort=False)
    table = groups[metrics].mean().assign(num_runs=groups.size())
    for name in metrics:
        differences = pairs[name] - pairs[f"{name}_baseline"]
        table[f"{name}_difference"] = differences.groupby([pairs[k] for k in keys]).mean()
    return sort_rows(table.reset_index(), list(baselines))


def _test(differences: Floats) -> dict[str, float]:
    low, high = significance.mean_interval(differences)
    num = len(differences)
    return {
        "difference": float(differences.mean()) if num else math.nan,
        "std": float(differences.std(ddof=1)) if num > 1 else math.nan,
        "low": low,
        "high": high,
        "p_wilcoxon": significance.wilcoxon(differences),
        "p_t": significance.paired_t(differences),
    }


def _correct(table: pd.DataFrame, families: Sequence[Any]) -> pd.DataFrame:
    """Adds the p-values after Holm's correction; a family is the labels of its rows."""
    table = table.assign(holm_wilcoxon=math.nan, holm_t=math.nan)
    for test in ("wilcoxon", "t"):
        for family in families:
            p = table.loc[family, f"p_{test}"].to_numpy(float)
            table.loc[family, f"holm_{test}"] = significance.holm(p)
    return table
