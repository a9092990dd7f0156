"""Locks between processes, which end with the process that holds them."""

import errno
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.5

# What file systems answer that have no locks: some network file systems, as they are mounted.
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def hold(file: Path, purpose: str, when_held: Callable[[str], None]) -> Iterator[None]:
    """Holds a lock while the body runs, after any other process that holds it.

    Where the file system has no locks, it warns and holds none.

    Args:
        file: Identifies the lock. It names the process that held the lock last, and stays. Its
            folder must exist.
        purpose: What the lock protects, for the warning, for example ``"computes the same
            features"``.
        when_held: Is called once, before the wait, if another process holds the lock; it is told
            which one. What it raises ends the wait.

    Raises:
        OSError: If the file cannot be written.
    """
    lock = FileLock(
        file,
        poll_interval=POLL_SECONDS,
        on_acquired=_write_holder,
        # The library's own substitute for locks is a file that a killed process leaves behind.
        fallback_to_soft=False,
    )
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            when_held(file.read_text() or "another process")
            lock.acquire()
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warnings.warn(
            f"{file} cannot be locked ({error.strerror}): make sure that no second process "
            f"{purpose}.",
            stacklevel=3,
        )
    try:
        yield
    finally:
        lock.release()


def _write_holder(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
