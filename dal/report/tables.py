"""The tables: each one function of the frame of :func:`dal.report.load`.

A table holds its numbers twice: as cells, rounded and marked for a reader, and as a frame in full
precision for a program. What has to be known about a number is a note at its cell.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from dal.report import palette, statistics

MINUS = "−"
ABSENT = "–"
MAX_COLUMNS = 8  # of a page of a journal; a wider table is turned on its side
ABOUT_TIMES = (
    "An acquisition time is the wall time of one selection: the mean over the cycles that select, "
    "then over complete runs on that device. It holds for its machine and for what else ran there."
)
T_MARK, WILCOXON_MARK = "*", "†"


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        text: As a reader sees it.
        value: What it is sorted by.
        is_best: Whether it is in bold.
        marks: Signs of significance behind it.
        notes: What has to be known about it, a sentence each.
    """

    text: str
    value: float | str = ""
    is_best: bool = False
    marks: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What is shown, and the numbers behind it.

    Attributes:
        name: Of its files, without an ending.
        title: A few words.
        caption: What its numbers are, exactly.
        header: Above the columns.
        rows: Cells; the first of a row says what it is of.
        numbers: The same in full precision, for the CSV file.
        remarks: What has to be known about all of it, a sentence or two each.
        turned: What the columns are, if they may become rows where the table is too wide.
        num_footers: Rows at the end that sum up the others and stay there.
    """

    name: str
    title: str
    caption: str
    header: list[str]
    rows: list[list[Cell]]
    numbers: pd.DataFrame
    remarks: list[str] = field(default_factory=list)
    turned: str = ""
    num_footers: int = 0

    def notes(self) -> list[str]:
        """The notes of all cells, each once, in the order of reading."""
        return list(dict.fromkeys(n for row in self.rows for cell in row for n in cell.notes))

    def fitted(self) -> "Table":
        """The table, turned on its side if it is too wide and may be turned."""
        if not self.turned or len(self.header) <= max(MAX_COLUMNS, len(self.rows) + 1):
            return self
        names = [Cell(name, name) for name in self.header[1:]]
        return replace(
            self,
            header=[self.turned, *(row[0].text for row in self.rows)],
            rows=[
                [name, *(row[place] for row in self.rows)]
                for place, name in enumerate(names, start=1)
            ],
        )


def benchmark(frame: pd.DataFrame) -> Table:
    """The paper's Table 5: the AUC of random, and the difference of every strategy."""
    numbers = _numbers(frame)
    others = [s for s in statistics.strategies(frame) if palette.split(s)[0] != "random"]
    rows = []
    for dataset in statistics.datasets(frame):
        here = numbers[numbers["dataset"] == dataset].set_index("strategy")
        base = statistics.baseline(frame, dataset)
        most = int(here["num_pairs"].max()) if here["num_pairs"].notna().any() else 0
        cells = [
            _baseline_cell(frame, dataset, here),
            *(_difference_cell(frame, dataset, here, strategy, most) for strategy in others),
        ]
        values = [0.0, *(float(cell.value) for cell in cells[1:])]
        best = max(values)
        num_seeds = most or len(statistics.seeds(frame, dataset))
        rows.append(
            [
                Cell(dataset, dataset),
                Cell(str(num_seeds), float(num_seeds)),
                *(
                    replace(cell, is_best=base is not None and value == best)
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
        numbers,
        too_few_seeds(frame),
        turned="Strategy",
    )


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """AUC and its difference from the baseline's, a row a dataset and strategy."""
    runs = statistics.scores(frame).groupby(["dataset", "strategy"], sort=False)["auc"]
    aucs = runs.agg(["mean", "std"]).rename(columns={"mean": "auc", "std": "auc_std"})
    compared = statistics.comparisons(frame).drop(columns=["low", "high", "num_runs"])
    numbers = aucs.assign(num_runs=runs.size()).reset_index()
    numbers = numbers.merge(compared, on=["dataset", "strategy"], how="left")
    return statistics.in_order(numbers, statistics.datasets(frame))


def _baseline_cell(frame: pd.DataFrame, dataset: str, numbers: pd.DataFrame) -> Cell:
    name = statistics.baseline(frame, dataset)
    notes = _unfinished_notes(frame, dataset, name or "random")
    if name is None:
        why = f"{dataset}: no complete run of random to compare to; the AUC themselves are shown."
        return Cell(ABSENT, -math.inf, notes=(*notes, why))
    if name != "random":
        notes = (*notes, f"{dataset}: compared to {palette.label(name)}, one of several variants.")
    own = numbers.loc[name]
    return Cell(_spread(own["auc"], own["auc_std"]), float(own["auc"]), notes=notes)


def _difference_cell(
    frame: pd.DataFrame, dataset: str, numbers: pd.DataFrame, strategy: str, most: int
) -> Cell:
    notes = _unfinished_notes(frame, dataset, strategy)
    if strategy not in numbers.index:
        return Cell(ABSENT, -math.inf, notes=notes)
    row = numbers.loc[strategy]
    num_pairs, num_runs = int(row["num_pairs"]), int(row["num_runs"])
    what = f"{dataset}, {palette.label(strategy)}"
    if num_pairs == 0:
        why = f"{what}: no run of random with the same seed, initial pool and data; the AUC itself."
        return Cell(f"AUC {_spread(row['auc'], row['auc_std'])}", -math.inf, notes=(*notes, why))
    notes += _unpaired_notes(what, num_runs - num_pairs, num_runs)
    if num_pairs == 1:
        notes = (*notes, f"{what}: one seed, hence no spread and no test.")
    elif num_pairs < most:
        notes = (*notes, f"{what}: {num_pairs} seeds, where others have {most}.")
    text = signed(row["difference"])
    if num_pairs > 1:
        text += f" ± {row['std']:.2f}"
    return Cell(text, float(row["difference"]), marks=_marks(row), notes=notes)


def _unpaired_notes(what: str, num: int, num_runs: int) -> tuple[str, ...]:
    if num == 0:
        return ()
    note = (
        f"{what}: {num} of {num_runs} runs left out, without a run of random with the same seed, "
        "initial pool and data."
    )
    return (note,)


def _unfinished_notes(frame: pd.DataFrame, dataset: str, strategy: str) -> tuple[str, ...]:
    here = frame[(frame["dataset"] == dataset) & (frame["strategy"] == strategy)]
    here = here[(here["cycle"] == 0) & (here["repeat"] == 0)]
    num = int((~here["complete"]).sum())
    if num == 0:
        return ()
    what = f"{dataset}, {palette.label(strategy)}"
    return (f"{what}: {num} of {len(here)} runs unfinished and left out.",)


def _marks(row: "pd.Series[float]") -> str:
    found = [(T_MARK, row["holm_t"]), (WILCOXON_MARK, row["holm_wilcoxon"])]
    return "".join(mark for mark, p in found if p < statistics.ALPHA)


def too_few_seeds(frame: pd.DataFrame) -> list[str]:
    """Where there are too few seeds for a claim, and how many would do."""
    remarks = []
    compared = statistics.comparisons(frame)
    for dataset, group in compared.groupby("dataset", sort=False):
        num = int(group["num_pairs"].max())
        num_tests = int(group["p_wilcoxon"].notna().sum())
        if num == 1:
            remarks.append(
                f"{dataset}: one seed allows no claim about chance; 5 are usual, 10 the paper's."
            )
            continue
        if num_tests == 0:
            continue
        enough = statistics.pairs_for_wilcoxon(num_tests)
        if num < enough:
            least = 2.0 ** (1 - num)
            after = (
                f", {min(1, num_tests * least):.3g} after Holm's correction for {num_tests} "
                "strategies"
                if num_tests > 1
                else ""
            )
            remarks.append(
                f"{dataset}: too few seeds for Wilcoxon's test. With {num} its p-value is at least "
                f"{least:.3g}{after}: it cannot be significant; with {enough} seeds it can."
            )
    return remarks


def cost(frame: pd.DataFrame, name: str, title: str, strategies: Sequence[str]) -> Table:
    """AUC and acquisition time by strategy and device, in the layout of the paper's Tables 3, 4.

    Args:
        frame: Of :func:`dal.report.load`.
        name: Of the files.
        title: A few words.
        strategies: Which, in this order.
    """
    everything, seconds = _numbers(frame), statistics.times(frame)
    most_pairs = everything.groupby("dataset")["num_pairs"].max().fillna(0)
    numbers = everything[everything["strategy"].isin(strategies)]
    seconds = seconds[seconds["strategy"].isin(strategies)]
    rows = []
    for dataset in (d for d in statistics.datasets(frame) if d in set(numbers["dataset"])):
        here = numbers[numbers["dataset"] == dataset].set_index("strategy")
        base, most = statistics.baseline(frame, dataset), int(most_pairs[dataset])
        cells = [
            _baseline_cell(frame, dataset, here)
            if strategy == base
            else _difference_cell(frame, dataset, here, strategy, most)
            for strategy in strategies
        ]
        rows.append([Cell(dataset, dataset), Cell("Accuracy (AUC)", ""), *cells])
        for device, of in seconds[seconds["dataset"] == dataset].groupby("device", sort=False):
            by_name = of.set_index("strategy")["seconds"]
            rows.append(
                [
                    Cell(dataset, dataset),
                    Cell(f"Acquisition time ({device})", str(device)),
                    *(_duration_cell(by_name.get(strategy)) for strategy in strategies),
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
        numbers.merge(seconds.drop(columns="num_runs"), on=["dataset", "strategy"], how="left"),
    )


def bait_tables(frame: pd.DataFrame) -> list[Table]:
    """The paper's Tables 3 and 4, as far as their strategies were run.

    Table 3 compares BAIT (Exp), in all its variants, to BAIT; Table 4 BAIT (Diagonal) and
    BAIT (Binary).
    """
    there = statistics.strategies(statistics.counted(frame))
    found = []
    for name, title, plain in (
        ("table_3", "BAIT (Exp) against BAIT", ("random", "bait_exp", "bait")),
        (
            "table_4",
            "BAIT (Binary) against BAIT",
            ("random", "bait_diagonal", "bait_binary", "bait"),
        ),
    ):
        chosen = [s for s in there if palette.split(s)[0] in plain]
        if len([s for s in chosen if palette.split(s)[0] != "random"]) > 1:
            found.append(cost(frame, name, title, chosen))
    return found


def acquisition_time(frame: pd.DataFrame) -> Table:
    """Acquisition time of every strategy by dataset and device."""
    seconds = statistics.times(frame)
    rows = [
        [
            Cell(row["dataset"], row["dataset"]),
            Cell(palette.label(row["strategy"]), row["strategy"]),
            Cell(row["device"], row["device"]),
            Cell(str(row["num_runs"]), float(row["num_runs"])),
            _duration_cell(row["seconds"]),
        ]
        for _, row in seconds.iterrows()
    ]
    return Table(
        "acquisition_time",
        "Acquisition time",
        ABOUT_TIMES,
        ["Dataset", "Strategy", "Device", "Runs", "A selection"],
        rows,
        seconds,
    )


def _duration_cell(seconds: float | None) -> Cell:
    return Cell(ABSENT, math.inf) if seconds is None else Cell(duration(seconds), float(seconds))


def comparisons(frame: pd.DataFrame) -> Table:
    """Every strategy against random by dataset: difference, interval, tests, and seeds needed."""
    compared = statistics.comparisons(frame)
    paired = statistics.pairs(frame)
    rows = []
    needed: list[int | None] = []
    for _, row in compared.iterrows():
        of_both = (paired["dataset"] == row["dataset"]) & (paired["strategy"] == row["strategy"])
        differences = paired.loc[of_both, "difference"].to_numpy(float)
        family = compared[compared["dataset"] == row["dataset"]]
        need = None
        if len(differences) > 2:  # two tell too little of the spread
            need = statistics.pairs_for_t(differences, int(family["p_t"].notna().sum()))
        needed.append(need)
        rows.append(
            [
                Cell(row["dataset"], row["dataset"]),
                Cell(palette.label(row["strategy"]), row["strategy"]),
                _num_pairs_cell(row),
                *_test_cells(row),
                Cell(_needed(need, len(differences)), math.inf if need is None else float(need)),
            ]
        )
    return Table(
        "comparisons",
        "Against random, by dataset",
        "Differences of AUC from random, paired by seed and initial pool: mean, percentile "
        "bootstrap 95% interval (10,000 resamples), and p-values of two-sided tests after Holm's "
        "correction, whose family is the strategies of one dataset and one test; those below 0.05 "
        "are in bold. The last column "
        "says how many seeds would make the mean difference significant in the t-test, at the "
        "strictest step of the correction, were it and the spread seen the true ones.",
        [
            *("Dataset", "Strategy", "Seeds", "Difference", "95% interval"),
            *("Wilcoxon p", "t-test p", "Seeds needed"),
        ],
        rows,
        compared.assign(seeds_needed=pd.array(needed, dtype="Int64")),
        [*too_few_seeds(frame), *_narrow_intervals(compared["num_pairs"], "seeds")],
    )


def _num_pairs_cell(row: "pd.Series[float]") -> Cell:
    num_pairs, num_runs = int(row["num_pairs"]), int(row["num_runs"])
    what = f"{row['dataset']}, {palette.label(str(row['strategy']))}"
    notes = _unpaired_notes(what, num_runs - num_pairs, num_runs)
    return Cell(str(num_pairs), float(num_pairs), notes=notes)


def _test_cells(row: "pd.Series[float]") -> list[Cell]:
    difference = row["difference"]
    return [
        Cell(ABSENT if math.isnan(difference) else signed(difference), _sortable(difference)),
        Cell(
            ABSENT if math.isnan(row["low"]) else f"{signed(row['low'])} to {signed(row['high'])}",
            _sortable(row["low"]),
        ),
        *(
            Cell(
                ABSENT if math.isnan(p) else number(p),
                math.inf if math.isnan(p) else p,
                is_best=p < statistics.ALPHA,
            )
            for p in (row["holm_wilcoxon"], row["holm_t"])
        ),
    ]


def _narrow_intervals(sizes: "pd.Series[int]", what: str) -> list[str]:
    num = sizes[sizes > 1].min()
    if not num < 10:  # nor if there is none
        return []
    part = statistics.percentile_width(int(num))
    remark = (
        f"A bootstrap interval of few {what} is too narrow: of {int(num)}, it has about {part:.0%} "
        "of the width of a t interval."
    )
    return [remark]


def _needed(need: int | None, num: int) -> str:
    if num < 3:
        return ABSENT
    return "> 1000" if need is None else str(need)


def comparisons_over_datasets(frame: pd.DataFrame) -> Table:
    """Every strategy against random over datasets, each dataset one observation."""
    compared = statistics.comparisons_over_datasets(frame)
    rows = [
        [
            Cell(palette.label(row["strategy"]), row["strategy"]),
            Cell(str(int(row["num_datasets"])), float(row["num_datasets"])),
            *_test_cells(row),
        ]
        for _, row in compared.iterrows()
    ]
    remarks = []
    num = int(compared["num_datasets"].max()) if len(compared) else 0
    if num == 1:
        remarks.append("One dataset allows no claim over datasets.")
    elif num:
        num_tests = int(compared["p_wilcoxon"].notna().sum())
        enough = statistics.pairs_for_wilcoxon(num_tests)
        if num < enough:
            remarks.append(
                f"Too few datasets for Wilcoxon's test: with {num} it cannot be significant after "
                f"Holm's correction for {num_tests} strategies; with {enough} it can."
            )
    remarks += _narrow_intervals(compared["num_datasets"], "datasets")
    return Table(
        "over_datasets",
        "Against random, over datasets",
        "The mean difference of AUC in a dataset is one observation (Demšar 2006). Interval and "
        "tests as above; the family of Holm's correction is the strategies of one test.",
        ["Strategy", "Datasets", "Difference", "95% interval", "Wilcoxon p", "t-test p"],
        rows,
        compared,
        remarks,
    )


def penalties(frame: pd.DataFrame) -> Table:
    """The pairwise penalty matrix of Ash et al. (2020)."""
    matrix, num_datasets = statistics.penalties(frame)
    names = list(matrix.index)
    means = matrix.mean()
    most = int(num_datasets.to_numpy().max()) if len(names) else 0
    lowest = means.min()
    rows = []
    for first in names:
        cells = [Cell(palette.label(first), first)]
        for second in names:
            value = matrix.loc[first, second]
            notes: tuple[str, ...] = ()
            num = int(num_datasets.loc[first, second])
            if first != second and num < most:
                notes = (f"Compared in {num} of {most} datasets, so that it is {num} at most.",)
            cells.append(
                Cell(ABSENT, -1.0, notes=notes)
                if math.isnan(value)
                else Cell(f"{value:.2f}", float(value), notes=notes)
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
        "dataset, the part of the numbers of labels after the initial pool at which a two-sided "
        "paired t-test over their common seeds, at 0.05 and uncorrected, finds it more accurate; "
        f"summed over {most} {'dataset' if most == 1 else 'datasets'}. A low column mean is "
        "seldom beaten.",
        ["Strategy", *map(palette.label, names)],
        rows,
        matrix.rename_axis("strategy").reset_index(),
        num_footers=1,
    )


def ranking(frame: pd.DataFrame) -> Table | None:
    """Mean ranks over datasets; None where they cannot be had."""
    found = statistics.ranking(frame)
    if found is None:
        return None
    remarks = []
    if found.left_out:
        remarks.append(
            "Not ranked, since not every dataset has them: "
            f"{', '.join(map(palette.label, found.left_out))}."
        )
    if found.unpaired:
        remarks.append(
            f"No seed has all strategies in {', '.join(found.unpaired)}: means over other seeds."
        )
    num_strategies = len(found.ranks)
    if found.critical_difference >= num_strategies - 1:
        enough = found.num_datasets
        while statistics.critical_difference(num_strategies, enough) >= num_strategies - 1:
            enough += 1
        remarks.append(
            f"Too few datasets: with {found.num_datasets} not even first and last can be told "
            f"apart; with {enough} they can."
        )
    rows = [
        [Cell(palette.label(name), name), Cell(f"{rank:.2f}", float(rank))]
        for name, rank in found.ranks.items()
    ]
    p = "" if math.isnan(found.p_friedman) else f" Friedman's test: p = {number(found.p_friedman)}."
    return Table(
        "ranking",
        "Ranking over datasets",
        f"Mean rank by AUC over {found.num_datasets} datasets (1 is best).{p} Nemenyi's critical "
        f"difference at 0.05: {found.critical_difference:.2f}; mean ranks closer than that are not "
        "told apart.",
        ["Strategy", "Mean rank"],
        rows,
        found.ranks.rename("mean_rank").reset_index(),
        remarks,
    )


def savings(frame: pd.DataFrame) -> Table:
    """Labels needed for random's final accuracy, and their ratio to random's."""
    summary = statistics.savings_summary(frame)
    rows = []
    for _, row in summary.iterrows():
        num, reached = int(row["num_pairs"]), int(row["num_reached"])
        what = f"{row['dataset']}, {palette.label(row['strategy'])}"
        notes: tuple[str, ...] = ()
        if 0 < reached < num:
            notes = (f"{what}: {num - reached} of {num} seeds never reach it and count as more.",)
        interval = ABSENT
        if not math.isnan(row["low"]):
            interval = " to ".join(dict.fromkeys((_ratio(row["low"]), _ratio(row["high"]))))
        rows.append(
            [
                Cell(row["dataset"], row["dataset"]),
                Cell(palette.label(row["strategy"]), row["strategy"]),
                Cell(f"{reached} of {num}", reached / num, notes=notes),
                Cell(
                    "not reached" if math.isinf(row["labels"]) else f"{row['labels']:.0f}",
                    float(row["labels"]),
                ),
                Cell(_ratio(row["ratio"]), float(row["ratio"])),
                Cell(interval, _sortable(row["low"])),
            ]
        )
    return Table(
        "savings",
        "Label savings",
        "Labels at which a strategy's curve, linear between its points, first reaches the final "
        "accuracy of the random run of the same seed and initial pool, and their ratio to the "
        "labels random had then; medians over seeds, with the bootstrap 95% interval of the ratio. "
        "A seed that never reaches it counts as more than the whole budget. The row of random "
        "shows how much of a saving is noise: its own curve may touch its final accuracy before "
        "the end.",
        ["Dataset", "Strategy", "Reached", "Labels", "Ratio", "95% interval"],
        rows,
        summary,
    )


def _ratio(value: float) -> str:
    return "not reached" if math.isinf(value) else f"{value:.2f}"


def coverage(frame: pd.DataFrame) -> Table:
    """Which runs there are: complete of found, and seeds that others of the dataset have."""
    strategies = statistics.strategies(frame)
    runs = frame[(frame["cycle"] == 0) & (frame["repeat"] == 0)]
    rows = []
    for dataset in statistics.datasets(frame):
        here = runs[runs["dataset"] == dataset]
        seeds = set(here["seed"])
        cells = [Cell(dataset, dataset)]
        for strategy in strategies:
            of = here[here["strategy"] == strategy]
            done = of[of["complete"]]
            if of.empty:
                cells.append(Cell(ABSENT, -1.0))
                continue
            what = f"{dataset}, {palette.label(strategy)}"
            notes = []
            unfinished = sorted(set(of["seed"]) - set(done["seed"]))
            if unfinished:
                notes.append(f"{what}: unfinished seeds {_listed(unfinished)}.")
            missing = sorted(seeds - set(of["seed"]))
            if missing:
                notes.append(f"{what}: no run of seeds {_listed(missing)}.")
            cells.append(Cell(f"{len(done)} of {len(seeds)}", float(len(done)), notes=tuple(notes)))
        rows.append(cells)
    numbers = runs[["dataset", "strategy", "seed", "complete", "run"]]
    return Table(
        "runs",
        "Runs",
        "Complete runs, of the seeds that any strategy of the dataset has.",
        ["Dataset", *map(palette.label, strategies)],
        rows,
        numbers,
        turned="Strategy",
    )


def configuration(configurations: pd.DataFrame) -> Table:
    """What the configurations of runs differ in, by dataset.

    Args:
        configurations: Of :func:`dal.report.runs.read`.
    """
    identity = ["dataset", "strategy", "seed"]
    datasets = list(dict.fromkeys(configurations["dataset"]))
    rows = []
    for key in (name for name in configurations.columns if name not in identity):
        cells = [Cell(key, key)]
        for dataset in datasets:
            here = configurations.loc[configurations["dataset"] == dataset, key]
            shown = ", ".join(dict.fromkeys(here))
            cells.append(Cell(shown, shown))
        # An argument of one strategy differs from another's; that is no difference between runs.
        if not key.startswith("strategy.") or _varies_within(configurations, key):
            rows.append(cells)
    return Table(
        "configuration",
        "Differences between configurations",
        "Keys that are not the same in all runs, with their values.",
        ["Key", *datasets],
        rows,
        configurations.reset_index(),
    )


def _varies_within(configurations: pd.DataFrame, key: str) -> bool:
    plain = configurations["strategy"].map(lambda name: palette.split(name)[0])
    return bool((configurations.groupby(plain)[key].nunique() > 1).any())


def all_tables(frame: pd.DataFrame) -> list[Table]:
    """Every table of the frame, in the order of a report."""
    makers: list[Callable[[pd.DataFrame], Table | None]] = [
        comparisons,
        comparisons_over_datasets,
        savings,
        penalties,
        ranking,
        coverage,
    ]
    made = [
        benchmark(frame),
        *bait_tables(frame),
        acquisition_time(frame),
        *(make(frame) for make in makers),
    ]
    return [table for table in made if table is not None]


def signed(value: float) -> str:
    """A difference with its sign, to two places.

    Example:
        >>> signed(5.738), signed(-0.5), signed(-0.001)
        ('+5.74', '−0.50', '+0.00')
    """
    text = f"{abs(value):.2f}"
    return f"{MINUS if value < 0 and float(text) else '+'}{text}"


def number(p: float) -> str:
    """A p-value.

    Example:
        >>> number(0.0004), number(0.0625), number(1.0)
        ('< 0.001', '0.062', '1.000')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """A time in milliseconds, in seconds or, from 100 of them on, in minutes, as in the paper.

    Example:
        >>> duration(0.00043), duration(0.134), duration(12.61), duration(1927)
        ('0.43 ms', '0.13 s', '12.6 s', '32:07')
    """
    if seconds >= 99.95:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes:02d}:{rest:02d}"
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"


def _spread(mean: float, std: float) -> str:
    return f"{mean:.2f}" if math.isnan(std) else f"{mean:.2f} ± {std:.2f}"


def _sortable(value: float) -> float:
    return -math.inf if math.isnan(value) else float(value)


def _listed(numbers: Sequence[int]) -> str:
    """Numbers with runs of them joined.

    Example:
        >>> _listed([0, 1, 2, 5])
        '0–2, 5'
    """
    parts: list[list[int]] = []
    for value in numbers:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)
