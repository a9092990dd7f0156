"""Texts in a column, as items that a network reads."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, overload

from dal.data import contents
from dal.data.item_columns import ItemColumns, Rows
from dal.errors import DataError, did_you_mean
from dal.extraction.items import Contents, ItemSplit, ReadContents
from dal.runtime.files import LocalFiles

KINDS = ("string", "large_string", "string_view")
NUL = "\0"


class Texts(Sequence[str]):
    """Texts by row or slice of rows: without NUL characters, and empty where there is none.

    Args:
        column: The texts as they are stored, for example a column of a ``datasets.Dataset``, which
            a worker process reads from the disk.
    """

    def __init__(self, column: Sequence[str | None]) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [_clean(text) for text in self.column[row]]
        return _clean(self.column[row])


def _clean(text: str | None) -> str:
    return (text or "").replace(NUL, "")


def open_split(
    split: str,
    rows: Rows,
    columns: ItemColumns,
    read: Callable[[str], Rows],
    local: list[LocalFiles],
    fingerprint: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> ItemSplit:
    """The texts of a split, with their labels and ids where there are any.

    Args:
        split: Its name.
        rows: Its rows, which have the columns.
        columns: Which columns the texts, labels and ids are in.
        read: Reads the rows of train, whose classes number the labels.
        local: The user's own files that it was made from.
        fingerprint: What the texts of another dataset differ in, in plain values; if not given,
            their contents say that.
        notes: What else the user should know of the split.

    Raises:
        DataError: If the column holds no texts, or a label or an id is not as expected.
    """
    texts = Texts(_stored(rows, columns))
    numbers, class_names = columns.labels(split, rows, read)
    ids = columns.ids(rows)
    own: Contents | None = None
    if fingerprint is None:
        context = contents.context(numbers, ids)
        own = ReadContents(partial(contents.digests_of_texts, texts), context)
    classes = {} if class_names is None else {"classes": class_names}
    return ItemSplit(
        items=texts,
        noun="text",
        labels=numbers,
        class_names=class_names,
        ids=ids,
        fingerprint={**(fingerprint or {}), **classes},
        local=local,
        where=rows.where,
        contents=own,
        notes=[*notes, *_notes(rows, columns.item)],
        lines=rows.lines,
    )


def _stored(rows: Rows, columns: ItemColumns) -> Sequence[str | None]:
    """The column of the texts, checked: every one can be decoded."""
    import pyarrow

    dataset, column = rows.dataset, columns.item
    if not _is_text(dataset.features[column]):
        others = [name for name, kind in dataset.features.items() if _is_text(kind)]
        hint = did_you_mean(column, others) if others else "No column has texts."
        raise DataError(
            f"Expected texts in the column '{column}' of {rows.where}, got "
            f"{dataset.features[column]}. Name another column with data.text_column=NAME. {hint}"
        )
    stored: Sequence[str | None] = dataset.select_columns(column)[column]
    try:
        dataset.data.column(column).validate(full=True)
    except pyarrow.ArrowInvalid as error:
        for row in range(len(dataset)):
            try:
                stored[row]
            except (UnicodeDecodeError, pyarrow.ArrowInvalid):
                raise DataError(
                    f"Expected UTF-8 in the column '{column}' of {rows.where}, got another "
                    f"encoding in row {row}. Write the dataset again with texts in UTF-8."
                ) from error
    return stored


def _is_text(feature: Any) -> bool:
    from datasets import Value

    return isinstance(feature, Value) and feature.dtype in KINDS


def _notes(rows: Rows, column: str) -> list[str]:
    """What was changed in texts, for the user to read."""
    from pyarrow import compute

    has_nul = compute.match_substring(rows.dataset.data.column(column), NUL)
    if not compute.any(has_nul).as_py():
        return []
    num = sum(NUL in (text or "") for text in rows.dataset[column])
    if not num:
        return []  # of other splits, which are in the same table
    texts = "text had" if num == 1 else "texts had"
    return [f"{num:,} {texts} NUL characters, which are left out"]
