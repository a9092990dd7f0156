"""The rows of a file with texts: CSV, TSV, JSON, JSONL or parquet."""

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dal.data.item_columns import ItemColumns
from dal.data.tables import columns as columns_
from dal.data.tables import delimited, json_records, kinds, parquet, text_files
from dal.data.tables.json_records import MISSING
from dal.errors import DataError
from dal.extraction.items import row_name

GZIP, GZIP_START = ".gz", b"\x1f\x8b"
MAX_NUL = 0.1  # of a file's characters; UTF-16 without a mark at its start has more
MAX_INTEGER = 2**63 - 1
MAX_SHOWN = 40  # characters of a value in a message
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
SCALARS = (str, int, float)

_INTEGER = re.compile(r"0|-?[1-9]\d{0,18}")
_SURROGATE = re.compile("[\ud800-\udfff]")  # a half of a character, which JSON may hold


class FileRows(NamedTuple):
    """Columns of a file.

    Attributes:
        values: By column, by row; None where there is none.
        lines: The line at which each row starts, in files that have lines.
        num_repaired: Values in which a half of a character was replaced.
    """

    values: dict[str, list[Any]]
    lines: list[int] | None
    num_repaired: int


def read(path: Path, columns: ItemColumns) -> FileRows:
    """The texts, labels and ids in a file.

    Args:
        path: The file, which may be compressed with gzip.
        columns: What its columns are called.

    Raises:
        DataError: If it cannot be read, a column is missing, or a value is no text; names the row.
    """
    content = text_files.content(path, "texts")
    plain = path
    if content.startswith(GZIP_START):
        content = _unpacked(content, path)
        plain = path.with_name(path.name.removesuffix(GZIP))
    wanted = {column: option for option, column in columns.options.items()}
    if kinds.is_parquet(plain, content):
        values, lines = parquet.read(path, wanted, otherwise=_otherwise(columns)), None
    else:
        text = text_files.decode(content, path, MAX_NUL)
        is_json = kinds.is_json(plain, text)
        values, lines = (_read_json if is_json else _read_delimited)(text, path, columns)
    num_repaired = sum(map(_repair, values.values()))
    for name, column in values.items():
        if name == columns.item:
            values[name] = _texts(column, name, path, lines)
        else:
            _check_values(column, name, path, lines)
    if columns.label is not None:
        values[columns.label] = [_label(value) for value in values[columns.label]]
    return FileRows(values, lines, num_repaired)


def _unpacked(content: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"Expected a whole file compressed with gzip, got {path}, which cannot be unpacked "
            f"({error}). Was it copied whole?"
        ) from error


def _otherwise(columns: ItemColumns) -> dict[str, str]:
    """What may be done where a column is missing, by column."""
    return {columns.label: "Without labels, add data.label_column=null."} if columns.label else {}


def _read_delimited(
    text: str, path: Path, columns: ItemColumns
) -> tuple[dict[str, list[Any]], list[int] | None]:
    wanted = columns.options

    def fit(header: Sequence[str]) -> int:
        return sum(columns_.find(header, name, path.name) is not None for name in wanted.values())

    with delimited.opened(text, path.name, fit) as table:
        places = {}
        for option, name in wanted.items():
            place = columns_.find(table.columns, name, path.name)
            if place is None:
                otherwise = _otherwise(columns).get(name, "")
                raise columns_.missing(name, option, table.columns, path.name, otherwise)
            places[name] = place
        values: dict[str, list[Any]] = {name: [] for name in places}
        lines = []
        for line, cells in table.rows:
            lines.append(line)
            for name, place in places.items():
                values[name].append(cells[place])
    if columns.label is not None and all(map(_is_integer, values[columns.label])):
        values[columns.label] = [
            int(label) if label.strip() else None for label in values[columns.label]
        ]
    return values, lines


def _is_integer(label: str) -> bool:
    """Whether a label in a table of text is an integer as one writes them, or none."""
    return _INTEGER.fullmatch(label.strip()) is not None or not label.strip()


def _label(value: Any) -> Any:
    """A label, without white space around it; None if there is none."""
    if isinstance(value, str):
        return value.strip() or None
    return None if value != value else value  # NaN, by which pandas marks a missing number


