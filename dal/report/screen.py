"""Tables for a terminal: every cell on one line, and a table that is too wide in parts.

In this order, as the width requires: headers over several lines, names of datasets above their
rows, the other orientation, and some columns after the others, with the names of their rows.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dal.report import formats
from dal.report.table import Cell, Table

GAP = "  "  # between two columns
BEST = "▸"  # where nothing can be bold


class Column(NamedTuple):
    """A column as it is shown.

    Attributes:
        header: Its lines.
        cells: A text for each row.
        width: Of the widest line.
        is_text: Whether it is aligned to the left.
    """

    header: list[str]
    cells: list[Text]
    width: int
    is_text: bool


def show(table: Table, console: Console) -> None:
    """Prints a table with its remarks; notes are numbered and stand below it."""
    can_be_bold = console.is_terminal and not console.is_dumb_terminal
    console.print(Text(table.title, style="bold"), soft_wrap=True)
    for line in lines(table, console.width, can_be_bold):
        console.print(line, soft_wrap=True)
    is_marked = not can_be_bold and any(cell.is_best for row in table.rows for cell in row)
    marks = [f"{BEST} marks what is in bold in the report."] if is_marked else []
    for remark in (*marks, *table.remarks, *formats.number_notes(table.notes())):
        console.print(Text(remark))
    console.print()


def lines(table: Table, width: int, can_be_bold: bool = True) -> list[Text]:
    """The lines of a table, its header first.

    Args:
        table: What to show.
        width: Columns of the terminal. A line is longer only if the name of a row and one cell are.
        can_be_bold: Whether the best is in bold, or has a mark.
    """
    notes = table.notes()
    turned = table.fit_to_page()
    shapes = [turned]
    if table.transposable:
        shapes.append(table if turned.is_transposed else table.transpose())
    for shape in shapes:
        for names, part in ({}, shape), _without_first_column(shape):
            for is_wrapped in (False, True):
                columns = _columns(part, notes, is_wrapped, can_be_bold)
                if _width(columns) <= width:
                    return list(_print(columns, names))
    names, part = _without_first_column(turned)
    shown: list[Text] = []
    for block in _split(_columns(part, notes, True, can_be_bold), width):
        shown += [*([Text()] if shown else []), *_print(block, names)]
    return shown


def _without_first_column(table: Table) -> tuple[dict[int, str], Table]:
    """The names above rows in place of the first column, if the second one names rows too."""
    if len(table.header) < 3 or not (table.is_text(0) and table.is_text(1)):
        return {}, table
    names = [row[0].text for row in table.rows]
    above = {
        place: name for place, name in enumerate(names) if place == 0 or name != names[place - 1]
    }
    rows = [row[1:] for row in table.rows]
    return above, replace(table, header=table.header[1:], rows=rows)


def _columns(
    table: Table, notes: Sequence[str], is_wrapped: bool, can_be_bold: bool
) -> list[Column]:
    columns = []
    for place, name in enumerate(table.header):
        cells = [_text(row[place], notes, can_be_bold) for row in table.rows]
        widest = max((cell_len(cell.plain) for cell in cells), default=0)
        header = [name]
        if is_wrapped:
            longest = max(map(cell_len, name.split()), default=0)
            header = textwrap.wrap(name, max(widest, longest), break_long_words=False) or [""]
        width = max(widest, *map(cell_len, header))
        columns.append(Column(header, cells, width, table.is_text(place)))
    return columns


def _split(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Columns in blocks that fit, the first column in each of them."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        if len(blocks[-1]) > 1 and _width([*blocks[-1], column]) > width:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _print(columns: Sequence[Column], names: Mapping[int, str]) -> Iterator[Text]:
    height = max(len(column.header) for column in columns)
    for number in range(height):
        above = [number - height + len(column.header) for column in columns]
        header = [
            Text(column.header[place] if place >= 0 else "")
            for column, place in zip(columns, above, strict=True)
        ]
        yield _line(columns, header, "bold")
    for place, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        if place in names:
            yield Text(names[place], style="italic")
        yield _line(columns, cells)


def _line(columns: Sequence[Column], texts: Sequence[Text], style: str = "") -> Text:
    line = Text(style=style)
    for place, (column, text) in enumerate(zip(columns, texts, strict=True)):
        space = " " * (column.width - cell_len(text.plain))
        line.append(GAP if place else "")
        line.append_text(text if column.is_text else Text(space))
        line.append_text(Text(space) if column.is_text else text)
    line.rstrip()
    return line


def _text(cell: Cell, notes: Sequence[str], can_be_bold: bool) -> Text:
    mark = BEST if cell.is_best and not can_be_bold else ""
    text = f"{mark}{cell.text}{cell.marks}{formats.references(cell, notes)}"
    return Text(text, style="bold" if cell.is_best and can_be_bold else "")
