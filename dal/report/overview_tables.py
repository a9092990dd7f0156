"""Tables of all strategies at once: the overview, and scores after the last cycle."""

import math
from dataclasses import replace

from dal.report import auc_cells, palette, significance
from dal.report.results import Results
from dal.report.table import ABSENT, MINUS, Cell, Table, mean_and_std, signed, sort_value

METRIC_LABELS = {"accuracy": "Accuracy", "nll": "NLL", "brier": "Brier", "ece": "ECE"}


def overview_table(results: Results) -> Table | None:
    """Strategies from best to worst; None without a complete run.

    For one dataset with the spread and the tests of :func:`dal.report.tables.benchmark_table`; for
    several, with means over them and the number in which a strategy is best.
    """
    standings = results.standings
    if standings.empty:
        return None
    baseline = palette.label(results.baseline)
    num_datasets = len(results.best)
    is_single = num_datasets == 1
    largest = standings["difference"].abs().max()
    is_full = standings["num_compared"] == standings["num_compared"].max()
    best = standings.loc[is_full, "difference"].max()
    rows = []
    for place, row in standings.iterrows():
        difference = float(row["difference"])
        is_best = bool(is_full[place]) and difference >= best - significance.TOLERANCE
        auc = Cell(f"{row['auc']:.2f}", float(row["auc"]))
        text = ABSENT if math.isnan(difference) else signed(difference)
        shown = Cell(text, sort_value(difference))
        if is_single:
            auc, shown = _single_cells(results, row["strategy"])
        elif results.is_baseline(row["strategy"]) and not math.isnan(difference):
            shown = Cell("baseline", 0.0)
        share = None
        if largest > 0 and not math.isnan(difference):
            share = difference / largest
        shown = replace(shown, is_best=is_best, share=share)
        final = Cell(f"{row['final_accuracy']:.2f}", float(row["final_accuracy"]))
        cells = [Cell(palette.label(row["strategy"]), row["strategy"]), shown, auc, final]
        if not is_single:
            num = int(row["num_datasets"])
            counts = f"{int(row['num_best'])} of {num}"
            cells.insert(2, Cell(counts, float(row["num_best"] / num)))
        rows.append(cells)
    (dataset, *_) = results.best
    caption = (
        f"AUC, the mean accuracy over all cycles in percent, on {dataset}; its difference from "
        f"{baseline}, mean ± standard deviation over pairs of runs with the same seed and initial "
        f"pool; and accuracy after the last cycle. {auc_cells.about_marks(baseline)}"
        if is_single
        else f"Means over datasets: the difference of AUC from {baseline}, of runs with the same "
        "seed and initial pool; in how many of its datasets a strategy is best; AUC, the mean "
        "accuracy over all cycles in percent; and accuracy after the last cycle. Strategies that "
        f"were not run on all {num_datasets} datasets come last."
    )
    header = ["Strategy", f"Over {baseline}", "AUC", "Final accuracy"]
    if not is_single:
        header.insert(2, "Best on")
    return Table("overview", "Overview", caption, header, rows, standings)


def _single_cells(results: Results, strategy: str) -> tuple[Cell, Cell]:
    """AUC and difference of a strategy on the only dataset, with their spread, marks and notes."""
    aucs = results.aucs.set_index("strategy")
    ((dataset, baseline),) = [item for item in results.baselines.items() if item[0] in results.best]
    row = aucs.loc[strategy]
    auc = Cell(mean_and_std(row["auc"], row["auc_std"]), float(row["auc"]))
    if strategy == baseline:
        own = auc_cells.baseline_cell(results, dataset, aucs)
        return auc, Cell("baseline", 0.0, notes=own.notes)
    most = auc_cells.most_pairs(aucs)
    cell = auc_cells.difference_cell(results, dataset, aucs, strategy, most)
    return auc, cell if row["num_pairs"] > 0 else replace(cell, text=ABSENT)


def final_scores_table(results: Results) -> Table | None:
    """Accuracy and calibration after the last cycle; None without a complete run."""
    scores = results.final_scores
    if scores.empty:
        return None
    baseline = palette.label(results.baseline)
    metrics = [name for name in METRIC_LABELS if name in scores.columns]
    rows = []
    for _, row in scores.iterrows():
        here = scores[scores["dataset"] == row["dataset"]]
        cells = [
            Cell(row["dataset"], row["dataset"]),
            Cell(palette.label(row["strategy"]), row["strategy"]),
        ]
        for name in metrics:
            best = here[name].max() if name == "accuracy" else here[name].min()
            places = 2 if name == "accuracy" else 3
            text = f"{row[name]:.{places}f}"
            difference = row[f"{name}_difference"]
            if not math.isnan(difference):
                text += f" ({_change(difference, places)})"
            cells.append(Cell(text, float(row[name]), is_best=bool(row[name] == best)))
        rows.append(cells)
    return Table(
        "final_scores",
        "Accuracy and calibration after the last cycle",
        "Means over seeds; in brackets the difference from the "
        f"{baseline} run of the same seed and initial pool. Accuracy is in percent. NLL is the "
        "negative log-likelihood, Brier the squared error of the class probabilities, ECE the "
        "expected calibration error: less is better. The best of a dataset is in bold.",
        ["Dataset", "Strategy", *(METRIC_LABELS[name] for name in metrics)],
        rows,
        scores,
    )


def _change(value: float, places: int) -> str:
    """A difference with its sign, to some places."""
    text = f"{abs(value):.{places}f}"
    return f"{MINUS if value < 0 and float(text) else '+'}{text}"
