"""Start, failure and end of the commands that Hydra configures."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from dal.cli import config, config_errors
from dal.errors import DalError
from dal.runtime import signals

INTERRUPTED = 130  # the shell's status of a command ended by Ctrl-C


class Outcome(NamedTuple):
    """The outcome of the jobs of a command line.

    Attributes:
        num_jobs: How many there were.
        failures: Title and message of each job that failed.
    """

    num_jobs: int
    failures: list[tuple[str, str]]

    def end_process(self) -> None:
        """Ends the process with status 1 if a job failed; those of a multirun are listed again."""
        if self.num_jobs > 1 and self.failures:
            errors = Console(stderr=True, highlight=False)
            errors.print(f"{len(self.failures)} of {self.num_jobs} jobs failed:")
            for name, message in self.failures:
                line = f"{name}: {' '.join(message.split())}"
                errors.print(f"  {escape(line)}", soft_wrap=True)
        if self.failures:
            sys.exit(1)


def run(
    config_name: str, title: Callable[[DictConfig], str], job: Callable[[DictConfig], None]
) -> Outcome:
    """Runs the jobs of the command line; in a multirun a failed job does not stop the others.

    An error that the user can fix is one message on standard error. Others keep their traceback.

    Args:
        config_name: The file in ``conf`` that the configuration starts from.
        title: What to call a job in a message.
        job: What to do with a composed configuration.

    Returns:
        Their outcome. The process ends here if no job could be composed at all, if the user has
        interrupted it, or, with status 75, if SIGTERM or SIGUSR1 has asked it to stop.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # for classes of the user's own, as `python -m` finds them
    # Two threads that spin between the short steps of a fit take the cores from other processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Hydra would print its own errors, and shorten the traceback of ours, before we see them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    errors = Console(stderr=True, highlight=False)
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    failures: list[tuple[str, str]] = []
    num_jobs = 0

    def run_job(cfg: DictConfig) -> None:
        nonlocal num_jobs
        num_jobs += 1
        name, message = "run", None
        try:
            name = title(cfg)
            job(cfg)
        except DalError as error:
            signals.check()
            message = str(error)
        except Exception as error:
            signals.check()
            message = config_errors.explain(error, overrides, config_name)
            if message is None:
                if HydraConfig.get().mode is not RunMode.MULTIRUN:
                    raise
                # Hydra would raise it after all jobs, and their results would not be shown.
                traceback.print_exc()
                message = f"{type(error).__name__}: {error}"
        signals.check()
        if message is not None:
            # Two jobs of a multirun may have one title: they differ in their overrides.
            overridden = " ".join(HydraConfig.get().overrides.task)
            failures.append((f"{name} ({overridden})", message))
            errors.print(f"[bold red]Error[/] in {name}:", message, soft_wrap=True)

    command = hydra.main(
        version_base="1.3", config_path=str(config.folder()), config_name=config_name
    )(run_job)
    try:
        with signals.stoppable():
            command()
    except signals.Stopped as stopped:
        errors.print(f"Stopped by {stopped}. Run the same command again to resume.")
        sys.exit(signals.RESUMABLE)
    except KeyboardInterrupt:
        errors.print("Interrupted. Run the same command again to resume.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = config_errors.explain(error, overrides, config_name)
        if message is None:
            raise
        errors.print("[bold red]Error:[/]", message, soft_wrap=True)
        sys.exit(1)
    return Outcome(num_jobs, failures)
