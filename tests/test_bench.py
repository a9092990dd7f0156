import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dal.bench import __main__ as bench
from dal.bench import select
from dal.bench.select import Problem
from tests import versus


def run(*arguments: str) -> dict[str, object]:
    args = bench.parser().parse_args(list(arguments))
    figures = args.run(args, Console())
    assert isinstance(figures, dict)
    return figures


def test_the_command_line_loads_nothing_heavy() -> None:
    """Above all no OpenMP, which reads its settings when it is loaded."""
    code = "import dal.bench.__main__, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fit_prints_its_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    figures = run("fit", "--epochs", "3", "--repeat", "2", "--labels", "20")
    ratio = figures["ratio"]
    assert isinstance(ratio, float)
    assert f"{ratio:.2f}" in capsys.readouterr().out


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(select.PROBLEMS, "cifar10", Problem(300, 3, 9, 2))
    monkeypatch.setattr(select, "NUM_FEATURES", 8)
    monkeypatch.setattr(select, "RATE_SIZE", 64)


ALL = ["random", "margin", "entropy", "badge", "typiclust"]
ALL += ["k_means", "drop_query", "alfa_mix", "cluster_margin", "tcm"]
ALL += ["core_set", "prob_cover", "max_herding", "uherding"]
ALL += ["bait", "bait_exp", "bait_binary", "bait_diagonal"]


@pytest.mark.usefixtures("small")
def test_a_selection_prints_every_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    figures = run("select", "--repeat", "1", "--strategies", *ALL)["strategies"]
    assert isinstance(figures, dict)
    assert list(figures) == ALL
    out = capsys.readouterr().out
    for name in ALL:
        assert name in out
        assert figures[name]["peak_bytes"] > 2**25
    assert figures["prob_cover"]["floor_seconds"] > figures["core_set"]["floor_seconds"] > 0
    assert figures["bait"]["floor_seconds"] > figures["bait_exp"]["floor_seconds"] > 0


@pytest.mark.usefixtures("small")
def test_a_pool_may_be_on_disk(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--repeat", "1", "--strategies", "margin", "bait_binary", "--pool", "200"]
    figures = run("select", *arguments, "--on-disk")
    assert (figures["pool"], figures["on_disk"]) == (200, True)
    assert "they are read from the pool in each pass" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_processes_share_a_pool(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--repeat", "2", "--strategies", "core_set", "bait_binary", "typiclust"]
    figures = run("select", *arguments, "--processes", "2")["strategies"]
    assert isinstance(figures, dict)
    for name in ("core_set", "bait_binary"):
        assert len(figures[name]["seconds"]) == 2
        assert figures[name]["peak_bytes"] > 2**25
    assert "processes do not share its rows" in figures["typiclust"]["refused"]
    assert ", 2 processes" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.usefixtures("small")
def test_strategies_take_options() -> None:
    arguments = ["--repeat", "1", "--strategies", "max_herding", "--options", "num_targets=100"]
    flops = []
    for chosen in (arguments, arguments[:-2]):
        figures: dict[str, Any] = run("select", *chosen)
        floor = figures["strategies"]["max_herding"]["floor_seconds"]
        flops.append(floor * figures["flops_per_second"])
    assert flops[0] == pytest.approx(flops[1] * 2 / 3)  # n·T, not n²/2


def test_naive_twins_pick_the_same() -> None:
    names = [name for name in ALL if name not in ("random", "entropy")]
    figures = versus.against_naive(names, Console())
    assert {name: row["same_picks"] for name, row in figures.items()} == dict.fromkeys(names, True)


def test_the_published_arithmetic_picks_the_same() -> None:
    names = ["bait", "bait_exp", "bait_binary"]
    figures = versus.against_published(names, Problem(300, 3, 9, 2), 8, Console())
    assert {name: row["shared_picks"] for name, row in figures.items()} == dict.fromkeys(names, 2)


def test_figures_go_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    del small
    file = tmp_path / "figures.json"
    arguments = ["select", "--repeat", "1", "--strategies", "margin", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["dal.bench", *arguments])
    bench.main()
    assert json.loads(file.read_text())["strategies"]["margin"]["median_seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select", "--strategies", "bate"], "Unknown strategy 'bate'. Did you mean 'bait'?"),
        (
            ["select", "--strategies", "bait", "--options", "from=2"],
            "Unknown option 'from' of bait. Did you",
        ),
        (["select", "--strategies", "bait", "--options", "form"], "as KEY=VALUE, got 'form'"),
        (["select", "--device", "cuda:99"], "Cannot use --device cuda:99"),
        (["select", "--pool", "5"], "Expected --pool of at least 10, which cifar10 selects, got 5"),
        (["select", "--repeat", "0"], "expected at least 1, got 0"),
        (["fit", "--classes", "1"], "--classes in [2, 200], got 1"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dal.bench", *arguments])
    with pytest.raises(SystemExit) as end:
        bench.main()
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_an_extraction_prints_its_share_of_bare(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--images", "5", "--hidden", "8", "--layers", "1", "--repeat", "1"]
    figures = run("extract", *arguments, "--accelerator", "cpu")
    ratio = figures["ratio"]
    assert isinstance(ratio, float)
    assert ratio > 0
    assert "dal, files to cache" in capsys.readouterr().out


def test_an_extraction_of_texts_prints_its_share_of_bare(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--texts", "9", "--hidden", "8", "--layers", "1", "--repeat", "1"]
    figures = run("extract_texts", *arguments, "--batch-size", "2", "--accelerator", "cpu")
    ratio, padding = figures["ratio"], figures["padding"]
    assert isinstance(ratio, float)
    assert isinstance(padding, float)
    assert ratio > 0
    assert 0 < padding < 0.5
    assert "dal, file to cache" in capsys.readouterr().out
