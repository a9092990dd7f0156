"""What was picked: overlap between strategies, and balance of the classes.

The initial pool is left out: it is drawn before any strategy selects.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dal.experiment.record import ACQUISITIONS
from dal.report.scores import PAIR_KEYS, sort_rows

COLUMNS = [*PAIR_KEYS, "strategy", "run", "index", "label"]


def read_picks(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per pick of each run: the run's keys, ``index`` in the dataset and ``label``.

    Labels are missing where a run of an earlier version did not record them.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
    """
    found = []
    for _, run in scores.iterrows():
        # Not RunDirectory.progress(), which leaves out labels. What it reads has been checked.
        file = Path(run["run"]) / ACQUISITIONS
        rows = pd.read_csv(file, dtype={"label": str}, keep_default_na=False)
        rows = rows[rows["cycle"] > 0].reindex(columns=["index", "label"])
        keys = {name: run[name] for name in COLUMNS[:-2]}
        found.append(rows.assign(**keys)[COLUMNS])
    picks = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)
    return picks.assign(label=picks["label"].replace("", None))


def measure_overlaps(picks: pd.DataFrame, strategies: Sequence[str]) -> pd.DataFrame:
    """The share of picks that two strategies have in common, with strategies as rows and columns.

    ``|A ∩ B| / min(|A|, |B|)`` for two runs with the same dataset, seed, data and initial pool; the
    mean over seeds, then over datasets. Missing for a strategy with itself, and where no two runs
    can be compared.

    Args:
        picks: From :func:`read_picks`.
        strategies: Rows and columns, in this order.
    """
    names = list(strategies)
    rows = []
    for keys, group in picks.dropna(subset=PAIR_KEYS).groupby(PAIR_KEYS, sort=False):
        sets = {name: set(of["index"]) for name, of in group.groupby("strategy", sort=False)}
        for first, second in itertools.permutations(sets, 2):
            num_common = len(sets[first] & sets[second])
            share = num_common / min(len(sets[first]), len(sets[second]))
            rows.append((keys[0], first, second, share))
    shares = pd.DataFrame(rows, columns=["dataset", "first", "second", "share"])
    by_dataset = shares.groupby(["dataset", "first", "second"], sort=False)["share"].mean()
    means = by_dataset.groupby(["first", "second"]).mean().unstack()
    return means.reindex(index=names, columns=names).astype(float)


def measure_balance(picks: pd.DataFrame, datasets: Sequence[str]) -> pd.DataFrame:
    """How evenly each strategy picked the classes of a dataset.

    Columns: ``dataset, strategy``; ``num_runs``; ``balance``, the entropy of the picked labels
    divided by that of equally many of each class, in [0, 1]; ``rarest`` and ``most_frequent``, the
    shares of the class that was picked least and most, 0.1 each for ten classes in balance. Means
    over runs. The classes are all that any run of the dataset picked. Runs in which a label is
    missing do not count.

    Args:
        picks: From :func:`read_picks`.
        datasets: All of them, in their order.
    """
    is_known = picks["label"].notna().groupby(picks["run"]).transform("all")
    known = picks[is_known.astype(bool)]
    rows = []
    for dataset, of_dataset in known.groupby("dataset", sort=False):
        classes = sorted(set(of_dataset["label"]))
        if len(classes) < 2:
            continue
        for (strategy, _), of_run in of_dataset.groupby(["strategy", "run"], sort=False):
            shares = of_run["label"].value_counts(normalize=True).reindex(classes, fill_value=0.0)
            p = shares.to_numpy(float)
            entropy = -np.sum(p * np.log(p, where=p > 0, out=np.zeros_like(p)))
            rows.append((dataset, strategy, entropy / math.log(len(classes)), p.min(), p.max()))
    columns = ["dataset", "strategy", "balance", "rarest", "most_frequent"]
    runs = pd.DataFrame(rows, columns=columns).groupby(["dataset", "strategy"], sort=False)
    table = runs.mean().assign(num_runs=runs.size()).reset_index()
    return sort_rows(table, datasets)
