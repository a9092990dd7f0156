"""``python -m dal.report``: the tables, figures and statistics of what has been run.

It reads run directories, finished and unfinished, of any number of experiments, and writes one
folder: a page for a browser, each table as Markdown, LaTeX and CSV, each figure as PNG and PDF.
Runs are compared only when their settings are the same: other settings under one name are shown
separately, a run is paired with the baseline's run of the same seed and initial pool, and what is
left out is named.

From Python, everything is an attribute of one object, computed when it is first asked for::

    results = dal.report.load("outputs")
    print(results.comparisons)
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dal.report.results import Results

BASELINE = "random"  # of the paper, and of a report unless told otherwise


def load(*paths: str | Path, baseline: str = BASELINE) -> "Results":
    """The results of all runs below some directories.

    Warns about what cannot be read, and what is shown separately.

    Args:
        paths: Directories, searched to any depth.
        baseline: Name of the strategy that all others are compared to.

    Raises:
        ReportError: If there is no such directory, no run with a finished cycle in any, or no run
            of the baseline that was asked for.

    Example:
        >>> import tempfile
        >>> from dal.data import ALDataModule, Digits
        >>> from dal.experiment import ALLoop, RunDirectory
        >>> from dal.heads import LinearHead
        >>> from dal.strategies import Random
        >>> folder = tempfile.mkdtemp()
        >>> names = {"name": "digits", "strategy_name": "random", "seed": 0}
        >>> record = RunDirectory(f"{folder}/run", names)
        >>> sizes = {"num_init": 10, "acq_size": 10, "num_acq": 1}
        >>> loop = ALLoop(ALDataModule(Digits()), LinearHead, Random(), **sizes, record=record)
        >>> _ = list(loop.cycles())
        >>> load(folder)
        Results(1 runs; datasets: digits; strategies: random)
    """
    import warnings

    from dal.report import runs
    from dal.report.results import Results

    results = Results(*runs.read(paths), baseline)
    results.check_baseline()
    for problem in results.problems:
        warnings.warn(problem, stacklevel=2)
    return results
