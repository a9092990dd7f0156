"""The tables of a report in their order, and those of the paper.

The others are in :mod:`~dal.report.overview_tables`, :mod:`~dal.report.comparison_tables`,
:mod:`~dal.report.pick_tables` and :mod:`~dal.report.run_tables`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from dal.report import (
    auc_cells,
    comparison_tables,
    overview_tables,
    palette,
    pick_tables,
    run_tables,
    significance,
)
from dal.report.auc_cells import T_MARK, WILCOXON_MARK
from dal.report.results import Results
from dal.report.table import ABSENT, Cell, Table, duration

ABOUT_TIMES = (
    "An acquisition time is the wall time of one selection: the mean over the cycles that select, "
    "then over complete runs on that device. It depends on the machine and on what else ran there."
)


def build_tables(results: Results) -> list[Table]:
    """Every table that the results allow, in the order of a report."""
    tables = [build(results) for build in TABLES.values()]
    return [table for table in tables if table is not None]


def benchmark_table(results: Results) -> Table:
    """The paper's Table 5: the AUC of the baseline, and the difference of every strategy."""
    baseline = palette.label(results.baseline)
    others = [name for name in results.strategies if not results.is_baseline(name)]
    rows = []
    for dataset in results.datasets:
        here = results.aucs[results.aucs["dataset"] == dataset].set_index("strategy")
        most = auc_cells.most_pairs(here)
        cells = [
            auc_cells.baseline_cell(results, dataset, here),
            *(auc_cells.difference_cell(results, dataset, here, name, most) for name in others),
        ]
        values = [0.0, *(float(cell.value) for cell in cells[1:])]
        best = max(values) - significance.TOLERANCE
        has_baseline = results.baselines[dataset] is not None
        scores = results.scores[results.scores["dataset"] == dataset]
        num_seeds = most or scores["seed"].nunique()
        rows.append(
            [
                Cell(dataset, dataset),
                Cell(str(num_seeds), float(num_seeds)),
                *(
                    replace(cell, is_best=has_baseline and value >= best)
                    for cell, value in zip(cells, values, strict=True)
                ),
            ]
        )
    return Table(
        "table_5",
        "AUC by dataset",
        f"Mean accuracy over all cycles in percent: of {baseline}, and the difference of every "
        "other strategy from it, each as mean ± standard deviation over seeds. A difference is of "
        "two runs with the same seed and initial pool; the best of a dataset is in bold. "
        + auc_cells.about_marks(baseline),
        ["Dataset", "Seeds", baseline, *map(palette.label, others)],
        rows,
        results.aucs,
        transposable="Strategy",
        num_pinned=2,
    )


def exp_table(results: Results) -> Table | None:
    """The paper's Table 3, BAIT (Exp) in all its variants and BAIT; None if two were not run."""
    return _bait_table(results, "table_3", "BAIT (Exp) against BAIT", ["bait_exp", "bait"])


def binary_table(results: Results) -> Table | None:
    """The paper's Table 4, BAIT (Diagonal), BAIT (Binary) and BAIT; None if two were not run."""
    families = ["bait_diagonal", "bait_binary", "bait"]
    return _bait_table(results, "table_4", "BAIT (Binary) against BAIT", families)


def _bait_table(results: Results, name: str, title: str, families: Sequence[str]) -> Table | None:
    """AUC and acquisition time by strategy and device, in the layout of the paper's Tables 3, 4.

    Args:
        results: Of any runs.
        name: Of the files.
        title: A few words.
        families: The strategies to compare, in any variant, with the baseline; None if not two of
            them were run.
    """
    strategies = [
        strategy
        for strategy in results.compared_strategies
        if palette.split(strategy)[0] in families or results.is_baseline(strategy)
    ]
    if len([strategy for strategy in strategies if not results.is_baseline(strategy)]) < 2:
        return None
    baseline = palette.label(results.baseline)
    numbers = results.aucs[results.aucs["strategy"].isin(strategies)]
    times = results.times[results.times["strategy"].isin(strategies)]
    rows = []
    for dataset in (d for d in results.datasets if d in set(numbers["dataset"])):
        here = numbers[numbers["dataset"] == dataset].set_index("strategy")
        most = auc_cells.most_pairs(results.aucs[results.aucs["dataset"] == dataset])
        cells = [
            auc_cells.baseline_cell(results, dataset, here)
            if strategy == results.baselines[dataset]
            else auc_cells.difference_cell(results, dataset, here, strategy, most)
            for strategy in strategies
        ]
        rows.append([Cell(dataset, dataset), Cell("Accuracy (AUC)", ""), *cells])
        for device, of_device in times[times["dataset"] == dataset].groupby("device", sort=False):
            seconds = of_device.set_index("strategy")["seconds"]
            rows.append(
                [
                    Cell(dataset, dataset),
                    Cell(f"Acquisition time ({device})", str(device)),
                    *(_duration_cell(seconds.get(strategy)) for strategy in strategies),
                ]
            )
    return Table(
        name,
        title,
        f"AUC of {baseline} and differences of the others from it, paired by seed, mean ± standard "
        f"deviation over seeds ({T_MARK} and {WILCOXON_MARK} as in the table of all strategies). "
        + ABOUT_TIMES,
        ["Dataset", "Measure", *map(palette.label, strategies)],
        rows,
        numbers.merge(times.drop(columns="num_runs"), on=["dataset", "strategy"], how="left"),
    )


def time_table(results: Results) -> Table | None:
    """Acquisition time by dataset, device and strategy; None if no selection was timed."""
    times = results.times
    if times.empty:
        return None
    strategies = [name for name in results.strategies if name in set(times["strategy"])]
    devices = list(dict.fromkeys(times["device"]))
    rows = []
    for (dataset, device), here in times.groupby(["dataset", "device"], sort=False):
        seconds = here.set_index("strategy")["seconds"]
        name = str(dataset) if len(devices) == 1 else f"{dataset} ({device})"
        cells = (_duration_cell(seconds.get(strategy)) for strategy in strategies)
        rows.append([Cell(name, name), *cells])
    where = f" Device: {devices[0]}." if len(devices) == 1 else ""
    return Table(
        "acquisition_time",
        "Acquisition time",
        ABOUT_TIMES + where,
        ["Dataset", *map(palette.label, strategies)],
        rows,
        times,
        transposable="Strategy",
    )


def _duration_cell(seconds: float | None) -> Cell:
    return Cell(ABSENT, math.inf) if seconds is None else Cell(duration(seconds), float(seconds))


TABLES: dict[str, Callable[[Results], Table | None]] = {  # by name, in the order of a report
    "overview": overview_tables.overview_table,
    "table_5": benchmark_table,
    "table_3": exp_table,
    "table_4": binary_table,
    "acquisition_time": time_table,
    "final_scores": overview_tables.final_scores_table,
    "comparisons": comparison_tables.comparison_table,
    "over_datasets": comparison_tables.over_datasets_table,
    "savings": comparison_tables.savings_table,
    "penalties": comparison_tables.penalty_table,
    "ranking": comparison_tables.ranking_table,
    "overlaps": pick_tables.overlap_table,
    "class_balance": pick_tables.balance_table,
    "run_counts": run_tables.run_counts_table,
    "configuration": run_tables.configuration_table,
    "runs": run_tables.runs_table,
}
