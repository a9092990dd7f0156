"""Items of any kind as a source of examples: a frozen network computes their features."""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from dal.data import splits as split_names
from dal.data.examples import Examples
from dal.extraction.entry import Entry
from dal.extraction.extractor import FeatureExtractor
from dal.extraction.items import Items, Labeling

LabelCheck = Callable[[Tensor, Tensor | None, Sequence[str] | None], None]


class Embedded:
    """The features of items, as a source of examples.

    Args:
        items: For example :class:`~dal.data.ImageFolder`.
        extractor: Computes the features, or finds them in the cache.

    Attributes:
        check_labels: Is called before anything is computed, with the labels of the train and the
            test examples and the names of the classes; what it raises is said then, and not hours
            later. :meth:`dal.experiment.ALLoop.check_labels` is one. If there is one, train
            examples without labels are an error, too.

    Memory: features are memory-mapped files, of which only the rows in use are copied.
    """

    def __init__(self, items: Items, extractor: FeatureExtractor) -> None:
        self.items = items
        self.extractor = extractor
        self.check_labels: LabelCheck | None = None

    def entry(self, split: str) -> Entry:
        """The features of a split, computed if they are not in the cache.

        Args:
            split: Its name, one of the values of ``items.splits``.

        Raises:
            DataError: As :meth:`FeatureExtractor.entries`.
        """
        return self.extractor.entry(self.items, split)

    def entries(self, optional: Collection[str] = ()) -> dict[str, Entry]:
        """The features of both splits, or of train if there is no test split.

        Args:
            optional: ``"test"``, if a test split of the default name may be absent.

        Raises:
            DataError: As :meth:`FeatureExtractor.entries`.
        """
        splits = split_names.existing(self.items.splits)
        return self.extractor.entries(self.items, splits, optional)

    def load(self) -> tuple[Examples, Examples | None]:
        """The features of both splits, memory-mapped, with labels and ids where there are any.

        Raises:
            DataError: As :meth:`FeatureExtractor.entries`, or if the test split has no labels.
        """
        is_checked = self.check_labels is not None
        entries = self.extractor.entries(
            self.items,
            split_names.existing(self.items.splits),
            labeled=("train", "test") if is_checked else ("test",),
            check=self._check if is_checked else None,
        )
        examples = {key: _examples(entry) for key, entry in entries.items()}
        return examples["train"], examples.get("test")

    def _check(self, known: Mapping[str, Labeling]) -> None:
        labels = {
            key: torch.as_tensor(one.labels) for key, one in known.items() if one.labels is not None
        }
        assert self.check_labels is not None
        self.check_labels(labels["train"], labels.get("test"), known["train"].class_names)


def _examples(entry: Entry) -> Examples:
    features, labels = entry.load()
    return Examples(features, labels, entry.ids(), entry.class_names)
