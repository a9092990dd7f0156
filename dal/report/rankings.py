"""Strategies against each other: pairwise penalties, and ranks over datasets.

References:
    Ash et al. (2020), "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds",
    section 5: pairwise penalties. Demšar (2006), "Statistical Comparisons of Classifiers over
    Multiple Data Sets": one dataset as one observation, Friedman's and Nemenyi's tests.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dal.report.scores import PAIR_KEYS
from dal.report.significance import ALPHA, merge_ties


class Penalties(NamedTuple):
    """Pairwise penalties and what they were computed from, both with strategies as rows.

    Attributes:
        matrix: ``matrix.loc[i, j]``: how much i beat j; missing if they were never compared.
        num_datasets: Datasets in which i and j were compared: the most that an entry can be.
    """

    matrix: pd.DataFrame
    num_datasets: pd.DataFrame


def penalty_matrix(cycles: pd.DataFrame, strategies: Sequence[str]) -> Penalties:
    """The pairwise penalty matrix of Ash et al. (2020), section 5.

    In a dataset with C numbers of labels after the initial one, i beats j at one of them if a
    two-sided paired t-test of their accuracies over the n seeds that they share finds i better:
    t = √n · mean / std ≥ the 0.975 quantile of t with n − 1 degrees of freedom (2.776 for
    the five runs of the paper). Each such win adds 1/C to ``matrix.loc[i, j]``, so a dataset adds
    at most 1. The initial pool, at which all are equal, is not counted; Ash et al. further leave
    out the numbers of labels at which learning has ceased. Means of columns say how often a
    strategy was beaten: lower is better.

    Args:
        cycles: Of complete runs, from :func:`dal.report.scores.select_complete_runs`.
        strategies: Rows and columns, in this order.
    """
    names = list(strategies)
    matrix = pd.DataFrame(0.0, index=names, columns=names)
    num_datasets = pd.DataFrame(0, index=names, columns=names)
    for _, of_dataset in cycles.dropna(subset=PAIR_KEYS).groupby("dataset", sort=False):
        wide = of_dataset[of_dataset["cycle"] > 0].pivot_table(
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
            # (n, C): a row for each shared seed, a column for each number of labels
            differences = np.stack([runs[first][key] - runs[second][key] for key in shared])
            mean, std = differences.mean(axis=0), differences.std(axis=0, ddof=1)
            quantile = stats.t.ppf(1 - ALPHA / 2, len(shared) - 1)
            # Not divided by std: it is zero where all seeds agree.
            is_significant = np.abs(mean) * math.sqrt(len(shared)) >= quantile * std
            matrix.loc[first, second] += float((is_significant & (mean > 0)).mean())
            matrix.loc[second, first] += float((is_significant & (mean < 0)).mean())
            num_datasets.loc[first, second] += 1
            num_datasets.loc[second, first] += 1
    return Penalties(matrix.where(num_datasets > 0), num_datasets)


class Ranking(NamedTuple):
    """Strategies ranked over datasets.

    Attributes:
        ranks: Mean rank of each strategy, best first; 1 is the best.
        num_datasets: That the ranks are means over.
        left_out: Strategies that not every dataset has.
        unpaired: Datasets in which no seed has all strategies: their means are over other seeds.
        p_friedman: Of the hypothesis that all strategies are alike; missing for fewer than 3.
        critical_difference: Mean ranks that differ by less are not significantly different
            (Nemenyi).
    """

    ranks: "pd.Series[float]"
    num_datasets: int
    left_out: list[str]
    unpaired: list[str]
    p_friedman: float
    critical_difference: float


def rank_strategies(scores: pd.DataFrame, strategies: Sequence[str]) -> Ranking | None:
    """Mean ranks by AUC over datasets, Friedman's test, and Nemenyi's critical difference.

    A dataset is one observation: the mean AUC of every strategy, over the seeds that all of them
    have there. AUC that differ by a rounding error only are a tie. Strategies that are missing in a
    dataset are left out.

    Args:
        scores: From :func:`dal.report.scores.score_runs`.
        strategies: Those to rank, in an order that settles ties.

    Returns:
        The ranking; None if fewer than 2 datasets share at least 2 strategies.
    """
    datasets = list(dict.fromkeys(scores["dataset"]))
    common = [
        name
        for name in strategies
        if set(scores.loc[scores["strategy"] == name, "dataset"]) == set(datasets)
    ]
    if len(datasets) < 2 or len(common) < 2:
        return None
    runs = scores[scores["strategy"].isin(common)]
    aucs = runs.pivot_table(index=PAIR_KEYS, columns="strategy", values="auc")
    means = aucs.dropna().groupby("dataset").mean()
    unpaired = [name for name in datasets if name not in means.index]
    if unpaired:
        elsewhere = runs[runs["dataset"].isin(unpaired)]
        means = pd.concat(
            [means, elsewhere.pivot_table(index="dataset", columns="strategy", values="auc")]
        )
    means = means.apply(
        lambda row: merge_ties(row.to_numpy(float)), axis=1, result_type="broadcast"
    )
    ranks = means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    p = math.nan
    if len(common) > 2:
        is_tie = bool((means.nunique(axis=1) == 1).all())  # of which scipy makes NaN
        columns = [means[name] for name in common]
        p = 1.0 if is_tie else float(stats.friedmanchisquare(*columns).pvalue)
    return Ranking(
        ranks,
        len(datasets),
        [name for name in strategies if name not in common],
        unpaired,
        p,
        critical_difference(len(common), len(datasets)),
    )


def critical_difference(num_strategies: int, num_datasets: int) -> float:
    """The least difference of mean ranks that is significant in Nemenyi's test, at 0.05.

    q √(k (k + 1) / (6 N)), where q is the studentized range of k means, with infinite degrees of
    freedom, divided by √2 (Demšar 2006, section 3.2.2).

    Example:
        >>> round(critical_difference(4, 14), 3)
        1.254
    """
    q = stats.studentized_range.ppf(1 - ALPHA, num_strategies, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(num_strategies * (num_strategies + 1) / (6 * num_datasets)))


def cliques(ranking: Ranking) -> list[list[str]]:
    """Largest groups of strategies, next to each other, whose ranks do not differ significantly."""
    names, ranks = list(ranking.ranks.index), ranking.ranks.to_numpy()
    groups: list[list[str]] = []
    last = -1
    for start in range(len(names)):
        end = int((ranks < ranks[start] + ranking.critical_difference).sum()) - 1
        if end > max(start, last):
            groups.append(names[start : end + 1])
            last = end
    return groups
