"""Labels in CSV and TSV, as spreadsheets, pandas and Label Studio write them."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dal.errors import DataError
from dal.labeling import columns as columns_
from dal.labeling import label_studio_exports, records
from dal.labeling.answer import Answer, from_values
from dal.labeling.records import Names

DELIMITERS = ",;\t|"  # Excel writes semicolons wherever the comma is in numbers


class Table(NamedTuple):
    """A table in text.

    Attributes:
        columns: Their names.
        rows: The line at which each row starts, counted from 1, and its cells.
    """

    columns: list[str]
    rows: Iterator[tuple[int, list[str]]]


def answers(text: str, path: Path, names: Names, project_id: str | None) -> list[Answer]:
    """The answers in a table whose first line names the columns.

    Args:
        text: The whole file.
        path: The file, for messages.
        names: What the columns are called.
        project_id: The project, for exports of Label Studio.

    Raises:
        DataError: If a column is missing, or a row is not as the first line says.
    """
    with _cells_of_any_length(len(text)):
        table = _table(text, path.name, (names.id, names.label))
        if label_studio_exports.has_columns(table.columns):
            rows = (
                (f"{path.name}, line {line}", dict(zip(table.columns, cells, strict=True)))
                for line, cells in table.rows
            )
            return label_studio_exports.from_rows(list(rows), path.name, names.label, project_id)
        return _read_rows(table, path.name, names)


def _read_rows(table: Table, file: str, names: Names) -> list[Answer]:
    found = []
    for name, option in ((names.id, "id_column"), (names.label, "label_column")):
        column = columns_.find(table.columns, name, file)
        if column is None:
            raise columns_.missing(name, option, table.columns, file)
        found.append(column)
    item, label = found
    who = columns_.find(table.columns, names.annotator, file)
    read = []
    for line, cells in table.rows:
        where = f"{file}, line {line}"
        if cells[label][:1] == " " and cells[label].lstrip()[:1] == '"':
            raise DataError(
                f"Expected a label in {where}, got {cells[label]!r}, which has a space before the "
                "quotation mark. Remove the space."
            )
        read.append(
            from_values(cells[item], cells[label], None if who is None else cells[who], where)
        )
    records.check_any_label(read, file)
    return read


def _table(text: str, file: str, wanted: Sequence[str]) -> Table:
    """The table, read with the delimiter by which its first line has the wanted columns."""
    start, delimiters = 0, DELIMITERS
    first_line = text[: text.find("\n") + 1]
    if first_line.lower().startswith("sep=") and len(first_line.strip()) <= len("sep=") + 1:
        # How Excel is told, and tells, what separates the cells; a tab is stripped.
        start, delimiters = len(first_line), first_line.strip()[len("sep=") :] or "\t"
    headers, errors = {}, []
    for delimiter in delimiters:
        try:
            headers[delimiter] = _header(_rows(text, start, delimiter, file))
        except DataError as error:  # the first line has quotes that only another delimiter ends
            errors.append(error)
    if not headers:
        raise errors[0]

    def fit(delimiter: str) -> tuple[int, int]:
        columns = headers[delimiter]
        num_found = sum(columns_.find(columns, name, file) is not None for name in wanted)
        return num_found + 2 * label_studio_exports.has_columns(columns), len(columns)

    rows = _rows(text, start, max(headers, key=fit), file)
    columns = _header(rows)
    return Table(columns, _checked(rows, len(columns), file))


def _header(rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    _, columns = next(rows, (0, []))
    while columns and not columns[-1].strip():
        columns.pop()  # a delimiter at the end of every line
    return columns


def _rows(text: str, start: int, delimiter: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line at which it starts."""
    # With its own line ends, so that the reader counts lines and keeps those inside of quotes.
    stream = io.StringIO(text, newline="")
    stream.seek(start)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    num_before = 1 if start else 0
    while True:
        line = num_before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"Cannot read the row that starts at {file}, line {line} ({error}). Is a "
                "quotation mark missing there, or one too many? One inside of quotes is written "
                "twice."
            ) from error
        if any(cells):
            yield line, cells


def _checked(
    rows: Iterator[tuple[int, list[str]]], num_columns: int, file: str
) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != num_columns:
            if len(cells) < num_columns or any(cells[num_columns:]):
                raise DataError(
                    f"Expected {num_columns} cells in {file}, line {line}, one for each column, "
                    f"got {len(cells)}. Put a cell that has the delimiter in it into quotation "
                    "marks, and keep the delimiter before an empty cell."
                )
            del cells[num_columns:]
        yield line, cells


@contextmanager
def _cells_of_any_length(length: int) -> Iterator[None]:
    """Lets Python's reader read texts, and the images that Label Studio repeats in its exports."""
    before = csv.field_size_limit(max(length, csv.field_size_limit()))
    try:
        yield
    finally:
        csv.field_size_limit(before)
