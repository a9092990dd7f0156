"""Label savings: how many labels a strategy needs for the baseline's final accuracy."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from dal.report import significance
from dal.report.scores import sort_rows
from dal.report.significance import Floats


def measure_savings(
    pairs: pd.DataFrame, cycles: pd.DataFrame, baselines: Mapping[str, str | None]
) -> pd.DataFrame:
    """Labels that each strategy needs for the baseline's final accuracy, one row per pair.

    ``target`` is the accuracy after the last cycle of the baseline's run of the pair, ``budget``
    the labels it had then. ``labels`` is where the strategy's curve, linear between its points,
    first reaches the target, and infinite if it never does. ``ratio`` is ``labels / budget``.
    The baseline itself is there too: where its ratio is below 1, its curve has reached its final
    accuracy earlier and fallen again, and that much of the others' saving is noise.

    Args:
        pairs: From :func:`dal.report.comparisons.pair_runs`.
        cycles: Of complete runs, from :func:`dal.report.scores.select_complete_runs`.
        baselines: From :func:`dal.report.comparisons.choose_baselines`.
    """
    rows = pairs[["dataset", "strategy", "seed", "run", "baseline_run"]]
    own = rows.drop_duplicates(["dataset", "baseline_run"])
    own = own.assign(run=own["baseline_run"], strategy=own["dataset"].map(dict(baselines)))
    rows = pd.concat([own, rows], ignore_index=True)
    curve_of = {
        str(run): (curve["num_labeled"].to_numpy(float), curve["accuracy"].to_numpy(float))
        for run, curve in cycles.groupby("run", sort=False)
    }
    found = []
    for run, baseline_run in zip(rows["run"], rows["baseline_run"], strict=True):
        num_labeled, accuracies = curve_of[baseline_run]
        target, budget = accuracies[-1], num_labeled[-1]
        found.append((100 * target, budget, first_reached(*curve_of[run], target)))
    rows[["target", "budget", "labels"]] = np.array(found, dtype=float).reshape(-1, 3)
    return rows.assign(ratio=rows["labels"] / rows["budget"])


def first_reached(num_labeled: Floats, heights: Floats, target: float) -> float:
    """The least number of labels at which a curve, linear between its points, reaches a height.

    Example:
        >>> first_reached(np.array([10.0, 20, 30]), np.array([0.2, 0.6, 0.5]), 0.5)
        17.5
        >>> first_reached(np.array([10.0, 20, 30]), np.array([0.2, 0.6, 0.5]), 0.7)
        inf
    """
    (reached,) = np.nonzero(heights >= target)
    if len(reached) == 0:
        return math.inf
    after = int(reached[0])
    if after == 0:
        return float(num_labeled[0])
    before = after - 1
    part = (target - heights[before]) / (heights[after] - heights[before])
    return float(num_labeled[before] + part * (num_labeled[after] - num_labeled[before]))


def summarize_savings(savings: pd.DataFrame) -> pd.DataFrame:
    """Label savings by dataset and strategy: medians, which runs that never reach it can enter.

    Columns: ``dataset, strategy, num_pairs``; ``num_reached``, pairs in which the target is
    reached; ``labels`` and ``ratio``, their medians, infinite if half of the pairs or more do not
    reach it; ``low`` and ``high``, the bootstrap 95% interval of the ratio's median, with an
    infinite end where it is open.

    Args:
        savings: Of :func:`measure_savings`.
    """
    rows = []
    for (dataset, strategy), group in savings.groupby(["dataset", "strategy"], sort=False):
        ratios = group["ratio"].to_numpy(float)
        low, high = significance.median_interval(ratios)
        rows.append(
            {
                "dataset": dataset,
                "strategy": strategy,
                "num_pairs": len(group),
                "num_reached": int(np.isfinite(group["labels"]).sum()),
                "labels": float(significance.median(group["labels"].to_numpy(float))),
                "ratio": float(significance.median(ratios)),
                "low": low,
                "high": high,
            }
        )
    columns = ["dataset", "strategy", "num_pairs", "num_reached", "labels", "ratio", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return sort_rows(table, list(dict.fromkeys(savings["dataset"])))
