"""Tables in CSV and TSV, as spreadsheets, pandas and Label Studio write them."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from dal.errors import DataError

DELIMITERS = ",;\t|"  # Excel writes semicolons wherever the comma is in numbers
HEADER_CHARS = 1 << 20  # in which the first line ends


class Table(NamedTuple):
    """A table in text.

    Attributes:
        columns: Their names.
        rows: The line at which each row starts, counted from 1, and its cells.
    """

    columns: list[str]
    rows: Iterator[tuple[int, list[str]]]


@contextmanager
def opened(text: str, file: str, fit: Callable[[Sequence[str]], int]) -> Iterator[Table]:
    """The table, read with the delimiter by which its first line has the wanted columns.

    Rows without any text are skipped.

    Args:
        text: The whole file.
        file: Its name, for messages.
        fit: How many of the wanted columns are among some; of equally many, more columns win.

    Raises:
        DataError: If a row cannot be read, or has more or fewer cells than the first line. Rows
            are read while they are asked for.
    """
    with _cells_of_any_length(len(text)):
        yield _table(text, file, fit)


def _table(text: str, file: str, fit: Callable[[Sequence[str]], int]) -> Table:
    start, delimiters = 0, DELIMITERS
    first_line = text[: text.find("\n") + 1]
    if first_line.lower().startswith("sep=") and len(first_line.strip()) <= len("sep=") + 1:
        # How Excel is told, and tells, what separates the cells; a tab is stripped.
        start, delimiters = len(first_line), first_line.strip()[len("sep=") :] or "\t"
    headers, errors = {}, []
    for delimiter in delimiters:
        try:
            headers[delimiter] = _header(_rows(text[:HEADER_CHARS], start, delimiter, file))
        except DataError as error:  # the first line has quotes that only another delimiter ends
            errors.append(error)
    if not headers:
        raise errors[0]
    best = max(headers, key=lambda delimiter: (fit(headers[delimiter]), len(headers[delimiter])))
    rows = _rows(text, start, best, file)
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
