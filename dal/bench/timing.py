"""Repeated measurements."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table


class Timings(NamedTuple):
    """Wall seconds of repeated runs of one piece of work."""

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
    works: Sequence[tuple[str, Callable[[], object]]],
    repeat: int,
    console: Console,
    warm_up: bool = True,
) -> list[Timings]:
    """Times several pieces of work A, B, A, B, ..., after one run of each that is not counted.

    In turns, a machine that becomes slower halfway slows all of them equally.
    """
    timings = [Timings(name, []) for name, _ in works]
    for run in track(
        range(0 if warm_up else 1, repeat + 1),
        "measuring",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        for (_, work), timing in zip(works, timings, strict=True):
            started = time.perf_counter()
            work()
            if run > 0:
                timing.seconds.append(time.perf_counter() - started)
    return timings


def print_table(
    timings: Sequence[Timings], columns: Mapping[str, Sequence[str]], console: Console
) -> None:
    """Prints the seconds of each piece of work, with further columns by their titles."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("median s", "min s", "max s", *columns):
        table.add_column(title, justify="right")
    for timing, *cells in zip(timings, *columns.values(), strict=True):
        table.add_row(timing.name, *timing.cells, *cells)
    console.print(table)


def positive(text: str) -> int:
    """A command-line argument of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number
