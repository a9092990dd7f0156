"""The tables of a report in their order: those of the paper, and which runs there are.

Tables of comparisons are in :mod:`dal.report.comparison_tables`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from dal.report import comparison_tables, palette, significance
from dal.report.results import Results
from dal.report.table import ABSENT, Cell, Table, duration, mean_and_std, ranges, signed

T_MARK, WILCOXON_MARK = "*", "†"
ABOUT_TIMES = (
    "An acquisition time is the wall time of one selection: the mean over the cycles that select, "
    "then over complete runs on that device. It depends on the machine and on what else ran there."
)


def build_tables(results: Results) -> list[Table]:
    """Every table that the results allow, in the order of a report."""
    tables = [
        benchmark_table(results),
        *bait_tables(results),
        time_table(results),
        comparison_tables.comparison_table(results),
        comparison_tables.over_datasets_table(results),
        comparison_tables.savings_table(results),
        comparison_tables.penalty_table(results),
        comparison_tables.ranking_table(results),
        run_counts_table(results),
        configuration_table(results),
    ]
    return [table for table in tables if table is not None]


def benchmark_table(results: Results) -> Table:
    """The paper's Table 5: the AUC of random, and the difference of every strategy."""
    others = [s for s in results.strategies if palette.split(s)[0] != "random"]
    rows = []
    for dataset in results.datasets:
        here = results.aucs[results.aucs["dataset"] == dataset].set_index("strategy")
        most = _most_pairs(here)
        cells = [
            _baseline_cell(results, dataset, here),
            *(_difference_cell(results, dataset, here, strategy, most) for strategy in others),
        ]
        values = [0.0, *(float(cell.value) for cell in cells[1:])]
        best = max(values) if results.baselines[dataset] is not None else None
        scores = results.scores[results.scores["dataset"] == dataset]
        num_seeds = most or scores["seed"].nunique()
        rows.append(
            [
                Cell(dataset, dataset),
                Cell(str(num_seeds), float(num_seeds)),
                *(
                    replace(cell, is_best=value == best)
                    for cell, value in zip(cells, values, strict=True)
                ),
            ]
        )
    return Table(
        "table_5",
        "Accuracy (AUC)",
        "Mean accuracy over all cycles in percent: of random, and the difference of every other "
        "strategy from it, each as mean ± standard deviation over seeds. A difference is of "
        "two runs with the same seed and initial pool; the best of a dataset is in bold. "
        f"{T_MARK} the paired t-test and {WILCOXON_MARK} Wilcoxon's signed-rank test reject "
        "equality with random at 0.05 after Holm's correction over the strategies of a dataset.",
        ["Dataset", "Seeds", "Random", *map(palette.label, others)],
        rows,
        results.aucs,
        comparison_tables.too_few_seeds(results),
        transposable="Strategy",
    )


def _most_pairs(aucs: pd.DataFrame) -> int:
    """The most pairs that any strategy of some has; 0 without any."""
    return int(aucs["num_pairs"].fillna(0).max()) if len(aucs) else 0


def _baseline_cell(results: Results, dataset: str, aucs: pd.DataFrame) -> Cell:
    """The AUC of the baseline. ``aucs``: of the dataset, indexed by strategy."""
    name = results.baselines[dataset]
    notes = _unfinished_notes(results, dataset, name or "random")
    if name is None:
        why = f"{dataset}: no complete run of random to compare to; AUC are shown as they are."
        return Cell(ABSENT, -math.inf, notes=(*notes, why))
    if name != "random":
        notes = (*notes, f"{dataset}: compared to {palette.label(name)}, one of several variants.")
    own = aucs.loc[name]
    return Cell(mean_and_std(own["auc"], own["auc_std"]), float(own["auc"]), notes=notes)


def _difference_cell(
    results: Results, dataset: str, aucs: pd.DataFrame, strategy: str, most: int
) -> Cell:
    """The difference from the baseline. ``most``: pairs that another strategy has."""
    notes = _unfinished_notes(results, dataset, strategy)
    if strategy not in aucs.index:
        return Cell(ABSENT, -math.inf, notes=notes)
    row = aucs.loc[strategy]
    num_pairs, num_runs = int(row["num_pairs"]), int(row["num_runs"])
    what = f"{dataset}, {palette.label(strategy)}"
    if num_pairs == 0:
        text = f"AUC {mean_and_std(row['auc'], row['auc_std'])}"
        why = (
            f"{what}: no run of random with the same seed, initial pool and data; the AUC is shown "
            "as it is."
        )
        return Cell(text, -math.inf, notes=(*notes, why))
    notes += comparison_tables.unpaired_notes(what, num_runs - num_pairs, num_runs)
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


def _marks(row: "pd.Series[float]") -> str:
    p_values = [(T_MARK, row["holm_t"]), (WILCOXON_MARK, row["holm_wilcoxon"])]
    return "".join(mark for mark, p in p_values if p < significance.ALPHA)


