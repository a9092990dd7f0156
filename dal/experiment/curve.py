"""Results of a cycle, and the learning curve of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dal.functional import curves

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CycleResult:
    """The result of one cycle of fitting, evaluating and selecting.

    Attributes:
        cycle: From 0, the cycle of the initial pool.
        num_labeled: Number of labels that the head was fitted to.
        metrics: What the head's ``test_step`` logged: ``accuracy`` as a fraction, and more.
        fit_seconds: Wall time of the fit, without the selection.
        query_seconds: Wall time of the selection at its end; None in the last cycle.
        peak_memory_mib: The most memory up to then: of the device if it is a GPU, else of the
            process.
    """

    cycle: int
    num_labeled: int
    metrics: dict[str, float]
    fit_seconds: float
    query_seconds: float | None
    peak_memory_mib: float


@dataclass(frozen=True)
class Diagnostics:
    """What a strategy knew of its selection in one cycle.

    Attributes:
        cycle: From 0.
        scores: What each example was selected by, in order of selection; None for one that was
            drawn and not scored, and in place of all if the strategy has no scores.
        derived: What the strategy computed for itself, such as a number of clusters.
    """

    cycle: int
    scores: list[float | None] | None
    derived: dict[str, float | int | str]


@dataclass(frozen=True, repr=False)
class LearningCurve:
    """The results of all cycles so far, in order."""

    results: Sequence[CycleResult]

    def __repr__(self) -> str:
        if not self.results:
            return "LearningCurve(no cycles)"
        return (
            f"LearningCurve({len(self.results)} cycles, {self.results[-1].num_labeled} labels, "
            f"AUC {self.auc:.2f}, final accuracy {self.final_accuracy:.2f}%)"
        )

    def to_frame(self) -> "pd.DataFrame":
        """A pandas frame with one row for each cycle and the columns of ``curve.csv``."""
        import pandas as pd

        rows = [
            {
                "cycle": result.cycle,
                "num_labeled": result.num_labeled,
                **result.metrics,
                "fit_seconds": result.fit_seconds,
                "query_seconds": math.nan if result.query_seconds is None else result.query_seconds,
                "peak_memory_mib": result.peak_memory_mib,
            }
            for result in self.results
        ]
        return pd.DataFrame(rows)

    @property
    def num_labeled(self) -> Tensor:
        """Number of labels in each cycle, ``(C,)``, int64."""
        return torch.tensor([result.num_labeled for result in self.results])

    def metric(self, name: str) -> Tensor:
        """One metric after each cycle, ``(C,)``, float64."""
        return torch.tensor([result.metrics[name] for result in self.results], dtype=torch.float64)

    @property
    def auc(self) -> float:
        """The paper's number, mean accuracy over all cycles, the initial one included, × 100."""
        return 100 * curves.mean_height(self.metric("accuracy")).item()

    @property
    def auc_trapezoid(self) -> float:
        """Area under the accuracy over the number of labels, divided by the labels, × 100."""
        return 100 * curves.trapezoid(self.num_labeled, self.metric("accuracy")).item()

    @property
    def final_accuracy(self) -> float:
        """Accuracy after the last cycle, × 100."""
        return 100 * self.results[-1].metrics["accuracy"]

    @property
    def fit_seconds(self) -> float:
        """Wall time of all fits."""
        return sum(result.fit_seconds for result in self.results)

    @property
    def query_seconds(self) -> float:
        """Wall time of all selections."""
        return sum(result.query_seconds or 0.0 for result in self.results)

    @property
    def peak_memory_mib(self) -> float:
        """The largest peak of any cycle."""
        return max(result.peak_memory_mib for result in self.results)

    def summary(self) -> dict[str, float]:
        """The numbers that sum the run up, by name."""
        return {
            "auc": self.auc,
            "auc_trapezoid": self.auc_trapezoid,
            "final_accuracy": self.final_accuracy,
            "num_labeled": self.results[-1].num_labeled,
            "fit_seconds": self.fit_seconds,
            "query_seconds": self.query_seconds,
            "peak_memory_mib": self.peak_memory_mib,
        }
