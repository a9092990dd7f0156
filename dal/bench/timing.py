"""Repeated measurements."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.progress import track


class Timings(NamedTuple):
    """Wall seconds of repeated runs of one thing."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def cells(self) -> tuple[str, str, str]:
        """Median, minimum and maximum, for a table."""
        return f"{self.median:.3f}", f"{min(self.seconds):.3f}", f"{max(self.seconds):.3f}"


def in_turns(
    things: Sequence[tuple[str, Callable[[], object]]],
    repeat: int,
    console: Console,
    warm_up: bool = True,
) -> list[Timings]:
    """Times several things A, B, A, B, ..., after a run of each that does not count.

    In turns, a machine that slows down halfway slows all of them alike.
    """
    timings = [Timings(name, []) for name, _ in things]
    for run in track(
        range(0 if warm_up else 1, repeat + 1),
        "measuring",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        for (_, thing), timing in zip(things, timings, strict=True):
            started = time.perf_counter()
            thing()
            if run > 0:
                timing.seconds.append(time.perf_counter() - started)
    return timings


def positive(text: str) -> int:
    """A command-line argument of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number
