"""Kills at random moments: ``python -m tests.soak --kills 50 [OVERRIDE...]``.

One run is started, stopped by something, and started again until it is complete. Its curve and
its acquisitions are then compared with those of a run that nothing has stopped, and another one
begins. Overrides go to ``dal.train``. As root, the runs lie on a small disk that also gets full.
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dal.runtime.signals import RESUMABLE
from tests.run_files import num_rows, stable_curve
from tests.started import Run

DISK_MIB = 16
END_SECONDS = 60.0  # for a process that has been asked to end, on a busy machine
CYCLES_SECONDS = 2.0  # how long after its first sign of life a run is stopped, at most
# Root may write whatever the permissions.
FORBID, PERMIT = (["chmod", "500"], ["chmod", "700"])
if os.geteuid() == 0:
    FORBID, PERMIT = (["chattr", "+i"], ["chattr", "-i"])

Stop = Callable[[Run, Path], None]


@contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """Mounts a small file system where that is permitted; root in a container may not be."""
    options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m"]
    mount = ["mount", *options, "tmpfs", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


def sends(*numbers: signal.Signals) -> Stop:
    """Sends signals, one right after the other."""

    def stop(process: Run, _: Path) -> None:
        for number in numbers:
            process.send_signal(number)
        process.wait(END_SECONDS)

    return stop


def fill_disk(process: Run, run_dir: Path) -> None:
    """Leaves no room until the process has ended."""
    filler = run_dir.parent / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(512)):
                pass
        except OSError:
            pass
    try:
        process.wait(END_SECONDS)
    finally:
        filler.unlink()


def forbid_writing(process: Run, run_dir: Path) -> None:
    """Lets nothing be written to the folder until the process has ended."""
    run_dir.mkdir(exist_ok=True)
    subprocess.run([*FORBID, str(run_dir)], check=True)
    try:
        process.wait(END_SECONDS)
    finally:
        subprocess.run([*PERMIT, str(run_dir)], check=True)


def can_forbid_writing(folder: Path) -> bool:
    """Whether this system and its file system let it."""
    forbidden = subprocess.run([*FORBID, str(folder)], capture_output=True, check=False)
    subprocess.run([*PERMIT, str(folder)], capture_output=True, check=False)
    return forbidden.returncode == 0


# What stops a run, and the statuses that it may end with. Before the command handles signals, one
# does what it does to any process.
STOPS: dict[str, tuple[Stop, set[int]]] = {
    "SIGKILL": (sends(signal.SIGKILL), {-signal.SIGKILL}),
    "SIGTERM": (sends(signal.SIGTERM), {RESUMABLE, -signal.SIGTERM}),
    "SIGUSR1": (sends(signal.SIGUSR1), {RESUMABLE, -signal.SIGUSR1}),
    "SIGTERM and SIGUSR1": (
        sends(signal.SIGTERM, signal.SIGUSR1),
        {RESUMABLE, -signal.SIGTERM, -signal.SIGUSR1},
    ),
    "read-only folder": (forbid_writing, {1}),
    "full disk": (fill_disk, {1}),
}


def start(run_dir: Path, log: Path, overrides: Sequence[str]) -> Run:
    """Starts, or resumes, a run."""
    return Run([f"run_dir={run_dir}", *overrides], log.parent, log)


def soak(
    folder: Path,
    num_kills: int,
    seed: int = 0,
    overrides: Sequence[str] = (),
    kinds: Sequence[str] = (),
    say: Callable[[str], None] = print,
    whole: Path | None = None,
) -> Counter[str]:
    """How often a run was stopped by what, and how many were compared with the undisturbed one.

    Args:
        folder: An empty folder for the runs.
        num_kills: How often to stop a run.
        seed: Of the moments.
        overrides: Further ones of the command.
        kinds: Of stops; those that are possible here if not given.
        say: Is told of every stop.
        whole: A complete run with these overrides to compare with; if not given, one is made.

    Raises:
        AssertionError: If a run ends in another way than it should, or differs.
    """
    rng = random.Random(seed)
    log, disk = folder / "log", folder / "disk"
    if whole is None:
        whole = folder / "whole"
        process = start(whole, log, overrides)
        assert process.wait(600) == 0, log.read_text()
    counts: Counter[str] = Counter()
    disk.mkdir()
    with small_disk(disk) as mounted:
        possible = {"full disk": mounted, "read-only folder": can_forbid_writing(disk)}
        kinds = [kind for kind in kinds or STOPS if possible.get(kind, True)]
        run_dir = disk / "run_0"
        while counts.total() - counts["compared"] < num_kills or run_dir.exists():
            process = start(run_dir, log, overrides)
            kind = kinds[counts.total() % len(kinds)]
            if counts.total() - counts["compared"] < num_kills:
                stop, statuses = STOPS[kind]
                _wait_for_a_moment(process, run_dir, rng)
                ended_alone = process.poll() is not None
                began = time.monotonic()
                stop(process, run_dir)
                if not ended_alone and process.returncode != 0:
                    counts[kind] += 1
                    seconds = time.monotonic() - began
                    say(
                        f"{kind}: status {process.returncode} after {seconds:.1f} s, "
                        f"{num_rows(run_dir)} lines"
                    )
                    assert process.returncode in statuses, f"{kind}: {log.read_text()}"
                    assert "Traceback" not in log.read_text(), log.read_text()
                    continue
            assert process.wait(600) == 0, log.read_text()
            assert stable_curve(run_dir) == stable_curve(whole)
            name = "acquisitions.csv"
            assert (run_dir / name).read_bytes() == (whole / name).read_bytes()
            assert not list(run_dir.glob(".*.tmp"))
            counts["compared"] += 1
            say(f"complete and identical ({counts['compared']})")
            subprocess.run(["rm", "-r", str(run_dir)], check=True)
            run_dir = disk / f"run_{counts['compared']}"
    return counts


def _wait_for_a_moment(process: Run, run_dir: Path, rng: random.Random) -> None:
    """Waits for a random moment; one in five is soon after the start."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, CYCLES_SECONDS))
        return
    lines = num_rows(run_dir)
    while num_rows(run_dir) == lines and process.poll() is None:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, CYCLES_SECONDS))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how often to stop a run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = soak(Path(folder), arguments.kills, arguments.seed, overrides)
    for kind, count in counts.items():
        print(f"{count:4d} {kind}")


if __name__ == "__main__":
    main()
