"""Standings: the strategies from best to worst, over all datasets together."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dal.report import significance

COLUMNS = [
    "strategy",
    "num_datasets",
    "num_compared",
    "num_best",
    "auc",
    "difference",
    "final_accuracy",
]


def rank_by_difference(
    scores: pd.DataFrame,
    aucs: pd.DataFrame,
    best: Mapping[str, Sequence[str]],
    baselines: Mapping[str, str | None],
) -> pd.DataFrame:
    """One row per strategy, best first, each dataset counting the same.

    Columns: ``strategy``; ``num_datasets``, those of ``best`` that it has a complete run in;
    ``num_best`` of them in which no other is better; ``num_compared``, datasets in which it has a
    pair with the baseline; ``auc`` and ``final_accuracy``, the means over datasets;
    ``difference``, the mean over datasets of the paired difference from the baseline, 0 for the
    baseline itself, and missing without a pair. Strategies that were compared in all datasets come
    first: a mean over easier datasets says nothing against them.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
        aucs: From :func:`dal.report.comparisons.average_aucs`.
        best: From :func:`best_of_datasets`.
        baselines: From :func:`dal.report.comparisons.choose_baselines`.
    """
    final = scores.groupby(["dataset", "strategy"])["final_accuracy"].mean()
    rows = []
    for strategy, group in aucs.groupby("strategy", sort=False):
        differences = _differences(group, baselines)
        rows.append(
            {
                "strategy": strategy,
                "num_datasets": int(group["dataset"].isin(list(best)).sum()),
                "num_compared": int(differences.notna().sum()),
                "num_best": sum(strategy in names for names in best.values()),
                "auc": group["auc"].mean(),
                "difference": differences.mean(),
                "final_accuracy": final.xs(strategy, level="strategy").mean(),
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    keys = ["num_compared", "num_datasets", "difference", "auc"]
    return table.sort_values(keys, ascending=False, kind="stable", ignore_index=True)


def best_of_datasets(
    aucs: pd.DataFrame, baselines: Mapping[str, str | None]
) -> dict[str, list[str]]:
    """The best strategies of each dataset that has two or more, several where they tie.

    By the paired difference from the baseline, the baseline's being 0; where there is no pair, by
    AUC.

    Args:
        aucs: From :func:`dal.report.comparisons.average_aucs`.
        baselines: From :func:`dal.report.comparisons.choose_baselines`.
    """
    best = {}
    for dataset, group in aucs.groupby("dataset", sort=False):
        if len(group) < 2:
            continue
        values = _differences(group, baselines)
        if values.notna().sum() < 2:
            values = group["auc"]
        is_best = values >= values.max() - significance.TOLERANCE
        best[str(dataset)] = group.loc[is_best, "strategy"].tolist()
    return best


def _differences(aucs: pd.DataFrame, baselines: Mapping[str, str | None]) -> "pd.Series[float]":
    """Differences of the rows from the baseline, which is 0 from itself."""
    is_baseline = aucs["strategy"] == aucs["dataset"].map(dict(baselines))
    return aucs["difference"].mask(is_baseline, 0.0)
