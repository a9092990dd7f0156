"""The signals by which a cluster asks a process to stop."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# SLURM sends SIGTERM on preemption and at the end of the time limit, and whatever `--signal` says
# some time before it.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

# The status of a command that was asked to stop, EX_TEMPFAIL of sysexits.h: it has not failed, and
# the same command resumes it. A fixed number, for job scripts to compare with.
RESUMABLE = 75


class Stopped(BaseException):
    """The process has been asked to stop.

    Not an :class:`Exception`: what handles failures, here and in the libraries, must let it pass.
    """


_received: list[str] = []  # names of the signals that have asked this process to stop


def is_stopping() -> bool:
    """Whether this process has been asked to stop."""
    return bool(_received)


def check() -> None:
    """Raises :class:`Stopped` if this process has been asked to stop.

    What a signal raises can get lost on its way: Python drops what is raised in a finalizer, and a
    compiled library may turn it into an error of its own.
    """
    if _received:
        raise Stopped(_received[-1])


@contextmanager
def stoppable() -> Iterator[None]:
    """Lets SIGTERM and SIGUSR1 raise :class:`Stopped` in the main thread, wherever that is.

    At once and not at the next cycle: a selection can take longer than the time that a cluster
    gives, and files are whole at any moment. One signal may come several times, from a job script
    and from SLURM. At the end the former handlers are restored; after a signal, when the process
    is about to end, further ones are ignored.
    """
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> NoReturn:
        if os.getpid() != owner:  # a forked worker: only its parent has something to say
            os._exit(128 + number)
        _received.append(signal.Signals(number).name)
        raise Stopped(_received[-1])

    report = sys.unraisablehook

    def report_others(lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, Stopped):  # for which there is :func:`check`
            report(lost)

    previous = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    sys.unraisablehook = report_others
    try:
        yield
    finally:
        sys.unraisablehook = report
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_IGN if is_stopping() else handler)
        _received.clear()
