"""What the commands that Hydra configures have in common: how they start, fail and end."""

import os
import sys
from collections.abc import Callable

import hydra
from omegaconf import DictConfig
from rich.console import Console

from dal import config as configuration
from dal.errors import DalError

INTERRUPTED = 130  # the shell's status of a command ended by Ctrl-C


def run(primary: str, title: Callable[[DictConfig], str], job: Callable[[DictConfig], None]) -> int:
    """Runs the jobs of the command line; a job that fails leaves the others of a multirun to go on.

    An error that the user can mend is one message on standard error. Others keep their traceback.

    Args:
        primary: The file in ``conf`` that the configuration starts from.
        title: What to call a job in a message.
        job: What to do with a composed configuration.

    Returns:
        How many jobs failed. The process ends here if no job could be composed at all, or if the
        user has interrupted it.
    """
    # Two threads that spin between the tiny steps of a fit starve every other process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Hydra would print its own errors, and shorten the traceback of ours, before we see them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    errors = Console(stderr=True, highlight=False)
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    num_failed = 0

    def guarded(cfg: DictConfig) -> None:
        nonlocal num_failed
        name, message = "run", None
        try:
            name = title(cfg)
            job(cfg)
        except DalError as error:
            message = str(error)
        except Exception as error:
            message = configuration.explained(error, overrides, primary)
            if message is None:
                raise
        if message is not None:
            num_failed += 1
            errors.print(f"[bold red]Error[/] in {name}:", message, soft_wrap=True)

    command = hydra.main(
        version_base="1.3", config_path=str(configuration.folder()), config_name=primary
    )(guarded)
    try:
        command()
    except KeyboardInterrupt:
        errors.print("Interrupted. Run the same command again to resume.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = configuration.explained(error, overrides, primary)
        if message is None:
            raise
        errors.print("[bold red]Error:[/]", message, soft_wrap=True)
        sys.exit(1)
    return num_failed
