"""The shipped array script on a real SLURM; `tests/slurm/run` starts one and runs this."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.run_files import num_rows, stable_curve

ROOT = Path(__file__).parents[2]
CLUSTER = os.environ.get("DAL_TEST_SLURM")  # the folder of tests/slurm/cluster
pytestmark = pytest.mark.skipif(CLUSTER is None, reason="a SLURM is started by tests/slurm/run")

ENVIRONMENT = {
    "SLURM_CONF": f"{CLUSTER}/slurm.conf",
    "STRATEGIES": "random bait_binary",
    "SEEDS": "0 1",
    "OMP_NUM_THREADS": "1",  # of the direct runs as of the elements
    "PYTHONPATH": str(ROOT),
}
OVERRIDES = ["trainer.max_epochs=60", "al.num_acq=20"]


def call(*command: str | Path) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def submitted(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The array's job, and by element what the script says that it does."""
    script = ROOT / "slurm" / "array.sbatch"
    overrides = [*OVERRIDES, f"output_root={tmp_path / 'cluster'}"]
    listing = call("bash", script, "--list", "digits", *overrides)
    elements = dict(re.findall(r"^(\d+): (.*)$", listing, re.MULTILINE))
    assert "--array=0-3 " in listing
    job = call(
        *("sbatch", "--parsable", "--array=0-3", "--cpus-per-task=1", "--mem=0"),
        *("-o", str(tmp_path / "element_%a.log"), str(script), "digits", *overrides),
    ).strip()
    yield job, elements
    subprocess.run(["scancel", job], env=os.environ | ENVIRONMENT, check=False)


@pytest.mark.timeout(400)
def test_an_array_requeued_in_the_middle(
    submitted: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    job, elements = submitted
    assert sorted(elements.values()) == [
        f"strategy={strategy} seed={seed}"
        for strategy in ("bait_binary", "random")
        for seed in (0, 1)
    ]

    def run_dir(root: str, element: str) -> Path:
        strategy, seed = (part.partition("=")[2] for part in elements[element].split())
        return tmp_path / root / "digits" / strategy / f"seed_{seed}"

    interruptions = {
        "0": ("scontrol", "requeue", f"{job}_0"),  # as an operator or a preemption would
        # As the time limit would. SLURM 22.05 delivers it, says that it could not, and tries again.
        "1": ("timeout", "2", "scancel", "-b", "-s", "USR1", f"{job}_1"),
    }
    due = dict(interruptions)
    environment = os.environ | ENVIRONMENT

    def all_interrupted() -> bool:
        for element in list(due):
            if num_rows(run_dir("cluster", element)) >= 3:
                subprocess.run(due.pop(element), env=environment, check=False)
        return not due

    until(all_interrupted, 120)

    def all_done() -> bool:
        waiting = call("squeue", "--noheader", "--array", "--format=%i %r", "--jobs", job)
        for line in waiting.splitlines():
            name, reason = line.split(maxsplit=1)
            if reason == "BeginTime":  # what was requeued would wait for two minutes
                call("scontrol", "update", f"jobid={name}", "starttime=now")
        return not waiting

    until(all_done, 240)
    direct = ["strategy=random,bait_binary", "seed=0,1", f"output_root={tmp_path / 'direct'}"]
    call(sys.executable, "-m", "dal.train", "-m", "+experiment=digits", *direct, *OVERRIDES)
    for element, does in elements.items():
        log = (tmp_path / f"element_{element}.log").read_text()
        assert f"element {element} of 0-3: +experiment=digits {does}" in log
        assert ("start 2" in log and "Resuming after" in log) == (element in interruptions)
        assert "JobState=COMPLETED" in call("scontrol", "show", "job", f"{job}_{element}")
        there, here = run_dir("cluster", element), run_dir("direct", element)
        assert num_rows(here) == 22
        assert stable_curve(there) == stable_curve(here)
        name = "acquisitions.csv"
        assert (there / name).read_bytes() == (here / name).read_bytes()
    assert "Stopped by SIGUSR1" in (tmp_path / "element_1.log").read_text()
    assert "goes back to the queue" in (tmp_path / "element_1.log").read_text()
