"""The signals by which a cluster asks a process to stop."""

import os
import signal
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


class StopRequest:
    """Whether the process has been asked to stop.

    Attributes:
        signal: The name of the last signal that did; None as long as there was none.
    """

    signal: str | None = None

    def check(self) -> None:
        """Raises :class:`Stopped` if the process has been asked to stop.

        What a signal raises can get lost on its way: Python drops what is raised in a finalizer,
        and a compiled library may turn it into an error of its own.
        """
        if self.signal is not None:
            raise Stopped(self.signal)


@contextmanager
def stoppable() -> Iterator[StopRequest]:
    """Lets SIGTERM and SIGUSR1 raise :class:`Stopped` in the main thread, wherever that is.

    At once and not at the next cycle: a selection can outlast the time a cluster gives, and files
    are whole at any moment. One signal may come several times, from a job script and from SLURM.

    Yields:
        Whether a signal came. The handlers there were are back in the end; after a signal, when
        the process is about to end, they all ignore it.
    """
    request = StopRequest()
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> NoReturn:
        if os.getpid() != owner:  # a forked worker: only its parent has something to say
            os._exit(128 + number)
        request.signal = signal.Signals(number).name
        raise Stopped(request.signal)

    previous = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_IGN if request.signal else handler)
