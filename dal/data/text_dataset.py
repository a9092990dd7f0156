"""Texts in a dataset of the ``datasets`` library, on the hub or on disk."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dal.data import splits as split_names
from dal.data import texts
from dal.data.item_columns import ItemColumns
from dal.data.stored_dataset import StoredDataset
from dal.extraction.items import ItemSplit
from dal.runtime.files import LocalFiles


class TextDataset:
    """Texts in a dataset of the ``datasets`` library: on the hub, or on disk.

    Args:
        id: The dataset on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        name: The dataset's configuration, if it has several.
        path: A folder on disk, instead: what ``save_to_disk`` has written, parquet files, or a
            copy from the hub (``hf download --repo-type dataset --local-dir``).
        text_column: The column of the texts. NUL characters in them are left out.
        label_column: The column of the labels: class labels, integers or strings; None if there is
            none. They are numbered by the names of train's classes in all splits.
        splits: As in :class:`~dal.data.ImageFolder`.
        id_column: The column of the ids, strings or integers, by which the texts are called
            afterwards; if not given, they are called by their rows.

    Raises:
        ConfigError: If neither ``id`` nor ``path`` is given, or ``path`` is empty.
    """

    noun = "text"

    def __init__(
        self,
        id: str | None = None,  # noqa: A002
        revision: str = "main",
        name: str | None = None,
        path: str | Path | None = None,
        text_column: str = "text",
        label_column: str | None = "label",
        splits: Mapping[str, str | None] | None = None,
        id_column: str | None = None,
    ) -> None:
        self.splits = split_names.resolve(splits)
        train = str(self.splits["train"])
        self.stored = StoredDataset(id, revision, name, path, train)
        self.columns = ItemColumns(self.noun, text_column, label_column, id_column, train)

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub or the path, the columns, and the splits: train numbers labels."""
        return {**self.stored.request, **self._described(split), "train": self.splits["train"]}

    def local_files(self, split: str) -> list[LocalFiles]:  # noqa: ARG002
        """All files of the dataset, if they are the user's own and exist."""
        return self.stored.local_files

    def open(self, split: str) -> ItemSplit:
        """The texts of a split, downloaded unless they are on this machine."""
        as_text = [self.columns.item] + ([] if self.columns.id is None else [self.columns.id])
        read = partial(self.stored.read, as_text=as_text)
        rows = read(split)
        self.columns.check(rows)
        fingerprint = None
        if self.stored.path is None:
            commit = {"id": self.stored.id, "commit": self.stored.folder.name}
            fingerprint = self._described(split) | commit
        local = self.local_files(split)
        return texts.open_split(split, rows, self.columns, read, local, fingerprint)

    def passed_over(self) -> str:
        """Nothing: it takes reading to know which other splits there are."""
        return ""

    def _described(self, split: str) -> dict[str, Any]:
        return {"name": self.stored.name, **self.columns.request, "split": split}
