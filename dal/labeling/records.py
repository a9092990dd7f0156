"""Labels in records: lines of JSON, lists in JSON, and parquet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dal.errors import DataError
from dal.labeling import columns as columns_
from dal.labeling.answer import Answer, from_values

MISSING = object()


class Names(NamedTuple):
    """What the columns of a table are called.

    Attributes:
        id: The items' ids. In JSON, ``"a.b"`` is ``b`` inside of ``a``.
        label: Their classes.
        annotator: Who labeled them; a table may be without.
    """

    id: str
    label: str
    annotator: str


def parse(text: str, path: Path) -> list[tuple[str, Any]]:
    """The records in a file of JSON, each with its place: a list of them, one, or one in each line.

    Raises:
        DataError: If it is truncated or malformed; names the line.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise DataError(f"Expected labels in {path}, got JSON that is nested too deep.") from error
    except json.JSONDecodeError as error:
        first, _, others = text.strip().partition("\n")
        if others and first.rstrip()[-1:] == "}":
            return _lines(text, path)
        raise _malformed(error, text, f"{path.name}, line {error.lineno}") from error
    if not isinstance(value, list):
        return [(path.name, value)]
    return [(f"{path.name}, record {number}", one) for number, one in enumerate(value, start=1)]


def _lines(text: str, path: Path) -> list[tuple[str, Any]]:
    found = []
    # Not `splitlines`, which also ends lines at characters that a text in JSON may have.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            try:
                found.append((where, json.loads(line)))
            except json.JSONDecodeError as error:
                raise _malformed(error, line, where) from error
    return found


def _malformed(error: json.JSONDecodeError, text: str, where: str) -> DataError:
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated"):
        return DataError(
            f"Expected JSON in {where}, got only the beginning of it: it ends inside of a value. "
            "Was the file copied or downloaded whole?"
        )
    return DataError(
        f"Expected JSON in {where}, got something else at character {error.colno} ({error.msg})."
    )


def check_objects(records: Sequence[tuple[str, Any]]) -> None:
    """Checks that every record is an object with names and values.

    Raises:
        DataError: If one is not.
    """
    for where, record in records:
        if not isinstance(record, dict):
            raise DataError(
                f"Expected an object with an id and a label in {where}, got "
                f"{type(record).__name__} {str(record)[:60]}."
            )


def check_any_label(answers: Sequence[Answer], file: str) -> None:
    """Checks that not every label of a table is empty.

    Raises:
        DataError: If all are: most likely a table as it was handed out, and never saved.
    """
    if answers and all(answer.label is None for answer in answers):
        raise DataError(
            f"Expected labels in {file}, got {len(answers):,} rows whose label is empty. Was the "
            "file saved after labeling?"
        )


def answers(records: Sequence[tuple[str, Any]], file: str, names: Names) -> list[Answer]:
    """The answers in records, each with its place.

    Args:
        records: Mappings.
        file: The name of the file.
        names: What the keys are called.

    Raises:
        DataError: If a record lacks the id or the label, or no record has a label.
    """
    read = []
    for where, record in records:
        values = [_value(record, name) for name in names]
        for name, option, value in zip(names, ("id_column", "label_column"), values, strict=False):
            if value is MISSING:
                if all(_value(other, name) is MISSING for _, other in records):
                    raise columns_.missing(name, option, sorted(_keys(record)), file)
                raise DataError(
                    f"Expected {name!r} in {where}, got a record without it. Add it; a label of "
                    "null, or an empty one, skips the item."
                )
        item, label, who = values
        read.append(from_values(item, label, None if who is MISSING else who, where))
    check_any_label(read, file)
    return read


def _value(record: Mapping[str, Any], name: str) -> Any:
    if name in record:
        return record[name]
    value: Any = record
    for key in name.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return value


def _keys(record: Mapping[str, Any]) -> Iterator[str]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in _keys(value))
        else:
            yield key


def parquet_answers(path: Path, names: Names) -> list[Answer]:
    """The answers in a parquet file; rows are counted from 0.

    Raises:
        DataError: If it cannot be read, a column is missing, or has values that are no labels.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            found = [columns_.find(columns, name, path.name) for name in names]
            for name, option, column in zip(
                names, ("id_column", "label_column"), found, strict=False
            ):
                if column is None:
                    raise columns_.missing(name, option, columns, path.name)
            wanted = [columns[number] for number in found if number is not None]
            table = file.read(columns=wanted)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"Expected a whole parquet file, got {path}, which cannot be read ({error}). Was it "
            "copied whole?"
        ) from error
    for field in table.schema:
        _check_type(field, path.name)
    values = [table[name].to_pylist() for name in wanted]
    if len(values) == 2:
        values.append([None] * table.num_rows)
    read = [
        from_values(item, label, who, f"{path.name}, row {row}")
        for row, (item, label, who) in enumerate(zip(*values, strict=True))
    ]
    check_any_label(read, path.name)
    return read


def _check_type(field: Any, file: str) -> None:
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    readable = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_null,
    )
    if not any(is_kind(kind) for is_kind in readable):
        raise DataError(
            f"Expected text or numbers in the column {field.name!r} of {file}, got {field.type}. "
            "Name another column, or convert it to text."
        )
