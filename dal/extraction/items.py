"""The contract of items: what a frozen network reads, by split, not decoded yet."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from dal.errors import DataError
from dal.runtime.files import LocalFiles

MAX_SHOWN_CLASSES = 3


class MissingSplitError(DataError):
    """There is no split of that name.

    Args:
        problem: What is missing, and what there is instead.
        remedy: What to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem


class Labeling(NamedTuple):
    """The labels of a split.

    Attributes:
        labels: ``(N,)``, int64, if there are any; -1 where a label is unknown.
        class_names: By label, if there are any.
    """

    labels: np.ndarray | None
    class_names: list[str] | None


class Contents(Protocol):
    """Digests of what the items of a split are. They are read when they are first asked for.

    Files of the user's own, one for each item, are an example.
    """

    @property
    def contents(self) -> list[bytes]:
        """A digest of each item, by row: the same where the item is the same."""

    @property
    def digest(self) -> str:
        """Changes with any item, with their order, and with what else their entry depends on."""

    def read(self, advance: Callable[[int], None]) -> None:
        """Reads the items, unless that has been done.

        Args:
            advance: Is called with the number of items that have been read since the last call.
        """


class ReadContents:
    """Contents that a function reads.

    Args:
        reader: Returns a digest of each item; is given ``advance`` of :meth:`Contents.read`.
        context: Further text that :attr:`digest` changes with.
    """

    def __init__(
        self, reader: Callable[[Callable[[int], None]], list[bytes]], context: str = ""
    ) -> None:
        self.reader = reader
        self.context = context

    @cached_property
    def contents(self) -> list[bytes]:
        """A digest of each item, by row."""
        return self.reader(lambda _: None)

    @cached_property
    def digest(self) -> str:
        """Changes with any item, with their order, and with the context."""
        digest = hashlib.sha256(self.context.encode())
        for content in self.contents:
            digest.update(content)
        return digest.hexdigest()

    def read(self, advance: Callable[[int], None]) -> None:
        """Reads the items, unless that has been done."""
        if "contents" not in self.__dict__:
            self.__dict__["contents"] = self.reader(advance)


def row_name(row: int, lines: Sequence[int] | None = None) -> str:
    """What to call a row in a message.

    Args:
        row: Counted from 0.
        lines: The line at which each row starts, if it is in a file with lines.

    Example:
        >>> row_name(1), row_name(1, [2, 4])
        ('row 1', 'row 1 (line 4)')
    """
    return f"row {row}" if lines is None else f"row {row} (line {lines[row]})"


@dataclass(frozen=True)
class ItemSplit:
    """The items of one split, not decoded yet.

    Attributes:
        items: The items as they are stored, by row or slice of rows, for example a column of a
            ``datasets.Dataset``. The encoder's reader knows what to do with them. They are pickled
            for worker processes, and should be read from the disk there.
        noun: What one of them is called, for example ``"image"``; its plural ends in s.
        labels: ``(N,)``, int64, if there are any; -1 where a label is unknown.
        class_names: By label, if there are any.
        ids: What the items are called, by row, if they have names.
        fingerprint: Plain values that, with the digest of ``contents``, or of ``local`` where there
            are none, change when any item, label or id does.
        local: The user's own files that it was made from: if none of them changes, it does not.
        where: What to call the split in a message.
        contents: What the items are, if they can be read on this machine without a download.
            Features are computed again for those alone that have changed.
        named: Further files of the user's own, which only the items name.
        notes: What else the user should know of the split, for example which files are no items.
        lines: The line of a file where each item starts, by row, if it is in a file with lines.
    """

    items: Sequence[Any]
    noun: str
    labels: np.ndarray | None
    class_names: list[str] | None
    ids: list[str] | None
    fingerprint: dict[str, Any]
    local: list[LocalFiles]
    where: str
    contents: Contents | None = None
    named: list[LocalFiles] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def nouns(self) -> str:
        """What several of the items are called."""
        return f"{self.noun}s"

    @property
    def identity(self) -> list[Contents]:
        """What says whether the items are the same: their contents, or else all files."""
        return list(self.local) if self.contents is None else [self.contents]

    @property
    def summary(self) -> str:
        """What was understood, for example ``"20 images of 2 classes (cat, dog)"``."""
        what = f"{len(self):,} {self.noun if len(self) == 1 else self.nouns}"
        return "; ".join([f"{what} {self._labeling()}", *self.notes])

    def _labeling(self) -> str:
        if self.labels is None:
            return "without labels"
        names = self.class_names or [str(label) for label in np.unique(self.labels)]
        shown = ", ".join(names[:MAX_SHOWN_CLASSES]) + (", …" * (len(names) > MAX_SHOWN_CLASSES))
        unknown = int((self.labels < 0).sum())
        without = f", {unknown:,} of them without a label" if unknown else ""
        return f"of {len(names):,} {'class' if len(names) == 1 else 'classes'} ({shown}){without}"

    def name(self, row: int) -> str:
        """What to call an item in a message, for example ``"image train/cat/1.jpg"``."""
        if self.ids is None:
            return f"{self.noun} in {row_name(row, self.lines)} of {self.where}"
        return f"{self.noun} {self.ids[row]}"


class Items(Protocol):
    """Splits of items. The extractor turns them into features.

    Attributes:
        noun: What one of the items is called, as in :class:`ItemSplit`.
        splits: The names of ``"train"`` and ``"test"``; None if there is no such split.
    """

    noun: str
    splits: dict[str, str | None]

    def request(self, split: str) -> dict[str, Any]:
        """What identifies a split to the user, in plain values, without a look at the items."""

    def local_files(self, split: str) -> list[LocalFiles]:
        """The user's own files that a split is made of; none if there are none any more.

        They are listed once, and then the same objects are returned.

        Raises:
            MissingSplitError: If there are files, but none for a split of that name.
            DataError: If a folder cannot be read, or is not as expected.
        """

    def passed_over(self) -> str:
        """What of the data is in no split, in words; empty if it is nothing, or not known."""

    def open(self, split: str) -> ItemSplit:
        """The items of a split.

        Args:
            split: Its name, one of the values of ``splits``.

        Raises:
            MissingSplitError: If there are other splits, but none of that name.
            DataError: If they are neither on this machine nor can be downloaded, or are not as
                expected.
        """
