"""Reading people's answers from whatever file or folder they are in."""

from collections.abc import Callable, Collection
from pathlib import Path

from dal.data.tables import json_records, kinds, text_files
from dal.errors import DataError
from dal.labeling import class_folders, delimited, label_studio_exports, records
from dal.labeling.answer import Answer
from dal.labeling.records import Names

__all__ = ["Answer", "read_answers"]


def read_answers(
    path: str | Path,
    *,
    id_column: str = "id",
    label_column: str = "label",
    annotator_column: str = "annotator",
    project_id: str | None = None,
    ids: Collection[str] = (),
    find_original: Callable[[str], Path | None] | None = None,
) -> list[Answer]:
    """What people have answered, in the order of the file.

    Read are CSV and TSV (separated by commas, semicolons, tabs or bars; in UTF-8, or UTF-16 as
    Excel writes it), JSONL, lists in JSON, parquet, exports of Label Studio (JSON, JSON_MIN, CSV,
    TSV), and folders with a folder for each class. Which one it is follows from the name and, where
    that leaves it open, from the content.

    An empty label is a skipped item. Nothing in the file is changed.

    Args:
        path: The file, or the folder of the folders of classes.
        id_column: Where a table has the ids of the items.
        label_column: Where it has the labels; in exports of Label Studio the name of the choices.
        annotator_column: Where it has who labeled, if it has that.
        project_id: What tasks of Label Studio carry as their project; not compared if not given.
        ids: The ids of all items, by which files in folders of classes are recognised.
        find_original: The file of an item, by its id, if there is one: its content decides between
            two ids that a file in a folder of a class could have.

    Raises:
        ConfigError: If there is no such file.
        DataError: If anything in it is not as expected; names the place.
    """
    path = Path(path).expanduser()
    text_files.check_exists(path)
    if path.is_dir():
        return class_folders.answers(path, ids, find_original)
    names = Names(id_column, label_column, annotator_column)
    read = text_files.content(path)
    if kinds.is_parquet(path, read):
        found = records.parquet_answers(path, names)
    else:
        found = _text_answers(text_files.decode(read, path), path, names, project_id)
    if not found:
        raise DataError(f"Expected labels in {path}, got none: it has no row, or no annotation.")
    return found


def _text_answers(text: str, path: Path, names: Names, project_id: str | None) -> list[Answer]:
    if not kinds.is_json(path, text):
        return delimited.answers(text, path, names, project_id)
    found = json_records.parse(text, path)
    first = found.numbered[0][1] if found.numbered else None
    if label_studio_exports.is_task(first):
        tasks = [task for _, task in found.numbered]
        return label_studio_exports.from_tasks(tasks, path.name, names.label, project_id)
    json_records.check_objects(found, "an id and a label")
    if label_studio_exports.is_task_to_import(first):
        raise DataError(
            f"Expected labels in {path}, got the tasks that Label Studio imports. Label them "
            "there, and give the file that it exports."
        )
    if label_studio_exports.has_columns(first or ()):
        rows = [
            (f"{path.name}, task {row.get('id')}, annotation {row['annotation_id']}", row)
            for _, row in found.numbered
        ]
        return label_studio_exports.from_rows(rows, path.name, names.label, project_id)
    return records.answers(found, names)
