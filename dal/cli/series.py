"""The jobs of one multirun: which are done, in whichever process, and how long the rest takes.

Hydra's launchers run jobs in this process, in others or on a cluster, and tell nothing until all
are done. So every job leaves a file in a folder that all processes know, and the command reads it.
"""

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.basic_launcher import BasicLauncherConf
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from dal.cli import terminal
from dal.cli.terminal import duration
from dal.runtime import files

FOLDER_VARIABLE = "DAL_SERIES"  # the folder, in the environment of all processes
PLAN = "series.json"
BEST = "optimization_results.yaml"  # what Optuna's sweeper leaves


@dataclass(frozen=True)
class FinishedJob:
    """A job that has ended.

    Attributes:
        number: From 0, in the order of the series.
        title: What it is called in messages.
        overrides: What it overrides.
        run_dir: Where its run is; empty if it has none.
        seconds: How long it took.
        process: Which process ran it.
        message: Why it failed; None if it succeeded.
    """

    number: int
    title: str
    overrides: str
    run_dir: str
    seconds: float
    process: int
    message: str | None

    @cached_property
    def result(self) -> dict[str, Any]:
        """The summary of the run; empty if it is not complete."""
        try:
            summary = json.loads(Path(self.run_dir, "summary.json").read_text())
        except (OSError, ValueError):
            return {}
        return dict(summary) if summary.get("finished") else {}


class Series:
    """The jobs of a multirun, as all processes see them.

    Args:
        folder: Where their files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = json.loads((folder / PLAN).read_text())
        self.num_jobs: int | None = plan["num_jobs"]
        self.kinds: list[str] = plan["kinds"]
        self.owner: int = plan["owner"]
        self.is_parallel: bool = plan["is_parallel"]
        self.swept: list[str] = plan["swept"]
        self.began: float = plan["began"]

    @classmethod
    def current(cls) -> "Series | None":
        """The series that this process belongs to, if it belongs to one."""
        folder = os.environ.get(FOLDER_VARIABLE)
        return cls(Path(folder)) if folder else None

    @classmethod
    def begin(cls, config: DictConfig) -> None:
        """Starts the series that a multirun's configuration describes."""
        sweep_dir = Path(config.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="series_", dir=sweep_dir)).absolute()
        jobs = _planned_jobs(config)
        plan = {
            "num_jobs": len(jobs) or config.hydra.sweeper.get("n_trials"),
            # How long a run takes hardly depends on its seed.
            "kinds": [
                " ".join(override for override in job if not override.startswith("seed="))
                for job in jobs
            ],
            "owner": os.getpid(),
            "is_parallel": config.hydra.launcher._target_ != BasicLauncherConf._target_,
            "swept": find_swept_keys(_overrides(config)),
            "began": time.time(),
        }
        files.write_atomically(folder / PLAN, json.dumps(plan))
        os.environ[FOLDER_VARIABLE] = str(folder)

    @property
    def is_here(self) -> bool:
        """Whether this is the process of the command itself."""
        return self.owner == os.getpid()

    def add(self, job: FinishedJob) -> None:
        """Makes a finished job known to all processes."""
        files.write_atomically(self.folder / f"job_{job.number}.json", json.dumps(asdict(job)))

    def finished(self) -> list[FinishedJob]:
        """The jobs that have ended, in the order of the series."""
        jobs = [
            FinishedJob(**json.loads(file.read_text())) for file in self.folder.glob("job_*.json")
        ]
        return sorted(jobs, key=lambda job: job.number)

    def describe(self) -> str:
        """How many runs there are, and how they are started, in words."""
        if self.num_jobs == 1:
            return "1 run."
        return f"{self.num_jobs} runs, {'several at once' if self.is_parallel else 'one by one'}."

    def progress(self, jobs: Sequence[FinishedJob]) -> str:
        """How many are done and how long the others take, in words."""
        if self.num_jobs is None:
            return f"{len(jobs)} runs"
        left = self.seconds_left(jobs, time.time() - self.began)
        time_left = f", {duration(left)} left" if left else ""
        return f"{len(jobs)} of {self.num_jobs} runs{time_left}"

    def seconds_left(self, jobs: Sequence[FinishedJob], elapsed: float) -> float:
        """Estimate of the time that remains; 0 if there is nothing to judge from.

        Args:
            jobs: Those that have ended.
            elapsed: Seconds since the series began.
        """
        # What was complete before, or has failed, does not tell how long a run takes.
        told = [job for job in jobs if self._has_computed(job)]
        if not told or self.num_jobs is None:
            return 0.0
        by_kind: dict[str, list[float]] = {}
        for job in told:
            by_kind.setdefault(self._kind(job.number), []).append(job.seconds)
        # Medians: the first run of a process has loaded what computes, too.
        overall = statistics.median(job.seconds for job in told)
        done = {job.number for job in jobs}
        remaining = sum(
            statistics.median(by_kind.get(self._kind(number), [overall]))
            for number in range(self.num_jobs)
            if number not in done
        )
        num_at_once = max(sum(job.seconds for job in jobs) / max(elapsed, 1e-9), 1.0)
        return remaining / (num_at_once if self.is_parallel else 1.0)

    def best(self) -> dict[str, Any]:
        """What an optimizing sweeper has found: ``best_params`` and ``best_value``, or nothing."""
        file = self.folder.parent / BEST
        if not file.exists() or file.stat().st_mtime < self.began:
            return {}
        return dict(yaml.safe_load(file.read_text()))

    def end(self) -> None:
        """Removes what the series has left, apart from the results of a sweeper."""
        os.environ.pop(FOLDER_VARIABLE, None)
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # another series may be using the folder, or a launcher keep logs
            (self.folder.parent / "multirun.yaml").unlink(missing_ok=True)
            self.folder.parent.rmdir()

    def _kind(self, number: int) -> str:
        return self.kinds[number] if number < len(self.kinds) else ""

    def _has_computed(self, job: FinishedJob) -> bool:
        try:
            return Path(job.run_dir, "summary.json").stat().st_mtime >= self.began
        except OSError:
            return False


