"""Records in JSON: a list of them, or one in each line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dal.errors import DataError

MISSING = object()


class Records(NamedTuple):
    """The records of a file.

    Attributes:
        file: Its name.
        unit: What their numbers count, ``"line"`` or ``"record"``; empty if the file is one record.
        numbered: Each record, after its number, counted from 1.
    """

    file: str
    unit: str
    numbered: list[tuple[int, Any]]

    def place(self, number: int) -> str:
        """Where a record is, for a message."""
        return f"{self.file}, {self.unit} {number}" if self.unit else self.file


def parse(text: str, path: Path) -> Records:
    """The records in a file of JSON: a list of them, one, or one in each line.

    Raises:
        DataError: If it is truncated or malformed; names the line.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise DataError(f"Expected records in {path}, got JSON that is nested too deep.") from error
    except json.JSONDecodeError as error:
        first, _, others = text.strip().partition("\n")
        if others and first.rstrip()[-1:] == "}":
            return _lines(text, path)
        raise _malformed(error, text, f"{path.name}, line {error.lineno}") from error
    if not isinstance(value, list):
        return Records(path.name, "", [(1, value)])
    return Records(path.name, "record", list(enumerate(value, start=1)))


def _lines(text: str, path: Path) -> Records:
    found = []
    # Not `splitlines`, which also ends lines at characters that a text in JSON may have.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise _malformed(error, line, f"{path.name}, line {number}") from error
    return Records(path.name, "line", found)


def _malformed(error: json.JSONDecodeError, text: str, where: str) -> DataError:
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated"):
        return DataError(
            f"Expected JSON in {where}, got only the beginning of it: it ends inside of a value. "
            "Was the file copied or downloaded whole?"
        )
    return DataError(
        f"Expected JSON in {where}, got something else at character {error.colno} ({error.msg})."
    )


def check_objects(records: Records, content: str) -> None:
    """Checks that every record is an object with names and values.

    Args:
        records: The records.
        content: What should be in each of them, for the message.

    Raises:
        DataError: If one is not.
    """
    for number, record in records.numbered:
        if not isinstance(record, dict):
            raise DataError(
                f"Expected an object with {content} in {records.place(number)}, got "
                f"{type(record).__name__} {str(record)[:60]}."
            )


def value(record: Mapping[str, Any], name: str) -> Any:
    """The value of a name, or :data:`MISSING`; ``"a.b"`` is ``b`` inside of ``a``."""
    if name in record:
        return record[name]
    found: Any = record
    for key in name.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return MISSING
        found = found[key]
    return found


def names(record: Mapping[str, Any]) -> Iterator[str]:
    """The names of all values of a record, as :func:`value` takes them."""
    for key, inner in record.items():
        if isinstance(inner, Mapping):
            yield from (f"{key}.{name}" for name in names(inner))
        else:
            yield key
