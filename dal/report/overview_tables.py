"""Tables of all strategies at once: the overview, and scores after the last cycle."""

import math
from dataclasses import replace

from dal.report import auc_cells, palette, significance
from dal.report.results import Results
from dal.report.table import ABSENT, MINUS, Cell, Table, mean_and_std, signed

METRIC_LABELS = {"accuracy": "Accuracy", "nll": "NLL", "brier": "Brier", "ece": "ECE"}


def overview_table(results: Results) -> Table | None:
    """Strategies from best to worst; None without a complete run.

    For one dataset with the spread and the tests of :func:`dal.report.tables.benchmark_table`; for
    several, with means over them and the number in which a strategy is best. Without a pair of
    runs there is no column of differences.
    """
    standings = results.standings
    if standings.empty:
        return None
    names = [palette.label(name) for name in standings["strategy"]]
    columns = {"Strategy": [Cell(*both) for both in zip(names, standings["strategy"], strict=True)]}
    if not results.pairs.empty:
        columns[f"Over {palette.label(results.baseline)}"] = _difference_cells(results)
    if len(results.complete_datasets) > 1:
        columns["Best on"] = [
            Cell(f"{num_best} of {num}", num_best / num) if num else Cell(ABSENT, -1.0)
            for num_best, num in zip(standings["num_best"], standings["num_datasets"], strict=True)
        ]
        columns["AUC"] = [Cell(f"{auc:.2f}", float(auc)) for auc in standings["auc"]]
    else:
        aucs = results.aucs.set_index("strategy").loc[standings["strategy"]]
        columns["AUC"] = [
            Cell(mean_and_std(auc, std), float(auc))
            for auc, std in zip(aucs["auc"], aucs["auc_std"], strict=True)
        ]
    columns["Final accuracy"] = [
        Cell(f"{accuracy:.2f}", float(accuracy)) for accuracy in standings["final_accuracy"]
    ]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return Table("overview", "Overview", _about_overview(results), list(columns), rows, standings)


def _about_overview(results: Results) -> str:
    """The caption of the overview."""
    baseline = palette.label(results.baseline)
    about_auc = "AUC, the mean accuracy over all cycles in percent, and accuracy after the last"
    if len(results.complete_datasets) == 1:
        (dataset,) = results.complete_datasets
        if results.pairs.empty:
            return f"{about_auc} cycle, on {dataset}: means over seeds."
        return (
            f"Difference of AUC from {baseline} on {dataset}, mean ± standard deviation over pairs "
            f"of runs with the same seed and initial pool. {about_auc} cycle are means over seeds. "
            f"{auc_cells.about_marks(baseline)}"
        )
    caption = "Means over datasets, each counting the same. "
    if not results.pairs.empty:
        caption += (
            f"Differences of AUC from {baseline} are of runs with the same seed and initial pool. "
        )
    caption += f"{about_auc} cycle are means over seeds, too."
    if results.standings["num_compared"].nunique() > 1:
        caption += " Strategies that were not compared on all datasets come last."
    return caption


def _difference_cells(results: Results) -> list[Cell]:
    """Differences from the baseline in the order of the standings, with a bar for each."""
    standings = results.standings
    largest = standings["difference"].abs().max()
    is_full = standings["num_compared"] == standings["num_compared"].max()
    best = standings.loc[is_full, "difference"].max() - significance.TOLERANCE
    cells = []
    for place, row in standings.iterrows():
        difference = float(row["difference"])
        if len(results.complete_datasets) == 1:
            shown = _single_cell(results, row["strategy"])
        elif math.isnan(difference):
            shown = Cell(ABSENT, -math.inf)
        else:
            is_baseline = results.is_baseline(row["strategy"])
            shown = Cell("baseline" if is_baseline else signed(difference), difference)
        share = difference / largest if largest > 0 else math.nan
        is_best = bool(is_full[place]) and difference >= best
        cells.append(replace(shown, is_best=is_best, share=None if math.isnan(share) else share))
    return cells


def _single_cell(results: Results, strategy: str) -> Cell:
    """The difference of a strategy on the only dataset, with its spread, marks and notes."""
    aucs = results.aucs.set_index("strategy")
    (dataset,) = results.complete_datasets
    if strategy == results.baselines[dataset]:
        own = auc_cells.baseline_cell(results, dataset, aucs)
        return Cell("baseline", 0.0, notes=own.notes)
    most = auc_cells.most_pairs(aucs)
    cell = auc_cells.difference_cell(results, dataset, aucs, strategy, most)
    return cell if aucs.loc[strategy, "num_pairs"] > 0 else replace(cell, text=ABSENT)


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
