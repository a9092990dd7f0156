"""A table: cells as a reader sees them, the numbers behind them, and how numbers are written.

A table holds its numbers twice: as cells, rounded and marked for a reader, and as a frame in full
precision for a program. What has to be known about a number is a note at its cell.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

MINUS = "−"
ABSENT = "–"
MAX_COLUMNS = 8  # of a page of a journal; a wider table is transposed


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        text: As a reader sees it.
        value: What it is sorted by.
        is_best: Whether it is in bold.
        marks: Signs of significance behind it.
        notes: What has to be known about it, a sentence each.
        share: How much of a bar, or of a shade, the page fills behind it, in [-1, 1].
        link: A directory, or an address in the web, that the page links to.
        command: A command that the page offers to copy.
    """

    text: str
    value: float | str = ""
    is_best: bool = False
    marks: str = ""
    notes: tuple[str, ...] = ()
    share: float | None = None
    link: str = ""
    command: str = ""

    def parts(self) -> tuple[str, str]:
        """The number, and what is after it: its spread, or its difference in brackets.

        Example:
            >>> Cell("+1.20 ± 0.30", 1.2).parts(), Cell("BAIT (Exp)", "bait_exp").parts()
            (('+1.20', '± 0.30'), ('BAIT (Exp)', ''))
        """
        found = re.fullmatch(r"(.*?) (±.*|\(.*\))", self.text)
        if found is None or isinstance(self.value, str):
            return self.text, ""
        return found[1], found[2]


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
        remarks: What has to be known about all of it, in one or two sentences each.
        transposable: What the columns are, in a word, if they may become rows where the table is
            too wide.
        num_footers: Rows at the end that summarize the others and stay there.
        num_pinned: Columns after the first that say what the others are relative to. Where they
            become rows, they stay at the top.
        is_matrix: Whether shares are shades of a matrix, and not bars.
        is_transposed: Whether :meth:`fit_to_page` has transposed it.
    """

    name: str
    title: str
    caption: str
    header: list[str]
    rows: list[list[Cell]]
    numbers: pd.DataFrame
    remarks: list[str] = field(default_factory=list)
    transposable: str = ""
    num_footers: int = 0
    num_pinned: int = 0
    is_matrix: bool = False
    is_transposed: bool = False

    def is_text(self, column: int) -> bool:
        """Whether a column holds words, which are aligned to the left."""
        return column == 0 or bool(self.rows and isinstance(self.rows[0][column].value, str))

    def notes(self) -> list[str]:
        """The notes of all cells, each once, in the order of reading."""
        return list(dict.fromkeys(n for row in self.rows for cell in row for n in cell.notes))

    def fit_to_page(self) -> "Table":
        """The table, transposed if it is too wide and may be."""
        if not self.transposable or len(self.header) <= max(MAX_COLUMNS, len(self.rows) + 1):
            return self
        return self.transpose()

    def transpose(self) -> "Table":
        """The table with its columns as rows."""
        names = [Cell(name, name) for name in self.header[1:]]
        return replace(
            self,
            is_transposed=True,
            header=[self.transposable, *(row[0].text for row in self.rows)],
            rows=[
                [name, *(row[place] for row in self.rows)]
                for place, name in enumerate(names, start=1)
            ],
        )


def signed(value: float) -> str:
    """A difference with its sign, to two places.

    Example:
        >>> signed(5.738), signed(-0.5), signed(-0.001)
        ('+5.74', '−0.50', '+0.00')
    """
    text = f"{abs(value):.2f}"
    return f"{MINUS if value < 0 and float(text) else '+'}{text}"


def mean_and_std(mean: float, std: float) -> str:
    """A mean with its standard deviation, if it has one.

    Example:
        >>> mean_and_std(82.05, 0.4), mean_and_std(82.05, math.nan)
        ('82.05 ± 0.40', '82.05')
    """
    return f"{mean:.2f}" if math.isnan(std) else f"{mean:.2f} ± {std:.2f}"


def p_value(p: float) -> str:
    """A p-value to three places.

    Example:
        >>> p_value(0.0004), p_value(0.0625), p_value(1.0)
        ('< 0.001', '0.062', '1.000')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_statement(p: float) -> str:
    """A p-value in a sentence.

    Example:
        >>> p_statement(0.0004), p_statement(0.0625)
        ('p < 0.001', 'p = 0.062')
    """
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


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


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in ascending order, with consecutive ones joined.

    Example:
        >>> ranges([0, 1, 2, 5])
        '0–2, 5'
    """
    parts: list[list[int]] = []
    for value in numbers:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)


def sort_value(value: float) -> float:
    """What a number is sorted by: missing ones come first."""
    return -math.inf if math.isnan(value) else float(value)
