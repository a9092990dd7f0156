"""The columns of a dataset: items, their labels, and their ids."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dal.data import id_columns, labels
from dal.errors import DataError, did_you_mean
from dal.extraction.items import Labeling


class Rows(NamedTuple):
    """The rows of a split.

    Attributes:
        dataset: Of the ``datasets`` library.
        where: What to call the split in a message.
        lines: The line of a file where each row starts, if they are in a file with lines.
    """

    dataset: Any
    where: str
    lines: Sequence[int] | None = None


class ItemColumns:
    """Which columns of a dataset the items, their labels and their ids are in.

    Labels are numbered by the names of train's classes in all splits.

    Args:
        noun: What an item is called, ``"image"`` or ``"text"``.
        item: The column of the items.
        label: That of the labels: class labels, integers or strings; None if there is none.
        id: That of the ids, strings or integers; None if there is none.
        train: The name of the train split.
    """

    def __init__(
        self,
        noun: str,
        item: str,
        label: str | None,
        id: str | None,  # noqa: A002
        train: str,
    ) -> None:
        self.noun = noun
        self.item = item
        self.label = label
        self.id = id
        self.train = train
        self._train_classes: list[str] | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The names of the columns, in plain values."""
        columns = {self.noun: self.item, "label": self.label}
        # Not if there is none: features in the cache are of a time before there was one.
        return columns if self.id is None else {**columns, "ids": self.id}

    @property
    def options(self) -> dict[str, str]:
        """The option that names each column that should be there."""
        by_option = {
            f"data.{self.noun}_column": self.item,
            "data.label_column": self.label,
            "data.id_column": self.id,
        }
        return {option: column for option, column in by_option.items() if column is not None}

    def check(self, rows: Rows) -> None:
        """Checks that the columns are there.

        Raises:
            DataError: If one is not.
        """
        for option, column in self.options.items():
            if column not in rows.dataset.column_names:
                hint = did_you_mean(column, rows.dataset.column_names)
                raise DataError(
                    f"Expected a column '{column}' in {rows.where}, as {option} says. {hint}"
                )

    def labels(self, split: str, rows: Rows, read: Callable[[str], Rows]) -> Labeling:
        """The labels of a split, if there is a column of them.

        Args:
            split: Its name.
            rows: Its rows, which have the columns.
            read: Reads the rows of train, whose classes number the labels.

        Raises:
            DataError: If a label is missing, no label, or of a class that train does not have.
        """
        if self.label is None:
            return Labeling(None, None)
        names, feature = self._class_names(rows)
        if split == self.train:
            self._train_classes = labels.numbering(names, feature)
        elif self._train_classes is None:
            train = read(self.train)
            self.check(train)
            self._train_classes = labels.numbering(*self._class_names(train))
        return Labeling(labels.number(names, self._train_classes, rows.where), self._train_classes)

    def _class_names(self, rows: Rows) -> tuple[list[str | None], Any]:
        dataset, where, lines = rows
        feature = dataset.features[self.label]
        return labels.class_names(dataset[self.label][:], feature, where, lines), feature

    def ids(self, rows: Rows) -> list[str] | None:
        """The ids of a split, if there is a column of them.

        Raises:
            DataError: If one is missing, no id, or not unique.
        """
        if self.id is None:
            return None
        return id_columns.read(rows.dataset, self.id, rows.where, rows.lines)
