"""Tables of what was picked: overlap between strategies, and balance of the classes."""

import math

from dal.report import palette
from dal.report.results import Results
from dal.report.table import ABSENT, Cell, Table


def overlap_table(results: Results) -> Table | None:
    """The share of picks that two strategies have in common; None if no two can be compared."""
    overlaps = results.overlaps
    if overlaps.isna().to_numpy().all():
        return None
    largest = float(overlaps.max().max()) or 1.0
    rows = []
    for first, row in overlaps.iterrows():
        cells = [Cell(palette.label(str(first)), str(first))]
        for value in row:
            shown = Cell(ABSENT, -1.0)
            if not math.isnan(value):
                shown = Cell(f"{100 * value:.0f}%", float(value), share=float(value) / largest)
            cells.append(shown)
        rows.append(cells)
    return Table(
        "overlaps",
        "Overlap of picks",
        "The share of the picks of a run, without the initial pool, that the run of another "
        "strategy with the same seed and initial pool has picked too; means over seeds, then over "
        f"datasets. What {palette.label('random')} shares with others is chance.",
        ["Strategy", *map(palette.label, overlaps.columns)],
        rows,
        overlaps.rename_axis("strategy").reset_index(),
        is_matrix=True,
    )


def balance_table(results: Results) -> Table | None:
    """How evenly classes were picked; None where labels were not recorded."""
    balance = results.class_balance
    if balance.empty:
        return None
    rows = [
        [
            Cell(row["dataset"], row["dataset"]),
            Cell(palette.label(row["strategy"]), row["strategy"]),
            Cell(f"{row['balance']:.3f}", float(row["balance"])),
            Cell(f"{100 * row['rarest']:.1f}%", float(row["rarest"])),
            Cell(f"{100 * row['most_frequent']:.1f}%", float(row["most_frequent"])),
        ]
        for _, row in balance.iterrows()
    ]
    return Table(
        "class_balance",
        "Class balance of picks",
        "Balance is the entropy of the classes of all picks, without the initial pool, divided by "
        "the entropy of equally many of each class: 1 is even, 0 is one class only. Further the "
        "shares of the class that was picked least and most. Means over seeds.",
        ["Dataset", "Strategy", "Balance", "Rarest class", "Most frequent class"],
        rows,
        balance,
    )
