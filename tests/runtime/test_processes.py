"""Several devices: processes on the CPU, started by the command as a user would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dal import train as dal_train

ROOT = Path(__file__).parents[2]
DDP = ["trainer.strategy=ddp", "trainer.accelerator=cpu"]
STRATEGY = """
import os

from dal.errors import DataError
from dal.strategies import BaitBinary, Query, Selection

RANK = int(os.environ.get("LOCAL_RANK", "0"))


class Watched(BaitBinary):
    "Keeps a list of its picks a rank, and fails in the ranks of FAILING at the third cycle."

    is_shared = os.environ["TRY"] != "2"

    def select(self, query: Query) -> Selection:
        picks = super().select(query)
        with open(f"picks_{os.environ['TRY']}_{RANK}.txt", "a") as stream:
            stream.write(f"{picks.positions.tolist()}\\n")
        if str(RANK) in os.environ["FAILING"] and len(query.labels) >= 30:
            raise DataError(f"rank {RANK} cannot go on")
        return picks
"""


def words(folder: Path, name: str, *arguments: str) -> list[str]:
    """Arguments of a run with the strategy above."""
    (folder / "own" / "strategy").mkdir(parents=True, exist_ok=True)
    (folder / "own" / "strategy" / "watched.yaml").write_text("_target_: watched.Watched\n")
    (folder / "watched.py").write_text(STRATEGY)
    own = ["strategy=watched", f"name={name}", "trainer.max_epochs=20", "al.num_acq=4"]
    return ["--config-dir", "own", *arguments, *own]


def train(folder: Path, name: str, num: int, failing: str = "") -> tuple[int, str]:
    """Status and output of a run on several devices; ``dal train`` starts the others as itself."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dal", "train"),
            *words(
                folder, name, "trainer=ddp", f"trainer.devices={num}", "trainer.accelerator=cpu"
            ),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder}", "TRY": str(num), "FAILING": failing},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def stable(folder: Path, name: str) -> tuple[bytes, list[list[str]]]:
    run_dir = folder / "outputs" / name / "watched" / "seed_0"
    curve = [line.split(",")[:6] for line in (run_dir / "curve.csv").read_text().splitlines()]
    return (run_dir / "acquisitions.csv").read_bytes(), curve


@pytest.mark.long
def test_a_failing_rank_ends_all_and_others_finish_as_one_device_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of them: the mean of three equal gradients is not exact, that of two is."""
    status, out = train(tmp_path, "several", 2, failing="1")
    assert status != 0
    assert out.count("rank 1 cannot go on") == 1
    assert "Traceback" not in out
    assert "watched selects from all rows in each of 2 processes" in out
    status, out = train(tmp_path, "several", 3)
    assert status == 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRY", "1")
    monkeypatch.setenv("FAILING", "")
    monkeypatch.setattr(
        sys, "argv", ["dal.train", *words(tmp_path, "one", "trainer.accelerator=cpu")]
    )
    dal_train.main()
    assert stable(tmp_path, "several") == stable(tmp_path, "one")
    by_one = (tmp_path / "picks_1_0.txt").read_text().splitlines()
    for num, cycles in ((2, by_one[:2]), (3, by_one[2:])):
        for rank in range(num):
            picks = (tmp_path / f"picks_{num}_{rank}.txt").read_text().splitlines()
            assert picks[: len(cycles)] == cycles
    lines = out.splitlines()
    assert lines[0] == "several watched seed 0 in outputs/several/watched/seed_0"  # once
    assert "Resuming after 2 of 5 cycles" in lines[1]
    assert [line.split(":")[0] for line in lines[2:5]] == [f"cycle {n}/5" for n in range(3, 6)]
    assert lines[5].split() == ["labels", "50"]  # the result, once, and nothing else
    assert len(lines) == 11, out


@pytest.mark.long
def test_what_fails_in_all_ranks_is_said_once(tmp_path: Path) -> None:
    status, out = train(tmp_path, "both", 2, failing="0,1")
    assert status == 1
    assert out.count("cannot go on") == 1
    assert "rank 0 cannot go on" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "seed=0,1", "trainer.devices=2", *DDP], "Expected one device with -m"),
        (
            ["trainer.devices=2", "trainer.accelerator=cpu", "trainer.strategy=ddp_spawn"],
            "Expected trainer.strategy=ddp with several devices",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dal.train", *arguments])
    with pytest.raises(SystemExit) as end:
        dal_train.main()
    assert end.value.code == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("outputs/*/*/*/curve.csv"))