class AnnounceSeries(Callback):
    """Lets the series be known before Hydra starts the first job of a multirun."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Begins the series and says how long it is.

        Optimizing sweepers minimize unless told otherwise; the value of a job is an AUC.
        """
        sweeper, overrides = config.hydra.sweeper, config.hydra.overrides.hydra
        is_chosen = any(word.startswith("hydra.sweeper.direction=") for word in overrides)
        if "direction" in sweeper and not is_chosen and not OmegaConf.is_list(sweeper.direction):
            sweeper.direction = "maximize"
        with suppress(OSError):  # what cannot be written Hydra is going to say
            Series.begin(config)
        series = Series.current()
        if series is not None and series.num_jobs is not None and terminal.is_first_process():
            terminal.console().print(series.describe(), soft_wrap=True)


def find_swept_keys(overrides: Sequence[str]) -> list[str]:
    """The keys and groups to which a multirun gives several values.

    Example:
        >>> find_swept_keys(["seed=0,1", "al.num_acq=5", "head.optimizer.lr=interval(0, 1)"])
        ['head.optimizer.lr', 'seed']
    """
    swept = {each.key_or_group for each in parse(overrides) if each.is_sweep_override()}
    return sorted(swept)


def first_value(argument: str) -> str:
    """An argument of the command line with the first of its values, if it gives several.

    Example:
        >>> first_value("strategy=random,bait"), first_value("seed=3"), first_value("--help")
        ('strategy=random', 'seed=3', '--help')
    """
    for override in parse([argument]) if "=" in argument else []:
        if override.is_discrete_sweep():
            return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
    return argument


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides in Hydra's grammar; none if one is not, which Hydra itself is going to say."""
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except HydraException:
        return []


def _overrides(config: DictConfig) -> list[str]:
    """What a multirun varies and sets: on the command line, and in its sweeper's configuration."""
    params = config.hydra.sweeper.get("params") or {}
    return [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]


def _planned_jobs(config: DictConfig) -> list[list[str]]:
    """The overrides of each job; none if the sweeper is not Hydra's own."""
    if config.hydra.sweeper._target_ != BasicSweeperConf._target_:
        return []
    overrides = _overrides(config)
    parsed = parse(overrides)
    if overrides and not parsed:
        return []
    try:
        return list(BasicSweeper.split_arguments(parsed, None)[0])
    except HydraException:  # intervals, which the sweeper is going to refuse itself
        return []
