"""What can be claimed: paired comparisons over seeds, rankings over datasets, label savings.

Every function takes the frame of :func:`dal.report.load`, or part of it, and returns a frame.
Only complete runs enter, each seed once. Two runs are a pair if they have the same dataset, seed,
data fingerprint and initial pool; AUC and accuracy are in percent.

References:
    Ash et al. (2020), "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds",
    section 5: pairwise penalties. Demšar (2006), "Statistical Comparisons of Classifiers over
    Multiple Data Sets": a dataset as one observation, Friedman's and Nemenyi's tests. Holm (1979),
    "A Simple Sequentially Rejective Multiple Test Procedure".
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from dal.report import palette

BASELINE = "random"
ALPHA = 0.05
NUM_RESAMPLES = 10_000
MATCH = ["dataset", "seed", "fingerprint", "pool"]  # what the two runs of a pair share

Floats = NDArray[np.float64]


def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """The cycles of complete runs, each seed once: what every number is computed from."""
    return frame[frame["complete"] & (frame["repeat"] == 0)]


def datasets(frame: pd.DataFrame) -> list[str]:
    """Names of the datasets, in the order in which they were read."""
    return list(dict.fromkeys(frame["dataset"]))


def strategies(frame: pd.DataFrame) -> list[str]:
    """Names of the strategies, the baseline first, in the order of every table and figure."""
    return sorted(set(frame["strategy"]), key=palette.order)


def seeds(frame: pd.DataFrame, dataset: str) -> list[int]:
    """All seeds of a dataset's complete runs."""
    runs = counted(frame)
    return sorted(set(runs.loc[runs["dataset"] == dataset, "seed"]))


def baseline(frame: pd.DataFrame, dataset: str) -> str | None:
    """The strategy that others of a dataset are compared to: random, if it was run.

    If it was run in several variants, the one with the most complete runs.
    """
    is_start = (frame["dataset"] == dataset) & (frame["cycle"] == 0)
    is_counted = frame["complete"] & (frame["repeat"] == 0)
    names = frame.loc[is_start & is_counted, "strategy"].value_counts(sort=False)
    variants = [name for name in names.index if palette.split(name)[0] == BASELINE]
    return max(sorted(variants), key=lambda name: int(names[name]), default=None)


