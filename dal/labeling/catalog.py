"""The items of a source as people look at them: files, images, texts."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dal.data import Embedded, Source
from dal.errors import DataError
from dal.extraction.entry import Entry
from dal.labeling import spreadsheet, thumbnails
from dal.labeling.picks import Pick


class Catalog:
    """What there is to see of items, by id.

    Args:
        source: Where the items come from. Of a source of features alone there is nothing to see.
        ids: What the items are called, by row.
    """

    def __init__(self, source: Source, ids: Sequence[str]) -> None:
        self.source = source
        self.ids = ids

    @cached_property
    def _rows(self) -> tuple[Mapping[str, int], Sequence[Any]]:
        """The row of each id, and the items by row."""
        if not isinstance(self.source, Embedded):
            return {}, ()
        train = self.source.items.splits["train"] or "train"
        split = self.source.items.open(train)
        # Items that cannot be read have been left out of the features, and are still here.
        names: Sequence[str]
        if split.ids is not None:
            names = split.ids
        else:
            names = [str(row) for row in range(len(split))]
            self._check_rows(self.source.entry(train))
        return {name: row for row, name in enumerate(names)}, split.items

    def _check_rows(self, entry: Entry) -> None:
        """Checks that a row's number is its id, where items have no other name."""
        if entry.manifest.get("left_out") and entry.ids() is None:
            raise DataError(
                f"Expected the rows of the features in {entry.path}, got features of an earlier "
                "version, which does not say which rows were left out. Delete the folder and run "
                "again: they are computed again."
            )

    def _item(self, name: str) -> Any:
        rows, items = self._rows
        return items[rows[name]] if name in rows else None

    def path(self, name: str) -> Path | None:
        """The file of an item, if it is one of the user's files."""
        item = self._item(name)
        if not isinstance(item, Mapping) or item.get("bytes") is not None:
            return None  # beside the bytes of an image, a path is but the name that it had
        path = item.get("path")
        return Path(path) if path and Path(path).is_file() else None

    def text(self, name: str) -> str | None:
        """The text of an item, if it is one."""
        item = self._item(name)
        return item if isinstance(item, str) else None

    def jpeg(self, name: str, size: thumbnails.Size) -> bytes | None:
        """A JPEG of an item, if it is an image.

        Raises:
            DataError: If it cannot be read.
        """
        item = self._item(name)
        if not isinstance(item, Mapping):
            return None
        try:
            return thumbnails.read(item, size)
        except OSError as error:
            raise DataError(
                f"Cannot read the image {name} ({error.strerror or error}). Restore it, and run "
                "the same command again."
            ) from error

    def pick(self, rank: int, name: str, **known: Any) -> Pick:
        """An item that is handed out.

        Args:
            rank: From 1.
            name: Its id.
            known: What is known of it: see :class:`Pick`.
        """
        path, text = self.path(name), self.text(name)
        return Pick(
            rank=rank,
            id=name,
            path=None if path is None else str(path),
            text=None if text is None else spreadsheet.shorten(text),
            thumbnail=self.jpeg(name, thumbnails.THUMBNAIL),
            **known,
        )
