"""Labels in CSV and TSV."""

from collections.abc import Sequence
from pathlib import Path

from dal.data.tables import columns as columns_
from dal.data.tables import delimited
from dal.data.tables.delimited import Table
from dal.errors import DataError
from dal.labeling import label_studio_exports, records
from dal.labeling.answer import Answer, from_values
from dal.labeling.records import Names


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

    def fit(columns: Sequence[str]) -> int:
        wanted = (names.id, names.label)
        num_found = sum(columns_.find(columns, name, path.name) is not None for name in wanted)
        return num_found + 2 * label_studio_exports.has_columns(columns)

    with delimited.opened(text, path.name, fit) as table:
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
