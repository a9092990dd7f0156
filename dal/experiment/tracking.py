"""Who follows a run beside its directory, and why none of them can stop it."""

import warnings
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lightning.pytorch.loggers import Logger

from dal.errors import DalError
from dal.experiment.curve import CycleResult, LearningCurve
from dal.experiment.record import RunDirectory


class Tracker:
    """Gets the results of a run as it goes; a subclass takes what it wants of them.

    Whatever it raises is reported once and the run goes on without it; only an error for the user
    (:class:`~dal.errors.DalError`) in :meth:`start` ends a run, before it has computed anything.
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
        """Nothing more will come in this process: the run is complete, or it has been stopped."""


class LightningTracker(Tracker):
    """Passes every cycle on to a logger of Lightning, with the number of labels as the step.

    Args:
        logger: For example a ``TensorBoardLogger``.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def log(self, result: CycleResult) -> None:
        """Logs the metrics and the seconds."""
        self.logger.log_metrics(measurements(result), step=result.num_labeled)

    def close(self, is_complete: bool) -> None:
        """Lets the logger write what it still holds."""
        self.logger.finalize("success" if is_complete else "aborted")


class Tracking:
    """All trackers of a run, as a context manager around it.

    Args:
        trackers: Those who follow it.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = list(trackers)
        self._is_complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tell(lambda tracker: tracker.close(self._is_complete))

    def start(self, record: RunDirectory | None, results: Sequence[CycleResult]) -> None:
        """Tells all that the run begins or is resumed.

        Raises:
            DalError: If one of them cannot do what the user asked it for.
        """
        self._tell(lambda tracker: tracker.start(record, results), passed_on=DalError)

    def log(self, result: CycleResult) -> None:
        """Tells all of a finished cycle."""
        self._tell(lambda tracker: tracker.log(result))

    def finish(self, curve: LearningCurve) -> None:
        """Tells all that the run is complete."""
        self._is_complete = True
        self._tell(lambda tracker: tracker.finish(curve))

    def _tell(
        self, news: Callable[[Tracker], None], passed_on: type[Exception] | tuple[()] = ()
    ) -> None:
        for tracker in list(self.trackers):
            try:
                news(tracker)
            except passed_on:
                raise
            except Exception as error:  # anything may go wrong in a library that logs
                self.trackers.remove(tracker)
                warnings.warn(
                    f"{type(tracker).__name__} has failed and is left out from here on, while the "
                    f"run goes on to its files. {type(error).__name__}: {error}",
                    stacklevel=2,
                )


def measurements(result: CycleResult) -> dict[str, float]:
    """The numbers of a cycle by name; without ``query_seconds`` where nothing was selected."""
    numbers = {**result.metrics, "fit_seconds": result.fit_seconds}
    if result.query_seconds is not None:
        numbers["query_seconds"] = result.query_seconds
    return {**numbers, "peak_memory_mib": result.peak_memory_mib}
