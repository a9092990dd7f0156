"""Tables of comparisons: tests, label savings, pairwise penalties and the ranking."""

import math

import pandas as pd

from dal.report import palette, rankings, significance
from dal.report.results import Results
from dal.report.table import ABSENT, Cell, Table, p_statement, p_value, signed, sort_value


def comparison_table(results: Results) -> Table | None:
    """Every strategy against the baseline by dataset: difference, interval, tests, seeds needed.

    None where no two runs can be compared.
    """
    compared, pairs = results.comparisons, results.pairs
    if pairs.empty:
        return None
    baseline = palette.label(results.baseline)
    rows = []
    needed: list[int | None] = []
    for _, row in compared.iterrows():
        of_row = (pairs["dataset"] == row["dataset"]) & (pairs["strategy"] == row["strategy"])
        differences = pairs.loc[of_row, "difference"].to_numpy(float)
        family = compared[compared["dataset"] == row["dataset"]]
        need = None
        if len(differences) > 2:  # two tell too little about the spread
            num_tests = int(family["p_t"].notna().sum())
            need = significance.pairs_for_t(differences, num_tests)
        needed.append(need)
        rows.append(
            [
                Cell(row["dataset"], row["dataset"]),
                Cell(palette.label(row["strategy"]), row["strategy"]),
                _num_pairs_cell(row, baseline),
                *_test_cells(row),
                _needed_cell(need, len(differences)),
            ]
        )
    return Table(
        "comparisons",
        f"Against {baseline}, by dataset",
        f"Differences of AUC from {baseline}, paired by seed and initial pool: mean, its 95% "
        "interval (Student's t, for each strategy alone), and p-values of two-sided tests after "
        "Holm's correction, whose family is the strategies of one dataset and one test; those "
        "below 0.05 are in bold. The last column says how many seeds would make the difference "
        "significant in the t-test, at the strictest step of the correction, if its mean and "
        "spread stayed as they are.",
        [
            "Dataset",
            "Strategy",
            "Seeds",
            "Difference",
            "95% interval",
            "Wilcoxon p",
            "t-test p",
            "Seeds needed",
        ],
        rows,
        compared.assign(seeds_needed=pd.array(needed, dtype="Int64")),
    )


def over_datasets_table(results: Results) -> Table | None:
    """Every strategy against the baseline, each dataset one observation; None without two."""
    compared = results.comparisons_over_datasets
    num = int(compared["num_datasets"].max()) if len(compared) else 0
    if num < 2:
        return None
    rows = [
        [
            Cell(palette.label(row["strategy"]), row["strategy"]),
            Cell(str(int(row["num_datasets"])), float(row["num_datasets"])),
            *_test_cells(row),
        ]
        for _, row in compared.iterrows()
    ]
    remarks = []
    num_tests = int(compared["p_wilcoxon"].notna().sum())
    enough = significance.pairs_for_wilcoxon(num_tests)
    if num < enough:
        remarks.append(
            f"Too few datasets for Wilcoxon's test: with {num} it cannot be significant after "
            f"Holm's correction for {num_tests} strategies; with {enough} it can."
        )
    return Table(
        "over_datasets",
        f"Against {palette.label(results.baseline)}, over datasets",
        "The mean difference of AUC in a dataset is one observation (Demšar 2006). Interval and "
        "tests as above; the family of Holm's correction is the strategies of one test.",
        ["Strategy", "Datasets", "Difference", "95% interval", "Wilcoxon p", "t-test p"],
        rows,
        compared,
        remarks,
    )


def unpaired_notes(what: str, num: int, num_runs: int, baseline: str) -> tuple[str, ...]:
    """A note on runs of a cell that no run of the baseline can be compared to, if there are any."""
    if num == 0:
        return ()
    note = (
        f"{what}: {num} of {num_runs} runs left out, without a run of {baseline} with the same "
        "seed, initial pool and data."
    )
    return (note,)


def _num_pairs_cell(row: "pd.Series[float]", baseline: str) -> Cell:
    num_pairs, num_runs = int(row["num_pairs"]), int(row["num_runs"])
    what = f"{row['dataset']}, {palette.label(str(row['strategy']))}"
    notes = unpaired_notes(what, num_runs - num_pairs, num_runs, baseline)
    return Cell(str(num_pairs), float(num_pairs), notes=notes)


def _test_cells(row: "pd.Series[float]") -> list[Cell]:
    """Difference, interval and p-values."""
    difference, low, high = row["difference"], row["low"], row["high"]
    interval = ABSENT if math.isnan(low) else f"{signed(low)} to {signed(high)}"
    return [
        Cell(ABSENT if math.isnan(difference) else signed(difference), sort_value(difference)),
        Cell(interval, sort_value(low)),
        *(
            Cell(
                ABSENT if math.isnan(p) else p_value(p),
                math.inf if math.isnan(p) else p,
                is_best=p < significance.ALPHA,
            )
            for p in (row["holm_wilcoxon"], row["holm_t"])
        ),
    ]


def _needed_cell(need: int | None, num_pairs: int) -> Cell:
    if num_pairs < 3:
        return Cell(ABSENT, math.inf)
    return Cell("> 1000", math.inf) if need is None else Cell(str(need), float(need))


