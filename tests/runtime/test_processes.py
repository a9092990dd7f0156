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

    def select(self, query: Query) -> Selection:
        picks = super().select(query)
        with open(f"picks_{os.environ['TRY']}_{RANK}.txt", "a") as stream:
            stream.write(f"{picks.positions.tolist()}\\n")
        if str(RANK) in os.environ["FAILING"] and len(query.labels) >= 30:
            raise DataError(f"rank {RANK} cannot go on")
        return picks
"""


def train(folder: Path, name: str, *arguments: str, failing: str = "") -> tuple[int, str]:
    """Status and output of a run with the strategy above."""
    (folder / "own" / "strategy").mkdir(parents=True, exist_ok=True)
    (folder / "own" / "strategy" / "watched.yaml").write_text("_target_: watched.Watched\n")
    (folder / "watched.py").write_text(STRATEGY)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dal.train", "--config-dir", "own", *arguments),
            *("strategy=watched", f"name={name}", "trainer.max_epochs=20", "al.num_acq=4"),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder}", "TRY": name, "FAILING": failing},
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run on one device, under the name "one"."""
    folder = tmp_path_factory.mktemp("ranks")
    assert train(folder, "one", "trainer.accelerator=cpu")[0] == 0
    return folder


def test_ranks_agree_with_each_other_and_with_one_device(folder: Path) -> None:
    """Three of them: the mean of three equal gradients is not exact, that of two is."""
    status, out = train(folder, "three", "trainer.devices=3", *DDP)
    assert status == 0
    assert stable(folder, "three") == stable(folder, "one")
    picks = {(folder / f"picks_three_{rank}.txt").read_text() for rank in range(3)}
    assert picks == {(folder / "picks_one_0.txt").read_text()}
    lines = out.splitlines()
    assert lines[0] == "three watched seed 0 in outputs/three/watched/seed_0"  # once
    assert lines[1].startswith("watched selects from all rows in each of 3 processes")
    assert [line.split(":")[0] for line in lines[2:7]] == [f"cycle {n}/5" for n in range(1, 6)]
    assert lines[7].split() == ["labels", "50"]  # the result, once, and nothing else
    assert len(lines) == 13, out


def test_a_failing_rank_ends_all_and_the_run_resumes(folder: Path) -> None:
    status, out = train(folder, "two", "trainer.devices=2", *DDP, failing="1")
    assert status != 0
    assert out.count("rank 1 cannot go on") == 1
    assert "Traceback" not in out
    status, out = train(folder, "two", "trainer.devices=2", *DDP)
    assert status == 0
    assert "Resuming after 2 of 5 cycles" in out
    assert stable(folder, "two") == stable(folder, "one")


def test_what_fails_in_all_ranks_is_said_once(folder: Path) -> None:
    status, out = train(folder, "both", "trainer.devices=2", *DDP, failing="0,1")
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
