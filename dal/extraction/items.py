"""The contract of items: what a frozen network reads, by split, not decoded yet."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dal.runtime.files import LocalFiles


@dataclass(frozen=True)
class ItemSplit:
    """The items of one split, not decoded yet.

    Attributes:
        items: A ``datasets.Dataset`` with the one column ``image``, of ``Image(decode=False)``.
        labels: ``(N,)``, int64, if there are any.
        class_names: By label, if there are any.
        ids: What the items are called, by row, if they have names.
        fingerprint: Plain values that change when any item or label does.
        local: The user's own files that it was made from.
        where: What to call the split in a message.
    """

    items: Any
    labels: np.ndarray | None
    class_names: list[str] | None
    ids: list[str] | None
    fingerprint: dict[str, Any]
    local: list[LocalFiles]
    where: str

    def __len__(self) -> int:
        return len(self.items)

    def name(self, row: int) -> str:
        """What to call an item in a message."""
        return f"row {row} of {self.where}" if self.ids is None else self.ids[row]


class Items(Protocol):
    """Splits of items; what turns them into features is the extractor.

    Attributes:
        splits: What ``"train"`` and ``"test"`` are called; None if there is no such split.
    """

    splits: dict[str, str | None]

    def request(self, split: str) -> dict[str, Any]:
        """What a split is asked for with, in plain values, without looking for it."""

    def local_files(self, split: str) -> list[LocalFiles]:
        """The user's own files that a split is made of, as far as they are there."""

    def open(self, split: str) -> ItemSplit:
        """The items of a split.

        Args:
            split: Its name, one of the values of ``splits``.

        Raises:
            DataError: If they are not there and cannot be had, or are not as expected.
        """

    def available_splits(self) -> dict[str, str]:
        """The named splits that can be opened, as far as that is known without a download.

        Raises:
            DataError: If none can be.
        """
