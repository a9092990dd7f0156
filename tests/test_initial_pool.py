"""``al.init`` on the command line."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dal import train
from dal.report import runs

Command = Callable[..., tuple[int, str, str]]
SHORT = ["trainer.max_epochs=2", "al.num_acq=2", "strategy=margin"]
FIRST = """
from dal.strategies import Random

class First(Random):
    def __init__(self, subset_size=None, epochs=0):
        super().__init__(subset_size)
        print(f"epochs {epochs}")

    def select(self, query):
        assert query.num_classes == 10
        return super().select(query).sort().values
"""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `python -m dal.train` in this process and a folder of its own."""

    def run(*arguments: str, flags: Sequence[str] = ()) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["dal.train", *flags, *SHORT, *arguments])
        status = 0
        try:
            train.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        out, err = capsys.readouterr()
        return status, out, err.replace("\n", " ")

    return run


def first_rows(run_dir: Path, cycle: str = "0") -> list[str]:
    lines = (run_dir / "acquisitions.csv").read_text().splitlines()[1:]
    return [line for line in lines if line.startswith(f"{cycle},")]


def test_other_initial_pools_are_other_configurations(command: Command, tmp_path: Path) -> None:
    found = {}
    for init in ("random", "class_balanced", "typiclust"):
        assert command(f"al.init={init}", f"run_dir={tmp_path / 'runs' / init}")[0] == 0
        found[init] = tuple(first_rows(tmp_path / "runs" / init))
        assert len(found[init]) == 10
    assert len(set(found.values())) == 3
    status, _, err = command("al.init=random", f"run_dir={tmp_path / 'runs' / 'typiclust'}")
    assert status == 1
    assert "al.init: 'typiclust' → 'random'" in err
    # A report does not take their mean.
    reading = runs.read([tmp_path / "runs"])
    assert set(reading.configurations.dataset) == {f"digits [al.init={init}]" for init in found}


def test_a_strategy_of_ones_own(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "strategy").mkdir(parents=True)
    (tmp_path / "first_rows.py").write_text(FIRST)
    (tmp_path / "mine" / "strategy" / "first.yaml").write_text(
        "_target_: first_rows.First\nepochs: ${trainer.max_epochs}\n"
    )
    mine = ["--config-dir", "mine"]
    status, out, err = command("al.init=first", "run_dir=run", flags=mine)
    assert (status, err) == (0, "")
    assert "epochs 2" in out
    indices = [int(row.split(",")[2]) for row in first_rows(tmp_path / "run")]
    assert indices == sorted(indices)
    err = command("al.init=margin", flags=mine)[2]
    known = err.partition("Known: ")[2].rstrip(". \n").split(", ")
    assert {"class_balanced", "first", "random", "typiclust"} <= set(known)
    assert not {"margin", "uherding"} & set(known)


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("typiclus", "Unknown al.init 'typiclus'. Did you mean 'typiclust'?"),
        ("class_balance", "Unknown al.init 'class_balance'. Did you mean 'class_balanced'?"),
        ("margin", "without need of a head or labels, got 'margin', which needs a fitted head."),
        ("bald", "which needs a fitted head and a head with a posterior. Known: class_balanced, "),
    ],
)
def test_what_cannot_start_is_refused_before_the_data_are_read(
    command: Command, tmp_path: Path, init: str, message: str
) -> None:
    status, _, err = command("data=arrays", "data.path=nowhere", f"al.init={init}")
    assert status == 1
    assert message in err
    assert "nowhere" not in err
    assert not (tmp_path / "outputs").exists()