def savings_table(results: Results) -> Table | None:
    """Labels needed for the baseline's final accuracy, and their ratio to the baseline's.

    None where no two runs can be compared.
    """
    summary = results.median_savings
    if summary.empty:
        return None
    baseline = palette.label(results.baseline)
    rows = []
    for _, row in summary.iterrows():
        num, reached = int(row["num_pairs"]), int(row["num_reached"])
        interval = ABSENT
        if not math.isnan(row["low"]):
            interval = " to ".join(dict.fromkeys((_ratio(row["low"]), _ratio(row["high"]))))
        rows.append(
            [
                Cell(row["dataset"], row["dataset"]),
                Cell(palette.label(row["strategy"]), row["strategy"]),
                Cell(f"{reached} of {num}", reached / num),
                Cell(
                    "not reached" if math.isinf(row["labels"]) else f"{row['labels']:.0f}",
                    float(row["labels"]),
                ),
                Cell(_ratio(row["ratio"]), float(row["ratio"])),
                Cell(interval, sort_value(row["low"])),
            ]
        )
    return Table(
        "savings",
        "Label savings",
        "Labels at which a strategy's curve, linear between its points, first reaches the final "
        f"accuracy of the {baseline} run of the same seed and initial pool, and their ratio to the "
        f"labels {baseline} had then; medians over seeds, with the bootstrap 95% interval of the "
        "ratio's median (10,000 resamples; of up to 5 seeds, it is the range of all ratios). "
        "A seed that never reaches it counts as more than the whole budget. The row of "
        f"{baseline} shows how much of a saving is noise: its own curve may touch its final "
        "accuracy before the end.",
        ["Dataset", "Strategy", "Reached", "Labels", "Ratio", "95% interval"],
        rows,
        summary,
    )


def _ratio(value: float) -> str:
    return "not reached" if math.isinf(value) else f"{value:.2f}"


def penalty_table(results: Results) -> Table | None:
    """The pairwise penalty matrix of Ash et al. (2020); None where none can be computed."""
    matrix, num_datasets = results.penalties
    names = list(matrix.index)
    if not num_datasets.to_numpy().any():
        return None
    means = matrix.mean()
    most = int(num_datasets.to_numpy().max())
    lowest = means.min()
    rows = []
    for first in names:
        cells = [Cell(palette.label(first), first)]
        for second in names:
            value = matrix.loc[first, second]
            notes: tuple[str, ...] = ()
            num = int(num_datasets.loc[first, second])
            if first != second and num < most:
                notes = (f"Compared in {num} of {most} datasets, so it is {num} at most.",)
            cells.append(
                Cell(ABSENT, -1.0, notes=notes)
                if math.isnan(value)
                else Cell(f"{value:.2f}", float(value), notes=notes, share=float(value) / most)
            )
        rows.append(cells)
    rows.append(
        [
            Cell("Mean of column", "mean"),
            *(
                Cell(ABSENT, -1.0)
                if math.isnan(mean)
                else Cell(f"{mean:.2f}", float(mean), is_best=mean == lowest)
                for mean in means
            ),
        ]
    )
    return Table(
        "penalties",
        "Pairwise penalties",
        "How much the strategy of a row beats that of a column (Ash et al. 2020): in every "
        "dataset, the share of the numbers of labels after the initial pool at which a two-sided "
        "paired t-test over their common seeds, at 0.05 and uncorrected, finds it more accurate; "
        f"summed over {most} {'dataset' if most == 1 else 'datasets'}. A strategy with a low "
        "column mean is seldom beaten.",
        ["Strategy", *map(palette.label, names)],
        rows,
        matrix.rename_axis("strategy").reset_index(),
        num_footers=1,
        is_matrix=True,
    )


def ranking_table(results: Results) -> Table | None:
    """Mean ranks over datasets; None where there is no ranking."""
    ranking = results.ranking
    if ranking is None:
        return None
    remarks = []
    if ranking.left_out:
        remarks.append(
            "Not ranked, since not every dataset has them: "
            f"{', '.join(map(palette.label, ranking.left_out))}."
        )
    if ranking.unpaired:
        remarks.append(
            f"No seed has all strategies in {', '.join(ranking.unpaired)}: means over other seeds."
        )
    num_strategies = len(ranking.ranks)
    if ranking.critical_difference >= num_strategies - 1:
        enough = ranking.num_datasets
        while rankings.critical_difference(num_strategies, enough) >= num_strategies - 1:
            enough += 1
        remarks.append(
            f"Too few datasets: with {ranking.num_datasets} not even first and last can differ "
            f"significantly; with {enough} they can."
        )
    rows = [
        [Cell(palette.label(name), name), Cell(f"{rank:.2f}", float(rank))]
        for name, rank in ranking.ranks.items()
    ]
    p = ranking.p_friedman
    friedman = "" if math.isnan(p) else f" Friedman's test: {p_statement(p)}."
    return Table(
        "ranking",
        "Ranking over datasets",
        f"Mean rank by AUC over {ranking.num_datasets} datasets (1 is best).{friedman} Nemenyi's "
        f"critical difference at 0.05: {ranking.critical_difference:.2f}; mean ranks closer than "
        "that do not differ significantly.",
        ["Strategy", "Mean rank"],
        rows,
        ranking.ranks.rename("mean_rank").reset_index(),
        remarks,
    )