def scores(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a complete run: ``auc``, ``final_accuracy``, ``num_labeled`` at the end.

    ``auc`` is the paper's number, the mean accuracy over all cycles × 100, as
    :attr:`dal.experiment.curve.LearningCurve.auc`.
    """
    runs = counted(frame).groupby("run", sort=False)
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


def times(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds of a selection: ``dataset, strategy, device, num_runs, seconds``.

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
    return in_order(table, datasets(frame))


def in_order(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A table's rows in the order of the datasets named, and of :func:`strategies` in each."""
    first = {name: place for place, name in enumerate(names)}
    return table.sort_values(
        [name for name in ("dataset", "strategy") if name in table.columns],
        key=lambda column: column.map(first if column.name == "dataset" else palette.order),
        kind="stable",
        ignore_index=True,
    )


def pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a pair of runs, of a strategy and of the baseline: their AUC and its difference.

    Columns: ``dataset, strategy, seed, run, baseline_run, auc, baseline_auc, difference``.
    """
    runs = scores(frame)
    columns = ["dataset", "strategy", "seed", "run", "baseline_run", "auc", "baseline_auc"]
    found = []
    for dataset in datasets(runs):
        name = baseline(frame, dataset)
        here = runs[runs["dataset"] == dataset].dropna(subset=MATCH)
        against = here[here["strategy"] == name].rename(
            columns={"run": "baseline_run", "auc": "baseline_auc"}
        )
        others = here[here["strategy"] != name]
        found.append(others.merge(against[[*MATCH, "baseline_run", "baseline_auc"]], on=MATCH))
    together = pd.concat(found)[columns] if found else pd.DataFrame(columns=columns)
    return together.assign(difference=together["auc"] - together["baseline_auc"]).reset_index(
        drop=True
    )


def comparisons(frame: pd.DataFrame) -> pd.DataFrame:
    """Every strategy against the baseline, by dataset, paired over seeds.

    Columns: ``dataset, strategy``; ``num_runs`` complete and ``num_pairs`` with their baseline
    run; ``difference`` of AUC, its ``std`` over pairs (missing for one pair), and ``low`` and
    ``high``, its bootstrap 95% interval; ``p_wilcoxon``, of the two-sided signed-rank test, exact
    up to 50 pairs without ties; ``p_t``, of the paired t-test; ``holm_wilcoxon`` and ``holm_t``,
    the same after Holm's correction. The family of a correction is all strategies of one dataset
    and one test. A test of one pair does not exist and is not in it.
    """
    runs, paired = scores(frame), pairs(frame)
    baselines = {dataset: baseline(frame, dataset) for dataset in datasets(frame)}
    differences = {
        key: group.to_numpy(float)
        for key, group in paired.groupby(["dataset", "strategy"], sort=False)["difference"]
    }
    rows = []
    for key, num_runs in runs.groupby(["dataset", "strategy"], sort=False).size().items():
        dataset, strategy = key
        if strategy != baselines[dataset]:
            of_both = differences.get(key, np.empty(0))
            rows.append(
                {
                    "dataset": dataset,
                    "strategy": strategy,
                    "num_runs": num_runs,
                    "num_pairs": len(of_both),
                    **_tested(of_both),
                }
            )
    return _corrected(rows, ["dataset", "strategy", "num_runs", "num_pairs"])


def comparisons_over_datasets(frame: pd.DataFrame) -> pd.DataFrame:
    """Every strategy against the baseline, a dataset being one observation (Demšar 2006).

    The columns are those of :func:`comparisons` without ``dataset`` and ``num_runs``, with
    ``num_datasets`` for ``num_pairs``. An observation is the mean difference of AUC over the pairs
    of a dataset. The family of a correction is all strategies and one test.
    """
    means = comparisons(frame).dropna(subset="difference")
    rows = []
    for strategy, group in means.groupby("strategy", sort=False):
        differences = group["difference"].to_numpy(float)
        rows.append(
            {"strategy": strategy, "num_datasets": len(differences), **_tested(differences)}
        )
    return _corrected(rows, ["strategy", "num_datasets"])


def _tested(differences: Floats) -> dict[str, float]:
    low, high = bootstrap_interval(differences, np.mean)
    num = len(differences)
    return {
        "difference": float(differences.mean()) if num else math.nan,
        "std": float(differences.std(ddof=1)) if num > 1 else math.nan,
        "low": low,
        "high": high,
        "p_wilcoxon": wilcoxon(differences),
        "p_t": paired_t(differences),
    }


def _corrected(rows: Sequence[dict[str, object]], keys: list[str]) -> pd.DataFrame:
    tested = ["difference", "std", "low", "high", "p_wilcoxon", "p_t"]
    frame = pd.DataFrame(rows, columns=[*keys, *tested])
    frame = in_order(frame, datasets(frame) if "dataset" in keys else [])
    frame = frame.assign(holm_wilcoxon=math.nan, holm_t=math.nan)
    families = [frame.index]
    if "dataset" in keys:
        families = list(frame.groupby("dataset", sort=False).groups.values())
    for test in ("wilcoxon", "t"):
        for family in families:
            p = frame.loc[family, f"p_{test}"].to_numpy(float)
            frame.loc[family, f"holm_{test}"] = holm(p)
    return frame


def wilcoxon(differences: Floats) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; missing for fewer than 2 pairs.

    Equal pairs are discarded, as Wilcoxon does; if all are equal, it is 1.
    """
    if len(differences) < 2:
        return math.nan
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def paired_t(differences: Floats) -> float:
    """The two-sided p-value of the paired t-test; missing for fewer than 2 pairs.

    If all differences are the same, it is 0, or 1 if they are zero.
    """
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] else 1.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def holm(p: Floats) -> Floats:
    """p-values that hold for a whole family of tests, by Holm's step-down procedure.

    The i-th smallest of m becomes the largest of (m − j + 1) p_j over j ≤ i, and at most 1.
    Missing ones stay missing and do not count.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
        [0.03, 0.06, 0.06, nan]
    """
    corrected = np.full(len(p), math.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = np.arange(len(order), 0, -1) * p[order]
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected


def bootstrap_interval(
    values: Floats, statistic: Callable[..., Floats], level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of a statistic over 10,000 seeded resamples; missing for one value.

    Its ends are values that the statistic takes, so infinite values (censored ones) are fine.

    Args:
        values: Observations, ``(n,)``.
        statistic: Called as ``statistic(resamples, axis=1)`` with ``(10000, n)``.
        level: Of confidence.
    """
    if len(values) < 2:
        return math.nan, math.nan
    # A generator of its own: an interval does not depend on which others are computed.
    picks = np.random.default_rng(0).integers(len(values), size=(NUM_RESAMPLES, len(values)))
    taken = statistic(values[picks], axis=1)
    ends = np.quantile(taken, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(ends[0]), float(ends[1])


def pairs_for_wilcoxon(num_tests: int, alpha: float = ALPHA) -> int:
    """How many pairs a signed-rank test needs to be able to reach ``alpha`` after Holm.

    With n pairs its smallest two-sided p-value is 2 / 2ⁿ, and the smallest of a family of
    ``num_tests`` is multiplied by their number.

    Example:
        >>> pairs_for_wilcoxon(1), pairs_for_wilcoxon(9)
        (6, 9)
    """
    num = 1
    while num_tests * 2.0 ** (1 - num) >= alpha:
        num += 1
    return num


def pairs_for_t(differences: Floats, num_tests: int, alpha: float = ALPHA) -> int | None:
    """How many pairs would make the mean difference seen significant, were it and its spread true.

    The smallest n with |mean| √n / std ≥ the t quantile at ``alpha / num_tests``; None if that is
    more than 1000. As a mean is as likely to come out smaller the next time, it is a least number.
    """
    mean, std = abs(differences.mean()), differences.std(ddof=1)
    for num in range(2, 1001):
        if mean * math.sqrt(num) >= std * stats.t.ppf(1 - alpha / num_tests / 2, num - 1):
            return num
    return None


def percentile_width(num: int) -> float:
    """Width of a percentile bootstrap interval of a mean, as a part of a t interval's.

    The resampled mean has the standard deviation √((n − 1) / n) · s / √n and a normal quantile,
    the t interval s / √n and the t quantile with n − 1 degrees of freedom.

    Example:
        >>> round(percentile_width(5), 2)
        0.63
    """
    return float(stats.norm.ppf(0.975) * math.sqrt((num - 1) / num) / stats.t.ppf(0.975, num - 1))


class Penalties(NamedTuple):
    """Pairwise penalties and what they were computed from, both with strategies as rows.

    Attributes:
        matrix: ``matrix.loc[i, j]``: how much i beat j; missing if they were never compared.
        num_datasets: Datasets in which i and j were compared: the most that an entry can be.
    """

    matrix: pd.DataFrame
    num_datasets: pd.DataFrame


def penalties(frame: pd.DataFrame, alpha: float = ALPHA) -> Penalties:
    """The pairwise penalty matrix of Ash et al. (2020), section 5.

    In a dataset with C numbers of labels after the initial one, i beats j at one of them if a
    two-sided paired t-test of their accuracies over the n seeds that they share finds i better:
    t = √n · mean / std ≥ the 1 − alpha/2 quantile of t with n − 1 degrees of freedom (2.776 for
    the five runs of the paper). Each such win adds 1/C to ``matrix.loc[i, j]``, so a dataset adds
    at most 1. The initial pool, at which all are equal, is not counted; Ash et al. further leave
    out the numbers of labels at which learning has ceased. Means of columns say how often a
    strategy was beaten: lower is better.
    """
    names = strategies(counted(frame))
    matrix = pd.DataFrame(0.0, index=names, columns=names)
    num_datasets = pd.DataFrame(0, index=names, columns=names)
    for _, cycles in counted(frame).dropna(subset=MATCH).groupby("dataset", sort=False):
        wide = cycles[cycles["cycle"] > 0].pivot_table(
            index=["strategy", "seed", "fingerprint", "pool"], columns="cycle", values="accuracy"
        )
        if wide.empty:
            continue
        runs = {
            name: dict(zip(of.index.droplevel("strategy"), of.to_numpy(float), strict=True))
            for name, of in wide.groupby("strategy", sort=False)
        }
        for first, second in itertools.combinations(runs, 2):
            shared = [key for key in runs[first] if key in runs[second]]
            if len(shared) < 2:
                continue
            differences = np.stack([runs[first][key] - runs[second][key] for key in shared])
            mean, std = differences.mean(axis=0), differences.std(axis=0, ddof=1)
            quantile = stats.t.ppf(1 - alpha / 2, len(shared) - 1)
            # Not divided by std: it is zero where all seeds agree.
            is_beaten = np.abs(mean) * math.sqrt(len(shared)) >= quantile * std
            matrix.loc[first, second] += float((is_beaten & (mean > 0)).mean())
            matrix.loc[second, first] += float((is_beaten & (mean < 0)).mean())
            num_datasets.loc[first, second] += 1
            num_datasets.loc[second, first] += 1
    return Penalties(matrix.where(num_datasets > 0), num_datasets)


class Ranking(NamedTuple):
    """Strategies ranked over datasets.

    Attributes:
        ranks: Mean rank by strategy, best first; 1 is the best.
        num_datasets: That the ranks are means over.
        left_out: Strategies that not every dataset has.
        unpaired: Datasets in which no seed has all strategies: their means are over other seeds.
        p_friedman: That all strategies are alike; missing for fewer than 3 strategies.
        critical_difference: Mean ranks that differ by less are not told apart (Nemenyi).
    """

    ranks: "pd.Series[float]"
    num_datasets: int
    left_out: list[str]
    unpaired: list[str]
    p_friedman: float
    critical_difference: float


def ranking(frame: pd.DataFrame, alpha: float = ALPHA) -> Ranking | None:
    """Mean ranks by AUC over datasets, Friedman's test, and Nemenyi's critical difference.

    A dataset is one observation: the mean AUC of every strategy, over the seeds that all of them
    have there. Strategies that are missing in a dataset are left out.

    Returns:
        The ranking; None if fewer than 2 datasets share at least 2 strategies.
    """
    runs = scores(frame)
    names = datasets(runs)
    common = [
        name
        for name in strategies(runs)
        if set(runs.loc[runs["strategy"] == name, "dataset"]) == set(names)
    ]
    if len(names) < 2 or len(common) < 2:
        return None
    runs = runs[runs["strategy"].isin(common)]
    aucs = runs.pivot_table(index=MATCH, columns="strategy", values="auc")
    means = aucs.dropna().groupby("dataset").mean()
    unpaired = [name for name in names if name not in means.index]
    if unpaired:
        elsewhere = runs[runs["dataset"].isin(unpaired)]
        means = pd.concat(
            [means, elsewhere.pivot_table(index="dataset", columns="strategy", values="auc")]
        )
    ranks = means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    p = math.nan
    if len(common) > 2:
        p = float(stats.friedmanchisquare(*(means[name] for name in common)).pvalue)
    return Ranking(
        ranks,
        len(names),
        [name for name in strategies(scores(frame)) if name not in common],
        unpaired,
        p,
        critical_difference(len(common), len(names), alpha),
    )


def critical_difference(num_strategies: int, num_datasets: int, alpha: float = ALPHA) -> float:
    """The least difference of mean ranks that Nemenyi's test tells apart.

    q √(k (k + 1) / (6 N)), where q is the studentized range of k means, with infinite degrees of
    freedom, divided by √2 (Demšar 2006, section 3.2.2).

    Example:
        >>> round(critical_difference(4, 14), 3)
        1.254
    """
    q = stats.studentized_range.ppf(1 - alpha, num_strategies, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(num_strategies * (num_strategies + 1) / (6 * num_datasets)))


def cliques(ranking: Ranking) -> list[list[str]]:
    """Largest groups of strategies, next to each other, that the ranking cannot tell apart."""
    names, ranks = list(ranking.ranks.index), ranking.ranks.to_numpy()
    groups: list[list[str]] = []
    last = -1
    for start in range(len(names)):
        end = int((ranks < ranks[start] + ranking.critical_difference).sum()) - 1
        if end > max(start, last):
            groups.append(names[start : end + 1])
            last = end
    return groups


def savings(frame: pd.DataFrame) -> pd.DataFrame:
    """Labels that each strategy needs for the baseline's final accuracy, a row a pair.

    ``target`` is the accuracy after the last cycle of the baseline's run of the pair, ``budget``
    the labels it had then. ``labels`` is where the strategy's curve, linear between its points,
    first reaches the target, and infinite if it never does. ``ratio`` is ``labels / budget``.
    The baseline itself is there too: where its ratio is below 1, its curve has reached its final
    accuracy earlier and fallen again, and that much of the others' saving is noise.
    """
    paired = pairs(frame)
    rows = paired[["dataset", "strategy", "seed", "run", "baseline_run"]]
    own = rows.drop_duplicates(["dataset", "baseline_run"])
    own = own.assign(
        run=own["baseline_run"],
        strategy=[baseline(frame, dataset) for dataset in own["dataset"]],
    )
    rows = pd.concat([own, rows], ignore_index=True)
    curve_of = {
        str(run): (cycles["num_labeled"].to_numpy(float), cycles["accuracy"].to_numpy(float))
        for run, cycles in counted(frame).groupby("run", sort=False)
    }
    found = []
    for run, reference in zip(rows["run"], rows["baseline_run"], strict=True):
        num_labeled, accuracies = curve_of[reference]
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
    (there,) = np.nonzero(heights >= target)
    if len(there) == 0:
        return math.inf
    after = int(there[0])
    if after == 0:
        return float(num_labeled[0])
    before = after - 1
    part = (target - heights[before]) / (heights[after] - heights[before])
    return float(num_labeled[before] + part * (num_labeled[after] - num_labeled[before]))


def savings_summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Label savings by dataset and strategy: medians, which runs that never reach it can enter.

    Columns: ``dataset, strategy, num_pairs``; ``num_reached``, pairs in which the target is
    reached; ``labels`` and ``ratio``, their medians, infinite if half of the pairs or more do not
    reach it; ``low`` and ``high``, the bootstrap 95% interval of the ratio's median, with an
    infinite end where it is open.
    """
    rows = []
    for (dataset, strategy), group in savings(frame).groupby(["dataset", "strategy"], sort=False):
        low, high = bootstrap_interval(group["ratio"].to_numpy(float), _upper_median)
        rows.append(
            {
                "dataset": dataset,
                "strategy": strategy,
                "num_pairs": len(group),
                "num_reached": int(np.isfinite(group["labels"]).sum()),
                "labels": float(_upper_median(group["labels"].to_numpy(float))),
                "ratio": float(_upper_median(group["ratio"].to_numpy(float))),
                "low": low,
                "high": high,
            }
        )
    columns = ["dataset", "strategy", "num_pairs", "num_reached", "labels", "ratio", "low", "high"]
    return in_order(pd.DataFrame(rows, columns=columns), datasets(frame))


def _upper_median(values: Floats, axis: int = 0) -> Floats:
    """The median; of an even number, the mean of the middle two, infinite if one of them is."""
    num = values.shape[axis]
    ordered = np.sort(values, axis=axis)
    middle: Floats = (ordered.take((num - 1) // 2, axis) + ordered.take(num // 2, axis)) / 2
    return middle
