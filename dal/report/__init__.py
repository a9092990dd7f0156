"""``python -m dal.report``: the tables, figures and statistics of what has been run.

It reads run directories, finished and unfinished, of any number of experiments, and writes one
folder: a page for a browser, each table as Markdown, LaTeX and CSV, each figure as PNG and PDF.
Runs are compared only when they are alike: other settings under one name are shown apart, seeds
are paired with the baseline's seeds of the same initial pool, and what is left out is named.

From Python, every table and figure is one function of a data frame with a row a cycle::

    frame = dal.report.load("outputs")
    print(dal.report.statistics.comparisons(frame))
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(*paths: str | Path) -> "pd.DataFrame":
    """All runs below some directories, a row a cycle; see :mod:`dal.report.runs` for the columns.

    What cannot be read, and what is shown apart, is warned about.

    Args:
        paths: Directories, searched to any depth.

    Raises:
        ReportError: If there is no such directory, or no run with a finished cycle in any.
    """
    import warnings

    from dal.report import runs

    reading = runs.read(paths)
    for problem in reading.problems:
        warnings.warn(problem, stacklevel=2)
    return reading.frame
