"""Answers in exports of Label Studio: JSON, JSON_MIN, CSV and TSV.

The formats, as Label Studio 1.x writes them: JSON is a list of tasks, each with its ``data`` and a
list of ``annotations``, skipped ones included (``was_cancelled``). JSON_MIN and CSV have one flat
row for each annotation that was not skipped, and one without ``annotation_id`` for each task that
nobody has annotated, if those are exported. In them, ``id`` is the number that Label Studio has
given to the task: the id of the item is ``item``, and that of the project is ``project``, both of
which our tasks carry in ``data``.

Predictions and drafts are nobody's answer. Of what JSON_MIN and CSV leave out, the tasks that
people skipped, nobody can know; JSON has all there is.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dal.errors import DataError, did_you_mean
from dal.labeling import class_names
from dal.labeling.answer import Answer, from_values

ITEM, PROJECT = "item", "project"  # keys of our tasks' data
NEW_CLASS = "new_class"  # the text field for a class that is not in the list
TEMPLATE_LABEL = "choice"  # what Label Studio's own templates call the choices

# Columns that every flat export has, keys of a task to import, and Label Studio's own columns.
FLAT = frozenset(("annotation_id", "annotator", "lead_time"))
TO_IMPORT = frozenset(("data", "predictions", "meta"))
OWN = FLAT | {"id", "created_at", "updated_at", "agreement", "history"}


def has_columns(columns: Collection[str]) -> bool:
    """Whether a table, or a record of JSON, is a flat export."""
    return FLAT.issubset(columns)


def is_task(record: object) -> bool:
    """Whether a record is a task with a list of annotations, which may be empty."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("data"), dict)
        and "annotations" in record
    )


def is_task_to_import(record: object) -> bool:
    """Whether a record is a task that Label Studio has not seen yet."""
    return isinstance(record, dict) and "data" in record and set(record) <= TO_IMPORT


def from_rows(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    file: str,
    label_column: str,
    project_id: str | None,
) -> list[Answer]:
    """The answers in a flat export.

    Args:
        rows: Each with its place.
        file: The name of the file.
        label_column: What the choices are called.
        project_id: The project that the tasks should belong to; any if not given.

    Raises:
        DataError: If they are not tasks of this project, nothing is called as the choices are, or
            an item has several classes.
    """
    if not rows:
        return []  # nobody has annotated anything, and so there is no column for it
    _check_project(rows, project_id, file)
    names = dict.fromkeys(name for _, row in rows for name in row)
    label = _find_label(names, label_column)
    if label is None and NEW_CLASS not in names:
        others = [name for name in names if name not in (*OWN, ITEM, PROJECT)]
        raise _no_choices(file, label_column, others)
    read = []
    for where, row in rows:
        if row.get("annotation_id") in (None, ""):
            continue  # nobody has annotated the task
        chosen = _flat_values(row.get(label)) if label else []
        written = _flat_values(row.get(NEW_CLASS))
        name = _one_class(chosen, written, where)
        read.append(from_values(row[ITEM], name, row["annotator"], where))
    return read


def from_tasks(
    tasks: Sequence[Any], file: str, label_column: str, project_id: str | None
) -> list[Answer]:
    """The answers in an export as JSON.

    Args:
        tasks: All of the file.
        file: The name of the file.
        label_column: What the choices are called, where there are several controls.
        project_id: The project that the tasks should belong to; any if not given.

    Raises:
        DataError: If they are not annotated tasks of this project, the annotations choose nothing,
            or an item has several classes.
    """
    for number, task in enumerate(tasks):
        if not is_task(task) or not _is_annotated(task):
            raise DataError(
                f"Expected tasks with their annotations in {file}, got something else as number "
                f"{number} of the list. In Label Studio, export as JSON."
            )
    places = [f"{file}, task {task.get('id', n)}" for n, task in enumerate(tasks)]
    data = [task["data"] for task in tasks]
    _check_project(list(zip(places, data, strict=True)), project_id, file)
    results = [
        result
        for task in tasks
        for annotation in task["annotations"]
        for result in annotation.get("result") or []
    ]
    names = dict.fromkeys(str(r.get("from_name")) for r in results if r.get("type") == "choices")
    label = next(iter(names), None) if len(names) == 1 else _find_label(names, label_column)
    if results and label is None and not any(r.get("from_name") == NEW_CLASS for r in results):
        kinds = dict.fromkeys(f"{r.get('from_name')} ({r.get('type')})" for r in results)
        raise _no_choices(file, label_column, list(kinds))
    read = []
    for task, place in zip(tasks, places, strict=True):
        for annotation in task["annotations"]:
            is_one_of_many = len(task["annotations"]) > 1
            where = f"{place}, annotation {annotation.get('id')}" if is_one_of_many else place
            name = None if annotation.get("was_cancelled") else _class(annotation, label, where)
            read.append(from_values(task["data"][ITEM], name, _annotator(annotation), where))
    return read


