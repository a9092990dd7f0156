"""Tables of finished runs, and what to do next."""

import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dal.cli.series import FinishedJob

if TYPE_CHECKING:
    from dal.experiment.curve import LearningCurve


def run_summary(curve: "LearningCurve", run_dir: str) -> Group:
    """The results of one run, and where its files are."""
    table = Table(box=None, show_header=False)
    for name, value in {
        "labels": str(int(curve.num_labeled[-1])),
        "AUC": f"{curve.auc:.2f}",
        "final accuracy": f"{curve.final_accuracy:.2f}%",
        "fitting": f"{curve.fit_seconds:.1f} s",
        "selecting": f"{curve.query_seconds:.2f} s",
    }.items():
        table.add_row(name, value)
    # Beside the table and not in it, where a long path would be folded.
    return Group(table, Text(f"Files in {run_dir}"))


def series_summary(jobs: Sequence[FinishedJob], best: Mapping[str, Any]) -> Group:
    """The runs of a series by strategy: means and standard deviations over seeds.

    Args:
        jobs: Those that have succeeded, at least one.
        best: Parameters and value that a sweeper has found; see
            :meth:`dal.cli.series.Series.best`.
    """
    groups: dict[Path, list[FinishedJob]] = {}
    # A sweeper may choose a run twice: it counts once.
    runs = list({job.run_dir: job for job in jobs}.values())
    for job in runs:
        groups.setdefault(Path(job.run_dir).parent, []).append(job)
    common = Path(os.path.commonpath(groups))
    table = Table(box=None)
    table.add_column("", overflow="fold")
    for name in ("runs", "AUC", "final accuracy"):
        table.add_column(name, justify="right", no_wrap=True)
    for folder, members in groups.items():
        name = folder.name if folder == common else str(folder.relative_to(common))
        values = [
            _shown([member.result[key] for member in members], unit)
            for key, unit in (("auc", ""), ("final_accuracy", "%"))
        ]
        table.add_row(name, str(len(members)), *values)
    notes = [f"Compare them: python -m dal.report {common}"]
    if len(runs) > len(groups):
        notes.insert(0, "Mean ± standard deviation over the runs.")
    if best:
        found = " ".join(f"{key}={value}" for key, value in best["best_params"].items())
        notes.insert(0, f"The best is AUC {best['best_value']:.2f} with {found}")
    return Group(table, Text("\n".join(notes)))


def result_line(job: FinishedJob, progress: str) -> str:
    """One line for a finished job of a series.

    Args:
        job: It has succeeded.
        progress: How far the series is.
    """
    result = job.result
    shown = (
        f": AUC {result['auc']:.2f}, final accuracy {result['final_accuracy']:.2f}%"
        if result
        else " is done"
    )
    return f"{job.title}{shown} ({progress})"


def _shown(values: Sequence[float], unit: str) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}{unit}"