def _read_json(
    text: str, path: Path, columns: ItemColumns
) -> tuple[dict[str, list[Any]], list[int] | None]:
    found = json_records.parse(text, path)
    json_records.check_objects(found, "a text")
    values: dict[str, list[Any]] = {}
    for option, name in columns.options.items():
        values[name] = [json_records.value(record, name) for _, record in found.numbered]
        if found.numbered and all(value is MISSING for value in values[name]):
            known = sorted(json_records.names(found.numbered[0][1]))
            otherwise = _otherwise(columns).get(name, "")
            raise columns_.missing(name, option, known, path.name, otherwise)
        values[name] = [None if value is MISSING else value for value in values[name]]
    has_lines = found.unit == "line"
    return values, [number for number, _ in found.numbered] if has_lines else None


def _repair(values: list[Any]) -> int:
    """Replaces halves of characters, which no encoding has; returns in how many values."""
    num = 0
    for row, value in enumerate(values):
        if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
            values[row] = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            num += REPLACEMENT in values[row]
    return num


def _texts(
    values: Sequence[Any], column: str, path: Path, lines: Sequence[int] | None
) -> list[str | None]:
    """Texts; numbers between them become their digits."""
    known = [None if value is None or value != value else value for value in values]
    others = [value for value in known if value is not None]
    if others and not any(isinstance(value, str) for value in others):
        raise DataError(
            f"Expected texts in the column '{column}' of {path.name}, got none, but "
            f"{_kind(others[0])} for example. Name another column with data.text_column=NAME."
        )
    for row, value in enumerate(known):
        if value is not None and (isinstance(value, bool) or not isinstance(value, SCALARS)):
            raise DataError(
                f"Expected a text in the column '{column}', {row_name(row, lines)} of "
                f"{path.name}, got {_kind(value)}. Write it in quotes, or null if there is none."
            )
    return [None if value is None else str(value) for value in known]


def _check_values(
    values: Sequence[Any], column: str, path: Path, lines: Sequence[int] | None
) -> None:
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, SCALARS):
            raise DataError(
                f"Expected a text or a number in the column '{column}', "
                f"{row_name(row, lines)} of {path.name}, got {_kind(value)}."
            )


def _kind(value: object) -> str:
    """A value after what it is, shortened."""
    shown = str(value)
    shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"
    return f"{type(value).__name__} {shown}"


def dataset(parts: Sequence[FileRows], columns: ItemColumns) -> Any:
    """The rows of some files as a dataset, with a type for each column.

    Args:
        parts: Those of each file, at least one.
        columns: What the columns are called.
    """
    import pyarrow
    from datasets import Dataset

    joined = {
        name: [value for part in parts for value in part.values[name]] for name in parts[0].values
    }
    arrays = {columns.item: pyarrow.array(joined[columns.item], pyarrow.large_string())}
    if columns.label is not None and columns.label not in arrays:
        arrays[columns.label] = _array(joined[columns.label])
    if columns.id is not None and columns.id not in arrays:
        arrays[columns.id] = _array(joined[columns.id])
    return Dataset(pyarrow.table(arrays))


def _array(values: Sequence[Any]) -> Any:
    """Values of one type: integers, fractions, truth values, or text if they are mixed."""
    import pyarrow

    types = {type(value) for value in values if value is not None}
    is_large = int in types and any(
        isinstance(value, int) and abs(value) > MAX_INTEGER for value in values
    )
    if types == {bool} or types == {float} or (types == {int} and not is_large):
        return pyarrow.array(values)
    if types == {int, float}:
        return pyarrow.array([None if value is None else float(value) for value in values])
    return pyarrow.array(
        [None if value is None else str(value) for value in values], pyarrow.large_string()
    )


def notes(parts: Sequence[FileRows]) -> list[str]:
    """What was changed in the rows, for the user to read."""
    num = sum(part.num_repaired for part in parts)
    if not num:
        return []
    values = "value had" if num == 1 else "values had"
    return [f"{num:,} {values} a half of a character, replaced by {REPLACEMENT}"]
