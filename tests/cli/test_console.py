"""What is shown on terminals and in files, wide and narrow."""

import io
import re
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from dal.cli import console as consoles
from dal.cli import terminal
from dal.cli.console import LiveProgress, PoolProgress, bars
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


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_log_says_how_long_a_selection_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(consoles, "time", clock)
    log = io.StringIO()
    console = Console(file=log, width=80)
    progress = bars(console)
    shown = PoolProgress(console, progress, progress.add_task("selecting", note=""))
    clock.now += 60  # a fit
    for num in range(100, 1100, 100):  # a reading that is short
        shown.read(num, 1000)
        clock.now += 0.1
    assert log.getvalue() == ""
    for num in range(100, 1100, 100):
        shown.read(num, 1000)
        clock.now += 4
    for num in range(64, 640, 64):
        shown.chosen(num, 2000)
        shown.read(500, 1000)  # no line: the steps are shown
        clock.now += 12
    assert log.getvalue().splitlines() == [
        "400 of 1,000 rows, 0:00:24 left",
        "700 of 1,000 rows, 0:00:12 left",
        *(
            f"{num} of 2,000 steps, {timedelta(seconds=round(12 * (2000 - num) / 64))} left"
            for num in range(128, 640, 64)
        ),
    ]


def test_a_terminal_shows_a_bar_while_a_pool_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=120)
    with bars(console) as progress:
        task = progress.add_task("selecting", total=None, note="", visible=False)
        told = PoolProgress(console, progress, task)
        progress.refresh()
        assert "selecting" not in shown(screen)
        told.read(300, 1000)
        progress.refresh()
    assert re.search(r"selecting.*300/1000", shown(screen))
