"""Columns of parquet files."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dal.data.tables import columns as columns_
from dal.errors import DataError


def read(
    path: Path,
    wanted: Mapping[str, str],
    optional: Collection[str] = (),
    otherwise: Mapping[str, str] | None = None,
) -> dict[str, list[Any]]:
    """The values of some columns, by name.

    Args:
        path: The file.
        wanted: The option that names each column.
        optional: Names of columns that may be missing; they are left out then.
        otherwise: What else may be done where a column is missing, in a sentence, by column.

    Raises:
        DataError: If the file cannot be read, a column is missing, or a value is no text and no
            number.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            known = list(file.schema_arrow.names)
            found = {}
            for name in (*wanted, *optional):
                number = columns_.find(known, name, path.name)
                if number is not None:
                    found[name] = known[number]
                elif name in wanted:
                    advice = (otherwise or {}).get(name, "")
                    raise columns_.missing(name, wanted[name], known, path.name, advice)
            table = file.read(columns=list(dict.fromkeys(found.values())))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"Expected a whole parquet file, got {path}, which cannot be read ({error}). Was it "
            "copied whole?"
        ) from error
    for field in table.schema:
        _check_type(field, path.name)
    return {name: _values(table[column], column, path.name) for name, column in found.items()}


def _values(column: Any, name: str, file: str) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as error:
        row = _first_undecodable(column)
        raise DataError(
            f"Expected UTF-8 in the column {name!r} of {file}, got another encoding in row {row} "
            f"({error.object[:40]!r}). Write the file again with texts in UTF-8."
        ) from error
    return values


def _first_undecodable(column: Any) -> int:
    for row, value in enumerate(column):
        try:
            value.as_py()
        except UnicodeDecodeError:
            return row
    raise AssertionError("every value can be decoded")


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
