"""Cells of a table that hold AUC and their differences from the baseline, with marks and notes."""

import math

import pandas as pd

from dal.report import comparison_tables, palette, significance
from dal.report.results import Results
from dal.report.table import ABSENT, Cell, mean_and_std, signed

T_MARK, WILCOXON_MARK = "*", "†"


def _marks(row: "pd.Series[float]") -> str:
    """Signs of the tests that are significant after correction, of a row of ``Results.aucs``."""
    p_values = [(T_MARK, row["holm_t"]), (WILCOXON_MARK, row["holm_wilcoxon"])]
    return "".join(mark for mark, p in p_values if p < significance.ALPHA)


def about_marks(baseline: str) -> str:
    """What the marks mean."""
    return (
        f"{T_MARK} the paired t-test and {WILCOXON_MARK} Wilcoxon's signed-rank test reject "
        f"equality with {baseline} at 0.05 after Holm's correction over the strategies of a "
        "dataset."
    )


def most_pairs(aucs: pd.DataFrame) -> int:
    """The most pairs that any strategy of some has; 0 without any."""
    return int(aucs["num_pairs"].fillna(0).max()) if len(aucs) else 0


def baseline_cell(results: Results, dataset: str, aucs: pd.DataFrame) -> Cell:
    """The AUC of the baseline. ``aucs``: of the dataset, indexed by strategy."""
    name = results.baselines[dataset]
    notes = _unfinished_notes(results, dataset, name or results.baseline)
    if name is None:
        baseline = palette.label(results.baseline)
        why = f"{dataset}: no complete run of {baseline} to compare to; AUC are shown as they are."
        return Cell(ABSENT, -math.inf, notes=(*notes, why))
    if name != results.baseline:
        notes = (*notes, f"{dataset}: compared to {palette.label(name)}, one of several variants.")
    own = aucs.loc[name]
    return Cell(mean_and_std(own["auc"], own["auc_std"]), float(own["auc"]), notes=notes)


def difference_cell(
    results: Results, dataset: str, aucs: pd.DataFrame, strategy: str, most: int
) -> Cell:
    """The difference from the baseline. ``most``: pairs that another strategy has."""
    notes = _unfinished_notes(results, dataset, strategy)
    if strategy not in aucs.index:
        return Cell(ABSENT, -math.inf, notes=notes)
    row = aucs.loc[strategy]
    num_pairs, num_runs = int(row["num_pairs"]), int(row["num_runs"])
    what, baseline = f"{dataset}, {palette.label(strategy)}", palette.label(results.baseline)
    if num_pairs == 0:
        text = f"AUC {mean_and_std(row['auc'], row['auc_std'])}"
        why = (
            f"{what}: no run of {baseline} with the same seed, initial pool and data; the AUC is "
            "shown as it is."
        )
        return Cell(text, -math.inf, notes=(*notes, why))
    notes += comparison_tables.unpaired_notes(what, num_runs - num_pairs, num_runs, baseline)
    if num_pairs == 1:
        notes = (*notes, f"{what}: one seed, so there is no spread and no test.")
    elif num_pairs < most:
        notes = (*notes, f"{what}: {num_pairs} seeds, where others have {most}.")
    text = signed(row["difference"])
    if num_pairs > 1:
        text += f" ± {row['std']:.2f}"
    return Cell(text, float(row["difference"]), marks=_marks(row), notes=notes)


def _unfinished_notes(results: Results, dataset: str, strategy: str) -> tuple[str, ...]:
    frame = results.frame
    here = frame[(frame["dataset"] == dataset) & (frame["strategy"] == strategy)]
    here = here[(here["cycle"] == 0) & (here["repeat"] == 0)]
    num = int((~here["complete"]).sum())
    if num == 0:
        return ()
    what = f"{dataset}, {palette.label(strategy)}"
    return (f"{what}: {num} of {len(here)} runs unfinished and left out.",)
