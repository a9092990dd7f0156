"""Labels in records: lines of JSON, lists in JSON, and parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dal.data.tables import columns, json_records, parquet
from dal.data.tables.json_records import MISSING, Records
from dal.errors import DataError
from dal.labeling.answer import Answer, from_values


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


def answers(records: Records, names: Names) -> list[Answer]:
    """The answers in records.

    Args:
        records: Mappings.
        names: What the keys are called.

    Raises:
        DataError: If a record lacks the id or the label, or no record has a label.
    """
    read = []
    for number, record in records.numbered:
        where = records.place(number)
        values = [json_records.value(record, name) for name in names]
        for name, option, value in zip(names, ("id_column", "label_column"), values, strict=False):
            if value is MISSING:
                others = (json_records.value(other, name) for _, other in records.numbered)
                if all(other is MISSING for other in others):
                    known = sorted(json_records.names(record))
                    raise columns.missing(name, option, known, records.file)
                raise DataError(
                    f"Expected {name!r} in {where}, got a record without it. Add it; a label of "
                    "null, or an empty one, skips the item."
                )
        item, label, who = values
        read.append(from_values(item, label, None if who is MISSING else who, where))
    check_any_label(read, records.file)
    return read


def parquet_answers(path: Path, names: Names) -> list[Answer]:
    """The answers in a parquet file; rows are counted from 0.

    Raises:
        DataError: If it cannot be read, a column is missing, or has values that are no labels.
    """
    wanted = {names.id: "id_column", names.label: "label_column"}
    found = parquet.read(path, wanted, optional=(names.annotator,))
    items, labels = found[names.id], found[names.label]
    who = found.get(names.annotator, [None] * len(items))
    read = [
        from_values(*values, f"{path.name}, row {row}")
        for row, values in enumerate(zip(items, labels, who, strict=True))
    ]
    check_any_label(read, path.name)
    return read
