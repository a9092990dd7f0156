"""A run in Weights & Biases: one learning curve is one run there, however often it is resumed.

The step of a row is its cycle. So the next step of a resumed run tells which cycles the server has,
and the others are sent, with those that a killed process had recorded but not yet uploaded. Offline
there is no server to ask: each session holds the whole curve from the first cycle on and replaces
the sessions before it.
"""

import csv
import os
import secrets
import shutil
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dal.errors import ConfigError, did_you_mean
from dal.experiment.curve import CycleResult, LearningCurve
from dal.experiment.record import ACQUISITION_COLUMNS, ACQUISITIONS, PLOT, RunDirectory
from dal.experiment.tracking import Tracker, measurements
from dal.runtime import network, signals

if TYPE_CHECKING:
    import wandb
    from wandb import Run

MODES = ("online", "offline", "disabled")
REMEDY = (
    "Check the network and the key (`wandb login` or WANDB_API_KEY), or log to the disk with "
    "logger.mode=offline and upload it later with `wandb sync`."
)
CONNECT_SECONDS = 3


class WeightsAndBiases(Tracker):
    """Logs the learning curve to Weights & Biases, over the number of labels.

    Args:
        mode: ``"online"``; ``"offline"``, to upload later; ``"disabled"``, to log nothing.
        project: Where the run is shown.
        entity: The user or team that owns it; the account's default if None.
        group: Runs of one group are averaged: all seeds of a strategy in an experiment.
        job_type: The strategy.
        name: The name of the run; W&B invents one if None.
        tags: Words by which to find it.
        init_timeout: Seconds to wait for the server before the run starts.
        finish_timeout: Seconds to wait for the uploads after the run. What is not uploaded by then
            stays on the disk.

    The id of the run there is stored in the run directory; ``WANDB_RUN_ID``, which the agent of a
    sweep sets, takes precedence.

    Raises:
        ConfigError: If the mode is unknown.
    """

    def __init__(
        self,
        mode: str = "online",
        project: str = "dal",
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        init_timeout: float = 10,
        finish_timeout: float = 30,
    ) -> None:
        if mode not in MODES:
            raise ConfigError(f"Unknown `logger.mode` '{mode}'. {did_you_mean(mode, MODES)}")
        self.mode = mode
        self.project = project
        self.entity = entity
        self.group = group
        self.job_type = job_type
        self.name = name
        self.tags = tags
        self.init_timeout = init_timeout
        self.finish_timeout = finish_timeout
        self._run: Run | None = None
        self._replaced: list[Path] = []
        self._record: RunDirectory

    def start(self, record: RunDirectory | None, results: Sequence[CycleResult]) -> None:
        """Starts the run there, or continues it and sends the cycles that it lacks.

        Raises:
            ConfigError: If there is no run directory or, online, no key or no connection.
        """
        if self.mode == "disabled":
            return
        if record is None:
            raise ConfigError("Expected a run directory (`record`) to log to W&B from, got none.")
        self._record = record
        known = record.read_tracking()
        run_id = os.environ.get("WANDB_RUN_ID") or known.get("id") or secrets.token_hex(4)
        self._identity = {"id": run_id, "mode": self.mode}
        if known.get("finished") and self._identity.items() <= known.items():
            return
        record.write_tracking({**self._identity, "finished": False})
        try:
            self._run = self._init(run_id)
        except Exception as error:
            if self.mode == "offline":
                raise
            cause = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(f"W&B cannot start: {cause}. {REMEDY}") from error
        if self._run.url:  # for the report's table of runs
            self._identity["url"] = self._run.url
            record.write_tracking({**self._identity, "finished": False})
        self._run.define_metric("num_labeled", hidden=True)
        self._run.define_metric("curve/*", step_metric="num_labeled")
        for result in results:
            self.log(result)

    def log(self, result: CycleResult) -> None:
        """Adds the cycle to the curve, unless it is there already."""
        if self._run is None:
            return
        self._add_provenance(self._run)
        if result.cycle < self._run.step:
            return
        row: dict[str, Any] = {"num_labeled": result.num_labeled}
        row |= {f"curve/{name}": value for name, value in measurements(result).items()}
        # The last row stays open: the picture of the curve is added to it.
        is_last = result.query_seconds is None
        self._run.log(row, step=result.cycle, commit=not is_last)

    def finish(self, curve: LearningCurve) -> None:
        """Adds the picture, the summary and the acquisitions, and waits for the uploads."""
        if self._run is None:
            return
        run, self._run = self._run, None
        try:
            _bounded(lambda: self._finish(run, curve), self.finish_timeout)
        except TimeoutError as error:
            raise TimeoutError(
                f"W&B did not take everything within {self.finish_timeout:g} seconds. Upload the "
                f"rest with `wandb sync {run.sync_dir}`."
            ) from error
        self._record.write_tracking({**self._identity, "finished": True})

    def close(self, is_complete: bool) -> None:  # noqa: ARG002
        """Ends a run that was stopped, so that W&B does not show it as running."""
        if self._run is None:
            return
        run, self._run = self._run, None
        if signals.is_stopping():  # its sweep, if it belongs to one, assigns it again
            run.mark_preempting()
        _bounded(lambda: run.finish(exit_code=1), self.finish_timeout)

    def _init(self, run_id: str) -> "Run":
        import wandb

        # Once for each process: W&B then neither prints by itself nor asks for a key.
        settings = wandb.setup(wandb.Settings(silent=True)).settings
        if self.mode == "offline":
            self._replaced = _unsynced_sessions(self._record.path / "wandb")
        else:
            _bounded(lambda: _connect(settings.base_url), CONNECT_SECONDS)
        run = wandb.init(
            id=run_id,
            resume="allow",
            mode=self.mode,  # type: ignore[arg-type]  # one of MODES
            project=self.project,
            entity=self.entity,
            group=self.group,
            job_type=self.job_type,
            name=self.name,
            tags=self.tags,
            config={"dataset": self._record.config.get("name"), **self._record.config},
            dir=self._record.path,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=self.init_timeout,
                finish_timeout=self.finish_timeout,
                finish_timeout_raises=True,
            ),
        )
        if self.mode == "offline":
            print(f"W&B, offline: upload it with `wandb sync {run.sync_dir}`")
        else:
            print(f"W&B: {run.url}")
        return run

    def _add_provenance(self, run: "Run") -> None:
        """Once a cycle is recorded: adds data, device and versions to the configuration there."""
        if "provenance" in run.config:
            return
        recorded = self._record.read_summary()
        kept = ("data", "device", "versions")
        provenance = {key: recorded[key] for key in kept if key in recorded}
        run.config.update({"provenance": provenance})  # type: ignore[no-untyped-call]
        # Now and not at the start: a run that is replaced is lost only when the new one has begun.
        for session in self._replaced:
            shutil.rmtree(session, ignore_errors=True)

    def _finish(self, run: "Run", curve: LearningCurve) -> None:
        try:
            self._add_results(run, curve)
        finally:
            run.finish()

    def _add_results(self, run: "Run", curve: LearningCurve) -> None:
        import wandb

        picture = {"learning_curve": wandb.Image(str(self._record.path / PLOT))}
        last = curve.results[-1].cycle
        if run.step <= last:
            run.log(picture, step=last)
        else:  # a run that was stopped between its last cycle and here: the row is closed
            run.summary.update(picture)
        run.summary.update(curve.summary())
        artifact = wandb.Artifact(f"acquisitions-{run.id}", type="acquisitions")
        # Immutable: uploaded from where it is, without a copy in the user's home folder.
        file = self._record.path / ACQUISITIONS
        artifact.add_file(str(file), policy="immutable")
        artifact.add(_table(file), "acquisitions")
        run.log_artifact(artifact)


def _table(file: Path) -> "wandb.Table":
    """The rows of ``acquisitions.csv``, as W&B shows them."""
    import wandb

    with file.open(newline="", encoding="utf-8") as stream:
        columns, *rows = csv.reader(stream)
    num = len(ACQUISITION_COLUMNS)  # the others are texts
    return wandb.Table(
        columns=list(columns), data=[[*map(int, row[:num]), *row[num:]] for row in rows]
    )


def _connect(url: str) -> None:
    # W&B would try again and again until its timeout where there is no network.
    try:
        network.check_reachable(url, CONNECT_SECONDS)
    except ssl.SSLError:
        return  # W&B has settings of its own for certificates


def _unsynced_sessions(folder: Path) -> list[Path]:
    """Folders of earlier sessions that are not uploaded.

    A new session holds everything that is in them; and a damaged file of a killed process would
    keep ``wandb sync`` from uploading the session that replaces it.
    """
    sessions = folder.glob("offline-run-*")
    return [session for session in sessions if not list(session.glob("*.wandb.synced"))]


def _bounded(work: Callable[[], None], seconds: float) -> None:
    """Does the work in a thread, which is abandoned when it takes too long."""
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    if failures:
        raise failures[0]