def _is_annotated(task: Mapping[str, Any]) -> bool:
    annotations = task.get("annotations")
    return isinstance(annotations, list) and all(
        isinstance(annotation, dict)
        and isinstance(annotation.get("result") or [], list)
        and all(isinstance(result, dict) for result in annotation.get("result") or [])
        for annotation in annotations
    )


def _check_project(
    items: Sequence[tuple[str, Mapping[str, Any]]], project_id: str | None, file: str
) -> None:
    """Checks that tasks are ours, by what they carry."""
    strange = [where for where, data in items if data.get(ITEM) in (None, "")]
    if strange:
        raise DataError(
            f"Expected tasks that were made for labeling with dal in {file}, got "
            f"{len(strange):,} of {len(items):,} without data.{ITEM}, the first in {strange[0]}. "
            "Import the label_studio.json of a round into Label Studio, label those tasks, and "
            "export them."
        )
    if project_id is None:
        return
    others = [(where, data.get(PROJECT)) for where, data in items]
    others = [(where, project) for where, project in others if str(project) != project_id]
    if others:
        where, project = others[0]
        raise DataError(
            f"Expected tasks of the project {project_id!r} in {file}, got an export of another "
            f"Label Studio project: {len(others):,} of {len(items):,} tasks have another "
            f"data.{PROJECT}, the first {project!r} in {where}. Export the project that this "
            "project's label_studio.json was imported into."
        )


def _find_label(names: Collection[str], label_column: str) -> str | None:
    return next((name for name in (label_column, TEMPLATE_LABEL) if name in names), None)


def _no_choices(file: str, label_column: str, found: Sequence[str]) -> DataError:
    hint = did_you_mean(label_column, found) if found else ""
    hint = f" {hint}" if hint.startswith("Did you mean") else ""
    return DataError(
        f"Expected choices called {label_column!r} in {file}, got {', '.join(found) or 'nothing'}."
        f"{hint} Name them with label_column=NAME, or use the labeling configuration in the "
        "round's label_studio.xml."
    )


def _class(annotation: Mapping[str, Any], label: str | None, where: str) -> str | None:
    chosen, written = [], []
    for result in annotation.get("result") or []:
        value = result.get("value")
        if not isinstance(value, dict):
            raise DataError(f"Expected a choice in {where}, got a result without a value.")
        if result.get("type") == "choices" and result.get("from_name") == label:
            chosen += _listed(value.get("choices"))
        elif result.get("type") == "textarea" and result.get("from_name") == NEW_CLASS:
            written += _listed(value.get("text"))
    return _one_class(chosen, written, where)


def _listed(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value in (None, "") else [value]


def _flat_values(value: object) -> list[Any]:
    """What a person chose, from a cell: several choices are an object, in CSV as text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            return [value]  # a class that is called so
        value = parsed if isinstance(parsed, dict | list) else value
    if isinstance(value, dict):
        return _listed(value.get("choices", value.get("text")))
    return [one for entry in _listed(value) for one in _nested(entry)]


def _nested(entry: object) -> list[Any]:
    return _flat_values(entry) if isinstance(entry, dict) else [entry]


def _one_class(chosen: Sequence[Any], written: Sequence[Any], where: str) -> str | None:
    """The class that a person wrote, or else chose; None if neither.

    Where a prediction is shown, its class is chosen already when somebody writes another one.
    """
    for values in (written, chosen):
        names = []
        for value in values:
            if not isinstance(value, str):
                raise DataError(
                    f"Expected one class in {where}, got {json.dumps(value)}. Use single choices "
                    "without levels."
                )
            names.append(class_names.clean(value, where))
        different = list(dict.fromkeys(name for name in names if name is not None))
        if len(different) > 1:
            shown = " and ".join(repr(name) for name in different)
            raise DataError(
                f"Expected one class in {where}, got {shown}. Correct it in Label Studio, with "
                'choice="single" in the Choices of the labeling configuration, and export again.'
            )
        if different:
            return different[0]
    return None


def _annotator(annotation: Mapping[str, Any]) -> object:
    who = annotation.get("completed_by")
    return who.get("email") or who.get("id") if isinstance(who, dict) else who
