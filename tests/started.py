"""Runs of ``dal.train`` in processes of their own, which load nothing.

They are forked from one that has loaded what takes seconds to load, and has done nothing else.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["dal.train", "dal.cli.console", "dal.experiment.loop", "dal.strategies", "sklearn.datasets"]
)


class Run:
    """A running ``python -m dal.train``, with the methods of a ``subprocess.Popen``.

    Args:
        arguments: Of the command.
        folder: In which it runs.
        log: The file that its output and its errors are written to.
        environment: Variables beside those of this process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        variables = os.environ | dict(environment or {})
        output = log or Path(os.devnull)
        self._process = _FORKS.Process(target=_train, args=(arguments, folder, output, variables))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal that has ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As ``returncode``."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float | None = None) -> int:
        """Its exit status at its end."""
        self._process.join(seconds)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("dal.train", seconds or 0)
        return self.returncode


def _train(
    arguments: Sequence[str], folder: Path, output: Path, variables: Mapping[str, str]
) -> None:
    from dal import train

    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    with open(os.devnull) as nothing, output.open("w") as stream:
        for number, file in enumerate((nothing, stream, stream)):
            os.dup2(file.fileno(), number)
    sys.argv = ["dal.train", *arguments]
    train.main()
