"""What is shown on terminals and in files, wide and narrow."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from dal.cli import terminal
from dal.cli.console import LiveProgress
from dal.experiment.curve import CycleResult
from tests.cli.test_series import finished, series

TITLE = "tiny_imagenet bait_diagonal seed 10"


class Screen(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def result(cycle: int, query_seconds: float | None = 0.5) -> CycleResult:
    return CycleResult(cycle, 10 + 10 * cycle, {"accuracy": 0.5}, 1.5, query_seconds, 100.0)


def shown(screen: io.StringIO) -> str:
    """What was written, without the control codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_time_left_is_on_every_screen(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    begun = series(tmp_path, "seed=0,1,2", "strategy=random,bait")
    begun.add(finished(tmp_path, 0, 100.0))
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=width)
    live = LiveProgress(console, TITLE, 21, begun)
    with live:
        for cycle in range(3):
            live.cycle_finished(result(cycle))
            live.progress.refresh()
    begun.end()
    lines = shown(screen).splitlines()
    run = [line for line in lines if "3/21" in line][-1]
    assert re.search(r"\d:\d\d:\d\d", run)
    assert "-:--" not in shown(screen)
    assert max(len(line) for line in lines) <= width
    assert any("1 of 6 runs, 8 min left" in line for line in lines)
    assert ("30 labels" in run) == (width == 120)


@pytest.mark.parametrize(
    ("screen", "variables"),
    [
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}),  # a pipe of CI
        (Screen(), {"TERM": "dumb"}),
        (io.StringIO(), {"TERM": "xterm"}),
    ],
)
def test_elsewhere_lines_are_shown(
    screen: io.StringIO, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    console = Console(file=screen, highlight=False, width=80)
    assert not terminal.is_live(console)
    live = LiveProgress(console, TITLE, 3)
    with live:
        live.cycle_finished(result(0))
        live.cycle_finished(result(1, None))
    assert screen.getvalue() == (
        "cycle 1/3: 10 labels, accuracy 50.0%, fit 1.50 s, select 0.50 s\n"
        "cycle 2/3: 20 labels, accuracy 50.0%, fit 1.50 s\n"
    )


def test_lines_of_a_series_name_the_run_and_are_few(tmp_path: Path) -> None:
    begun = series(tmp_path, "seed=0,1")
    screen = io.StringIO()
    live = LiveProgress(Console(file=screen, width=80), TITLE, 3, begun)
    live.cycle_finished(result(0))
    assert screen.getvalue() == ""
    live.shown -= 11  # seconds
    live.cycle_finished(result(1, None))
    live.cycle_finished(result(2, None))
    begun.end()
    assert screen.getvalue() == (f"{TITLE}, cycle 2/3: 20 labels, accuracy 50.0%, fit 1.50 s\n")


def test_only_the_first_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in terminal.RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert terminal.is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert terminal.is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not terminal.is_first_process()
