import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dal.runtime import locks

ROOT = Path(locks.__file__).parents[2]
HERE = f"process {os.getpid()} on {socket.gethostname()}"


class HeldError(Exception):
    pass


def refuse(holder: str) -> None:
    raise HeldError(holder)


def test_the_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.01)
    holders: list[str] = []
    order = []

    def second() -> None:
        with locks.hold(tmp_path / "lock", "computes it", holders.append):
            order.append("second")

    with locks.hold(tmp_path / "lock", "computes it", refuse):
        thread = threading.Thread(target=second)
        thread.start()
        while not holders:
            time.sleep(0.001)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert holders == [HERE]


def test_who_does_not_wait_is_told_who_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with locks.hold(file, "computes it", refuse):
        with pytest.raises(HeldError, match=HERE), locks.hold(file, "computes it", refuse):
            pass
        with pytest.raises(HeldError), locks.hold(file, "computes it", refuse):  # still held
            pass
    with locks.hold(file, "computes it", refuse):
        pass


def test_a_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    """Also while a process that it has forked lives on, as workers that decode do for a while."""
    file = tmp_path / "lock"
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from dal.runtime import locks\n"
        "with locks.hold(Path(sys.argv[1]), 'computes it', print):\n"
        "    if not os.fork():\n"  # which closes what it has inherited before it goes on
        "        print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with (
            pytest.raises(HeldError, match=f"process {process.pid} on"),
            locks.hold(file, "computes it", refuse),
        ):
            pass
        process.kill()
        process.wait()
        with locks.hold(file, "computes it", refuse):
            assert file.read_text() == HERE
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_a_file_system_without_locks_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with (
        pytest.warns(UserWarning, match="lock cannot be locked .*no second process computes it"),
        locks.hold(tmp_path / "lock", "computes it", refuse),
    ):
        pass


def test_a_lock_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), locks.hold(tmp_path, "computes it", refuse):
        pass
