"""The job scripts without a SLURM: a command and an scontrol that only pretend."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "slurm"

# Ends with the status that the test says, on SIGUSR1 or SIGTERM if the test sends one.
COMMAND = """#!/usr/bin/env bash
echo "$(basename "$0") $*"
trap 'exit "$STATUS"' "$WAITS_FOR"
[[ $WAITS_FOR == EXIT ]] && exit "$STATUS"
echo ready
while :; do sleep 0.05; done
"""
SCONTROL = """#!/usr/bin/env bash
case $1 in
show) echo "JobId=7 JobState=$STATE Reason=None" ;;
requeue) echo "requeued $2" ;;
esac
"""


def start(
    folder: Path, script: str, *arguments: str, **environment: str
) -> "subprocess.Popen[str]":
    for name, text in (("python", COMMAND), ("wandb", COMMAND), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    job = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_SUBMIT_DIR": str(SCRIPTS.parent),
        "WAITS_FOR": "EXIT",
        "STATE": "RUNNING",
    }
    return subprocess.Popen(
        ["bash", SCRIPTS / script, *arguments],
        env=os.environ | job | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("script", "arguments", "command"),
    [
        (
            "extract.sbatch",
            ["x", "k=1"],
            "python -m dal.extract +experiment=x trainer.devices=auto k=1",
        ),
        (
            "array.sbatch",
            ["x", "k=1"],
            "python -m dal.train +experiment=x strategy=margin seed=1 k=1",
        ),
        ("sweep.sbatch", ["e/p/1", "--count=2"], "wandb agent --forward-signals --count=2 e/p/1"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_reaches_the_command_and_the_job_is_requeued(
    tmp_path: Path, script: str, arguments: list[str], command: str, number: signal.Signals
) -> None:
    waits_for, status = ("TERM", "1") if script.startswith("sweep") else ("USR1", "75")
    process = start(
        tmp_path,
        script,
        *arguments,
        WAITS_FOR=waits_for,
        STATUS=status,
        STRATEGIES="random margin",
        SEEDS="0 1",
        SLURM_ARRAY_TASK_ID="3",
    )
    assert process.stdout is not None
    shown = ""
    while not shown.endswith("ready\n"):
        shown += process.stdout.readline()
    assert command in shown
    if script.startswith("array"):
        assert shown.startswith("element 3 of 0-3: +experiment=x strategy=margin seed=1 k=1\n")
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "requeued 7" in out


@pytest.mark.parametrize(
    ("script", "status", "state"),
    [
        ("extract.sbatch", 0, "RUNNING"),
        ("extract.sbatch", 1, "RUNNING"),
        ("extract.sbatch", 75, "CANCELLED"),
        ("sweep.sbatch", 1, "RUNNING"),
    ],
)
def test_nothing_else_is_requeued(tmp_path: Path, script: str, status: int, state: str) -> None:
    process = start(tmp_path, script, "x", STATUS=str(status), STATE=state)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == status
    assert "requeued" not in out


def test_the_listing_is_every_combination(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        "array.sbatch",
        "--list",
        "digits",
        "al.num_acq=3",
        STRATEGIES="random margin",
        SEEDS="4 5 6",
    )
    out, _ = process.communicate(timeout=20)
    *elements, variables, command = out.splitlines()
    assert elements == [
        f"{2 * i + j}: strategy={strategy} seed={seed}"
        for i, seed in enumerate((4, 5, 6))
        for j, strategy in enumerate(("random", "margin"))
    ]
    assert variables == "STRATEGIES='random margin' SEEDS='4 5 6' \\"
    assert command == "    sbatch --array=0-5 slurm/array.sbatch digits al.num_acq=3"


@pytest.mark.parametrize(
    ("element", "arguments", "message"),
    [("", ["x"], "--array=0-49"), ("50", ["x"], "0-49, got 50"), ("0", [], "Usage: ")],
)
def test_a_wrong_submission_is_told(
    tmp_path: Path, element: str, arguments: list[str], message: str
) -> None:
    process = start(tmp_path, "array.sbatch", *arguments, SLURM_ARRAY_TASK_ID=element)
    out, _ = process.communicate(timeout=20)
    assert process.returncode != 0
    assert message in out
