"""Start, failure and end of the commands that Hydra configures."""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Self

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from dal import __version__
from dal.cli import config, config_errors, overrides, summary, terminal
from dal.cli.series import FinishedJob, Series, first_value
from dal.errors import DalError
from dal.runtime import signals, waiting

INTERRUPTED = 130  # the shell's status of a command ended by Ctrl-C
BROKEN_PIPE = 141  # and of one whose output nobody reads any more
WATCH_SECONDS = 0.5  # between two looks at the jobs in other processes

# A job as Hydra's launchers take it: a function of a module, to be sent to another process.
Job = Callable[[DictConfig], float | None]


class Outcome(NamedTuple):
    """The outcome of the jobs of a multirun; empty after a single run.

    Attributes:
        jobs: All that have ended.
        best: What an optimizing sweeper has found; see :meth:`dal.cli.series.Series.best`.
    """

    jobs: Sequence[FinishedJob] = ()
    best: Mapping[str, Any] = {}

    @property
    def succeeded(self) -> list[FinishedJob]:
        """Those that have not failed."""
        return [job for job in self.jobs if job.message is None]

    @property
    def failed(self) -> list[FinishedJob]:
        """The others."""
        return [job for job in self.jobs if job.message is not None]

    def end_process(self) -> None:
        """Ends the process with status 1 if a job failed; those of a multirun are listed again."""
        if not self.failed:
            return
        if len(self.jobs) > 1:
            errors = terminal.error_console()
            errors.print(f"{len(self.failed)} of {len(self.jobs)} jobs failed:")
            for job in self.failed:
                # Two jobs may have one title: they differ in their overrides.
                line = f"{job.title} ({job.overrides}): {' '.join((job.message or '').split())}"
                errors.print(f"  {line}", soft_wrap=True)
        sys.exit(1)


def run_job(
    cfg: DictConfig, config_name: str, title: Callable[[DictConfig], str], job: Job
) -> float | None:
    """Runs one job; in a multirun a failed job does not stop the others.

    An error that the user can fix is one message on standard error. Others keep their traceback.

    Args:
        cfg: The composed configuration.
        config_name: The file in ``conf`` that it started from.
        title: What to call the job in a message.
        job: What to do. What it returns is what a sweeper optimizes.

    Returns:
        What the job returns; None if it fails in a multirun. A single run that fails ends the
        process with status 1.
    """
    _prepare_process()
    hydra_config = HydraConfig.get()
    given = list(hydra_config.overrides.task)
    series = Series.current() if hydra_config.mode is RunMode.MULTIRUN else None
    name, message, value = "run", None, None
    began = time.monotonic()
    try:
        name = title(cfg)
        value = job(cfg)
    except DalError as error:
        signals.check()
        message = str(error)
    except Exception as error:
        signals.check()
        message = config_errors.explain(error, given, config_name)
        if message is None:
            if series is None:
                raise
            # Hydra would raise it after all jobs, and their results would not be shown.
            traceback.print_exc()
            message = f"{type(error).__name__}: {error}"
    signals.check()
    if series is None:
        if message is not None:
            print_error(message, name)
            sys.exit(1)
        return value
    finished = FinishedJob(
        number=hydra_config.job.num,
        title=name,
        overrides=" ".join(given),
        run_dir=str(cfg.run_dir) if "run_dir" in cfg else "",
        seconds=time.monotonic() - began,
        process=os.getpid(),
        message=message,
    )
    series.add(finished)
    if series.is_here:
        _report(finished, series, terminal.console())
    return value


def run(config_name: str, job: Job) -> Outcome:
    """Runs the jobs of the command line.

    Args:
        config_name: The file in ``conf`` that the configuration starts from.
        job: What to do with a composed configuration: a function of a module that calls
            :func:`run_job`.

    Returns:
        Their outcome. The process ends here if a single run has failed, if no job could be composed
        at all, if the user has interrupted it, or, with status 75, if SIGTERM or SIGUSR1 has asked
        it to stop.
    """
    if "--version" in sys.argv[1:]:
        print(f"dal {__version__}")
        sys.exit(0)
    if {"--help", "-h"} & set(sys.argv[1:]):
        # Values as a run would have them, not where they come from; of a multirun, the first one.
        sys.argv = [sys.argv[0], *map(first_value, sys.argv[1:]), "--resolve"]
    _prepare_process()
    errors = terminal.error_console()
    sys.argv[1:] = overrides.quote_unreadable(sys.argv[1:])  # which Hydra reads
    given = [argument for argument in sys.argv[1:] if "=" in argument]
    again = "Run the same command again to resume."
    if "overwrite=true" in [override.lower() for override in given]:
        again = "Run the same command without overwrite=true to resume it."
    command = hydra.main(
        version_base="1.3", config_path=str(config.folder()), config_name=config_name
    )(job)
    try:
        with Watch(), signals.stoppable():
            command()
        return _outcome()
    except signals.Stopped as stopped:
        errors.print(f"Stopped by {stopped}. {again}")
        sys.exit(signals.RESUMABLE)
    except BrokenPipeError:  # whoever read the output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        sys.exit(BROKEN_PIPE)
    except KeyboardInterrupt:
        errors.print(f"Interrupted. {again}")
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = config_errors.explain(error, given, config_name)
        outcome = _outcome()
        if message is None and outcome.jobs and not outcome.succeeded:
            return outcome  # a sweeper that has no result to choose from
        if message is None and isinstance(error, OSError) and error.filename:
            message = (
                f"Cannot write {error.filename}: {error.strerror}. Choose another place with "
                "output_root=DIR."
            )
        if message is None:
            raise
        print_error(message)
        sys.exit(1)
    finally:
        series = Series.current()
        if series is not None:
            series.end()


class Watch(threading.Thread):
    """Reports the jobs of a series that end in other processes, while Hydra waits for them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._is_over = threading.Event()
        self._reported: set[int] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        """Looks again and again until the series is over."""
        while (series := Series.current()) is None or not series.is_parallel:
            if self._is_over.wait(WATCH_SECONDS):
                return
        console = terminal.console()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(20))
        bar = Progress(*columns, console=console, transient=True)
        with bar if terminal.is_live(console) else nullcontext():
            task = bar.add_task("", total=series.num_jobs)
            is_over = False
            while not is_over:
                is_over = self._is_over.wait(WATCH_SECONDS)
                jobs = series.finished()
                for job in jobs:
                    if job.number not in self._reported and job.process != os.getpid():
                        self._reported.add(job.number)
                        _report(job, series, console)
                bar.update(task, completed=len(jobs), description=series.progress(jobs))


def _prepare_process() -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # for classes of the user's own, as `python -m` finds them
    waiting.wait_briefly()
    # Hydra would print its own errors, and shorten the traceback of ours, before we see them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)


def _outcome() -> Outcome:
    series = Series.current()
    return Outcome() if series is None else Outcome(series.finished(), series.best())


def _report(job: FinishedJob, series: Series, console: Console) -> None:
    if job.message is not None:
        print_error(job.message, job.title)
    else:
        line = summary.result_line(job, series.progress(series.finished()))
        console.print(line, soft_wrap=True)


def print_error(message: str, name: str = "") -> None:
    """Shows an error on standard error; ``name`` is the job that has failed, if it is a job."""
    word = Text("Error", style="bold red")
    where = f" in {name}" if name else ""
    terminal.error_console().print(Text.assemble(word, f"{where}: {message}"), soft_wrap=True)