def bait_tables(results: Results) -> list[Table]:
    """The paper's Tables 3 and 4, as far as their strategies were run.

    Table 3 compares BAIT (Exp), in all its variants, to BAIT; Table 4 BAIT (Diagonal) and
    BAIT (Binary).
    """
    tables = []
    for name, title, families in (
        ("table_3", "BAIT (Exp) against BAIT", ("random", "bait_exp", "bait")),
        (
            "table_4",
            "BAIT (Binary) against BAIT",
            ("random", "bait_diagonal", "bait_binary", "bait"),
        ),
    ):
        chosen = [s for s in results.compared_strategies if palette.split(s)[0] in families]
        if len([s for s in chosen if palette.split(s)[0] != "random"]) > 1:
            tables.append(bait_table(results, name, title, chosen))
    return tables


def bait_table(results: Results, name: str, title: str, strategies: Sequence[str]) -> Table:
    """AUC and acquisition time by strategy and device, in the layout of the paper's Tables 3, 4.

    Args:
        results: Of any runs.
        name: Of the files.
        title: A few words.
        strategies: The columns, in this order.
    """
    numbers = results.aucs[results.aucs["strategy"].isin(strategies)]
    times = results.times[results.times["strategy"].isin(strategies)]
    rows = []
    for dataset in (d for d in results.datasets if d in set(numbers["dataset"])):
        here = numbers[numbers["dataset"] == dataset].set_index("strategy")
        most = _most_pairs(results.aucs[results.aucs["dataset"] == dataset])
        cells = [
            _baseline_cell(results, dataset, here)
            if strategy == results.baselines[dataset]
            else _difference_cell(results, dataset, here, strategy, most)
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
        "AUC of random and differences of the others from it, paired by seed, mean ± standard "
        f"deviation over seeds ({T_MARK} and {WILCOXON_MARK} as in the table of all strategies). "
        + ABOUT_TIMES,
        ["Dataset", "Measure", *map(palette.label, strategies)],
        rows,
        numbers.merge(times.drop(columns="num_runs"), on=["dataset", "strategy"], how="left"),
    )


def time_table(results: Results) -> Table:
    """Acquisition time of every strategy by dataset and device."""
    rows = [
        [
            Cell(row["dataset"], row["dataset"]),
            Cell(palette.label(row["strategy"]), row["strategy"]),
            Cell(row["device"], row["device"]),
            Cell(str(row["num_runs"]), float(row["num_runs"])),
            _duration_cell(row["seconds"]),
        ]
        for _, row in results.times.iterrows()
    ]
    return Table(
        "acquisition_time",
        "Acquisition time",
        ABOUT_TIMES,
        ["Dataset", "Strategy", "Device", "Runs", "One selection"],
        rows,
        results.times,
    )


def _duration_cell(seconds: float | None) -> Cell:
    return Cell(ABSENT, math.inf) if seconds is None else Cell(duration(seconds), float(seconds))


def run_counts_table(results: Results) -> Table:
    """Which runs there are: complete ones, of the seeds that any strategy of the dataset has."""
    frame = results.frame
    runs = frame[(frame["cycle"] == 0) & (frame["repeat"] == 0)]
    rows = []
    for dataset in results.datasets:
        here = runs[runs["dataset"] == dataset]
        seeds = set(here["seed"])
        cells = [Cell(dataset, dataset)]
        for strategy in results.strategies:
            of_strategy = here[here["strategy"] == strategy]
            if of_strategy.empty:
                cells.append(Cell(ABSENT, -1.0))
                continue
            found = set(of_strategy["seed"])
            complete = set(of_strategy.loc[of_strategy["complete"], "seed"])
            what = f"{dataset}, {palette.label(strategy)}"
            notes = []
            if found > complete:
                notes.append(f"{what}: unfinished seeds {ranges(sorted(found - complete))}.")
            if seeds > found:
                notes.append(f"{what}: no run of seeds {ranges(sorted(seeds - found))}.")
            cells.append(
                Cell(f"{len(complete)} of {len(seeds)}", float(len(complete)), notes=tuple(notes))
            )
        rows.append(cells)
    return Table(
        "runs",
        "Runs",
        "Complete runs, of the seeds that any strategy of the dataset has.",
        ["Dataset", *map(palette.label, results.strategies)],
        rows,
        runs[["dataset", "strategy", "seed", "complete", "run"]],
        transposable="Strategy",
    )


def configuration_table(results: Results) -> Table:
    """What the configurations of runs differ in, by dataset."""
    configurations = results.configurations
    datasets = list(dict.fromkeys(configurations["dataset"]))
    rows = []
    for key in configurations.columns.drop(["dataset", "strategy", "seed"]):
        # An argument of one strategy differs from another's; that is no difference between runs.
        if key.startswith("strategy.") and not _varies_within_strategy(configurations, key):
            continue
        cells = [Cell(key, key)]
        for dataset in datasets:
            values = configurations.loc[configurations["dataset"] == dataset, key]
            shown = ", ".join(dict.fromkeys(values))
            cells.append(Cell(shown, shown))
        rows.append(cells)
    return Table(
        "configuration",
        "Differences between configurations",
        "Keys that are not the same in all runs, with their values.",
        ["Key", *datasets],
        rows,
        configurations.reset_index(),
    )


def _varies_within_strategy(configurations: pd.DataFrame, key: str) -> bool:
    plain = configurations["strategy"].map(lambda name: palette.split(name)[0])
    return bool((configurations.groupby(plain)[key].nunique() > 1).any())
