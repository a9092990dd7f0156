"""Numbers of single runs: scores of the complete ones, and seconds of a selection.

Every function takes the frame of :mod:`dal.report.runs`, one row per cycle, or a part of it. AUC
and accuracy come out in percent.
"""

from collections.abc import Sequence

import pandas as pd

from dal.report import palette

PAIR_KEYS = ["dataset", "seed", "fingerprint", "pool"]  # what the two runs of a pair share


def select_complete_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The cycles of complete runs, each seed once: what every number is computed from."""
    return frame[frame["complete"] & (frame["repeat"] == 0)]


def score_runs(cycles: pd.DataFrame) -> pd.DataFrame:
    """One row per run: ``auc``, ``final_accuracy``, and ``num_labeled`` at the end.

    ``auc`` is the paper's number, the mean accuracy over all cycles × 100, as
    :attr:`dal.experiment.curve.LearningCurve.auc`.

    Args:
        cycles: Of :func:`select_complete_runs`.
    """
    runs = cycles.groupby("run", sort=False)
    table = runs.agg(
        dataset=("dataset", "first"),
        strategy=("strategy", "first"),
        seed=("seed", "first"),
        fingerprint=("fingerprint", "first"),
        pool=("pool", "first"),
        auc=("accuracy", "mean"),
        final_accuracy=("accuracy", "last"),
        num_labeled=("num_labeled", "last"),
    ).reset_index()
    return table.assign(auc=100 * table["auc"], final_accuracy=100 * table["final_accuracy"])


def time_selections(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds of one selection: ``dataset, strategy, device, num_runs, seconds``.

    The mean over the cycles of a run that select, then over complete runs. Runs that repeat a
    seed, on another device for example, count here, and runs without a selection do not.
    """
    complete = frame[frame["complete"]].assign(
        device=lambda cycles: cycles["device"].fillna("unknown device")
    )
    by_run = complete.groupby(["dataset", "strategy", "device", "run"], sort=False)
    means = by_run["query_seconds"].mean().dropna()
    table = means.groupby(["dataset", "strategy", "device"], sort=False).agg(["size", "mean"])
    table = table.rename(columns={"size": "num_runs", "mean": "seconds"}).reset_index()
    return sort_rows(table, list(dict.fromkeys(frame["dataset"])))


def sort_rows(table: pd.DataFrame, datasets: Sequence[str]) -> pd.DataFrame:
    """A table's rows in the order of some datasets, then in that of a report's strategies.

    Args:
        table: With a column ``dataset``, ``strategy`` or both.
        datasets: In their order.
    """
    places = {name: place for place, name in enumerate(datasets)}
    return table.sort_values(
        [name for name in ("dataset", "strategy") if name in table.columns],
        key=lambda column: column.map(places if column.name == "dataset" else palette.order),
        kind="stable",
        ignore_index=True,
    )
