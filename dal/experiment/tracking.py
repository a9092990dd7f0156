"""Experiment trackers; a failing one never stops a run."""

import warnings
from collections.abc import Callable, Sequence
from typing import Self

from lightning.pytorch.loggers import Logger

from dal.errors import DalError
from dal.experiment import identity
from dal.experiment.curve import CycleResult, LearningCurve
from dal.experiment.record import RunDirectory


class Tracker:
    """Receives the results of a run while it runs; a subclass overrides what it needs.

    Whatever it raises is reported once, and the run continues without it. Only an error for the
    user (:class:`~dal.errors.DalError`) in :meth:`start` ends a run, before it has computed
    anything.
    """

    def start(self, record: RunDirectory | None, results: Sequence[CycleResult]) -> None:
        """The run begins or is resumed.

        Args:
            record: Where the run is written to; None if nowhere.
            results: The cycles that earlier processes have finished.
        """

    def log(self, result: CycleResult) -> None:
        """A cycle is finished and recorded."""

    def finish(self, curve: LearningCurve) -> None:
        """The run is complete, and all its files are written."""

    def close(self, is_complete: bool) -> None:
        """The run is complete, or it has been stopped: no other call follows in this process."""


class LightningTracker(Tracker):
    """Passes a run on to a logger of Lightning: its configuration, every cycle and the summary.

    The step of a cycle is its number of labels.

    Args:
        logger: For example a ``TensorBoardLogger``.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def start(self, record: RunDirectory | None, results: Sequence[CycleResult]) -> None:  # noqa: ARG002
        """Logs the configuration."""
        if record is not None:
            self.logger.log_hyperparams(identity.flat(record.config))

    def finish(self, curve: LearningCurve) -> None:
        """Logs the numbers that sum the run up."""
        self.logger.log_metrics(curve.summary(), step=curve.results[-1].num_labeled)

    def log(self, result: CycleResult) -> None:
        """Logs the metrics and the seconds."""
        self.logger.log_metrics(measurements(result), step=result.num_labeled)

    def close(self, is_complete: bool) -> None:
        """Lets the logger write what it still holds."""
        self.logger.finalize("success" if is_complete else "aborted")


class Tracking:
    """All trackers of a run, as a context manager around it.

    Args:
        trackers: They are called in this order.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = list(trackers)
        self._is_complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._notify(lambda tracker: tracker.close(self._is_complete))

    def start(self, record: RunDirectory | None, results: Sequence[CycleResult]) -> None:
        """Calls :meth:`Tracker.start` of all.

        Raises:
            DalError: If one of them cannot do what the user asked for.
        """
        self._notify(lambda tracker: tracker.start(record, results), reraise=DalError)

    def log(self, result: CycleResult) -> None:
        """Calls :meth:`Tracker.log` of all."""
        self._notify(lambda tracker: tracker.log(result))

    def finish(self, curve: LearningCurve) -> None:
        """Calls :meth:`Tracker.finish` of all."""
        self._is_complete = True
        self._notify(lambda tracker: tracker.finish(curve))

    def _notify(
        self, call: Callable[[Tracker], None], reraise: type[Exception] | tuple[()] = ()
    ) -> None:
        for tracker in list(self.trackers):
            try:
                call(tracker)
            except reraise:
                raise
            except Exception as error:  # anything may go wrong in a library that logs
                self.trackers.remove(tracker)
                warnings.warn(
                    f"{type(tracker).__name__} has failed. The run continues without it and writes "
                    f"its files. {type(error).__name__}: {error}",
                    stacklevel=2,
                )


def measurements(result: CycleResult) -> dict[str, float]:
    """The numbers of a cycle by name; without ``query_seconds`` where nothing was selected."""
    numbers = {**result.metrics, "fit_seconds": result.fit_seconds}
    if result.query_seconds is not None:
        numbers["query_seconds"] = result.query_seconds
    return {**numbers, "peak_memory_mib": result.peak_memory_mib}
