"""All results of some runs, each computed once, when it is first asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from dal.errors import ReportError, did_you_mean
from dal.report import BASELINE, comparisons, palette, picks, rankings, savings, scores, standings
from dal.report.rankings import Penalties, Ranking


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """What a report is made from: the cycles of all runs, and everything computed from them.

    Numbers are computed from complete runs, each seed once; only ``times`` also counts runs that
    repeat a seed. AUC and accuracy are in percent. Nothing is computed before it is asked for, and
    nothing twice: tables, figures and page share one such object. The frames are not copied and
    should not be changed.

    Attributes:
        frame: One row per cycle; :mod:`dal.report.runs` describes the columns.
        configurations: One row per run, indexed by ``run``: ``dataset``, ``strategy``, ``seed``,
            and the keys of the configuration that are not the same in every run.
        problems: What was left out or is shown separately, in one or two sentences each.
        baseline: Name of the strategy that all others are compared to.
    """

    frame: pd.DataFrame
    configurations: pd.DataFrame
    problems: Sequence[str] = ()
    baseline: str = BASELINE

    def __repr__(self) -> str:
        return (
            f"Results({self.num_runs} runs; datasets: {', '.join(self.datasets)}; "
            f"strategies: {', '.join(self.strategies)})"
        )

    def subset(self, rows: "pd.Series[bool]") -> "Results":
        """The results of some rows of the frame, computed from these alone.

        Args:
            rows: A mask of the frame's rows, for example ``results.frame["seed"] < 5``. Rows of
                whole runs, as AUC is the mean over the rows of a run.
        """
        frame = self.frame[rows]
        is_kept = self.configurations.index.isin(frame["run"])
        return Results(frame, self.configurations[is_kept], self.problems, self.baseline)

    def check_baseline(self) -> None:
        """Checks that the baseline that was asked for was run.

        Raises:
            ReportError: If it is not the default and no run has it.
        """
        if self.baseline != BASELINE and not any(map(self.is_baseline, self.strategies)):
            hint = did_you_mean(self.baseline, self.strategies)
            raise ReportError(f"No run of the baseline '{self.baseline}'. {hint}")

    def is_baseline(self, strategy: str) -> bool:
        """Whether a strategy is the baseline, in any of its variants."""
        return self.baseline in (strategy, palette.split(strategy)[0])

    def _order(self, strategy: str) -> tuple[bool, tuple[int, str]]:
        return not self.is_baseline(strategy), palette.order(strategy)

    @property
    def num_runs(self) -> int:
        """Runs that were read, unfinished ones included."""
        return int(self.frame["run"].nunique())

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the datasets, in the order in which they were read."""
        return list(dict.fromkeys(self.frame["dataset"]))

    @cached_property
    def strategies(self) -> list[str]:
        """Names of the strategies, the baseline first, in the order of every table and figure."""
        return sorted(set(self.frame["strategy"]), key=self._order)

    @cached_property
    def complete_runs(self) -> pd.DataFrame:
        """The cycles of complete runs, each seed once, as rows of ``frame``."""
        return scores.select_complete_runs(self.frame)

    @cached_property
    def complete_datasets(self) -> list[str]:
        """Names of the datasets with a complete run, in the order of ``datasets``."""
        found = set(self.complete_runs["dataset"])
        return [name for name in self.datasets if name in found]

    @cached_property
    def compared_strategies(self) -> list[str]:
        """Names of the strategies with a complete run, in the order of ``strategies``."""
        return sorted(set(self.complete_runs["strategy"]), key=self._order)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """AUC and final accuracy of each complete run; see :func:`dal.report.scores.score_runs`."""
        return scores.score_runs(self.complete_runs)

    @cached_property
    def times(self) -> pd.DataFrame:
        """Seconds of a selection; see :func:`dal.report.scores.time_selections`."""
        return scores.time_selections(self.frame)

    @cached_property
    def baselines(self) -> dict[str, str | None]:
        """The strategy that the others of a dataset are compared to; None where it was not run."""
        return comparisons.choose_baselines(self.scores, self.datasets, self.baseline)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Runs with the baseline's runs; see :func:`dal.report.comparisons.pair_runs`."""
        return comparisons.pair_runs(self.scores, self.baselines)

    @cached_property
    def gains(self) -> pd.DataFrame:
        """Gains in accuracy by cycle; see :func:`dal.report.comparisons.pair_cycles`."""
        return comparisons.pair_cycles(self.pairs, self.complete_runs)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Each strategy against the baseline, with intervals and tests over seeds.

        See :func:`dal.report.comparisons.compare_by_dataset`.
        """
        return comparisons.compare_by_dataset(self.scores, self.pairs, self.baselines)

    @cached_property
    def comparisons_over_datasets(self) -> pd.DataFrame:
        """The same over datasets.

        See :func:`dal.report.comparisons.compare_over_datasets`.
        """
        return comparisons.compare_over_datasets(self.comparisons)

    @cached_property
    def aucs(self) -> pd.DataFrame:
        """AUC by dataset and strategy; see :func:`dal.report.comparisons.average_aucs`."""
        return comparisons.average_aucs(self.scores, self.comparisons, self.datasets)

    @cached_property
    def savings(self) -> pd.DataFrame:
        """Labels saved in each pair; see :func:`dal.report.savings.measure_savings`."""
        return savings.measure_savings(self.pairs, self.complete_runs, self.baselines)

    @cached_property
    def final_scores(self) -> pd.DataFrame:
        """Accuracy and calibration after the last cycle.

        See :func:`dal.report.comparisons.compare_final_scores`.
        """
        return comparisons.compare_final_scores(self.complete_runs, self.baselines)

    @cached_property
    def best(self) -> dict[str, list[str]]:
        """Best strategies by dataset; see :func:`dal.report.standings.best_of_datasets`."""
        return standings.best_of_datasets(self.aucs, self.baselines)

    @cached_property
    def standings(self) -> pd.DataFrame:
        """One row per strategy, best first; see :func:`dal.report.standings.rank_by_difference`."""
        return standings.rank_by_difference(self.scores, self.aucs, self.best, self.baselines)

    @cached_property
    def picks(self) -> pd.DataFrame:
        """What each complete run picked; see :func:`dal.report.picks.read_picks`."""
        return picks.read_picks(self.scores)

    @cached_property
    def overlaps(self) -> pd.DataFrame:
        """Common picks of two strategies; see :func:`dal.report.picks.measure_overlaps`."""
        return picks.measure_overlaps(self.picks, self.compared_strategies)

    @cached_property
    def class_balance(self) -> pd.DataFrame:
        """How evenly classes were picked; see :func:`dal.report.picks.measure_balance`."""
        return picks.measure_balance(self.picks, self.datasets)

    @cached_property
    def median_savings(self) -> pd.DataFrame:
        """Medians of the labels saved; see :func:`dal.report.savings.summarize_savings`."""
        return savings.summarize_savings(self.savings)

    @cached_property
    def penalties(self) -> Penalties:
        """Who beats whom; see :func:`dal.report.rankings.penalty_matrix`."""
        return rankings.penalty_matrix(self.complete_runs, self.compared_strategies)

    @cached_property
    def ranking(self) -> Ranking | None:
        """Mean ranks over datasets; see :func:`dal.report.rankings.rank_strategies`."""
        return rankings.rank_strategies(self.scores, self.compared_strategies)
