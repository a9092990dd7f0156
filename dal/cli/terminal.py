"""Consoles, and whether what is shown there may move."""

import os
from datetime import timedelta

from rich.console import Console

# By these the starters of several processes number them; none of them is set for a single one.
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def console() -> Console:
    """Standard output as plain text: no colours for numbers, and brackets are brackets."""
    return Console(highlight=False, markup=False)


def error_console() -> Console:
    """Standard error, as plain text too."""
    return Console(stderr=True, highlight=False, markup=False)


def is_live(console: Console) -> bool:
    """Whether bars can move there: not in a pipe, whatever its colours, nor on a dumb terminal."""
    return console.is_interactive and console.file.isatty()


def is_first_process() -> bool:
    """Whether this is the process of a run that prints, as far as the environment says."""
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)


def duration(seconds: float) -> str:
    """A time span for people, in its two largest units.

    Example:
        >>> duration(8), duration(360), duration(7800), duration(100000)
        ('8 s', '6 min', '2 h 10 min', '1 day, 3:46:40')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return str(timedelta(seconds=round(seconds)))
