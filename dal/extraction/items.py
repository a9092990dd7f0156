"""The contract of items: what a frozen network reads, by split, not decoded yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dal.runtime.files import LocalFiles


@dataclass(frozen=True)
class ItemSplit:
    """The items of one split, not decoded yet.

    Attributes:
        items: The items as they are stored, by row or slice of rows, for example a column of a
            ``datasets.Dataset``. The encoder's reader knows what to do with them. They are pickled
            for worker processes, and should be read from the disk there.
        noun: What one of them is called, for example ``"image"``; its plural ends in s.
        labels: ``(N,)``, int64, if there are any.
        class_names: By label, if there are any.
        ids: What the items are called, by row, if they have names.
        fingerprint: Plain values that change when any item or label does.
        local: The user's own files that it was made from.
        where: What to call the split in a message.
    """

    items: Sequence[Any]
    noun: str
    labels: np.ndarray | None
    class_names: list[str] | None
    ids: list[str] | None
    fingerprint: dict[str, Any]
    local: list[LocalFiles]
    where: str

    def __len__(self) -> int:
        return len(self.items)

    @property
    def nouns(self) -> str:
        """What several of the items are called."""
        return f"{self.noun}s"

    def name(self, row: int) -> str:
        """What to call an item in a message, for example ``"image train/cat/1.jpg"``."""
        which = f"in row {row} of {self.where}" if self.ids is None else self.ids[row]
        return f"{self.noun} {which}"


class Items(Protocol):
    """Splits of items. The extractor turns them into features.

    Attributes:
        splits: The names of ``"train"`` and ``"test"``; None if there is no such split.
    """

    splits: dict[str, str | None]

    def request(self, split: str) -> dict[str, Any]:
        """What identifies a split to the user, in plain values, without a look at the items."""

    def local_files(self, split: str) -> list[LocalFiles]:
        """The user's own files that a split is made of, those of them that exist."""

    def open(self, split: str) -> ItemSplit:
        """The items of a split.

        Args:
            split: Its name, one of the values of ``splits``.

        Raises:
            DataError: If they are neither on this machine nor can be downloaded, or are not as
                expected.
        """

    def available_splits(self) -> dict[str, str]:
        """The splits that can be opened, as far as that is known without a download.

        Returns:
            Their names, by ``"train"`` and ``"test"``.

        Raises:
            DataError: If none can be opened.
        """
