"""Items of any kind as a source of examples: a frozen network computes their features."""

from collections.abc import Collection

from dal.data import splits as split_names
from dal.data.examples import Examples
from dal.extraction.entry import Entry
from dal.extraction.extractor import FeatureExtractor
from dal.extraction.items import Items


class Embedded:
    """The features of items, as a source of examples.

    Args:
        items: For example :class:`~dal.data.ImageFolder`.
        extractor: Computes the features, or finds them in the cache.

    Attributes:
        needs_labels: Whether train examples without labels are an error before anything is
            computed, as an experiment cannot use them.

    Memory: features are memory-mapped files, of which only the rows in use are copied.
    """

    def __init__(self, items: Items, extractor: FeatureExtractor) -> None:
        self.items = items
        self.extractor = extractor
        self.needs_labels = False

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
        labeled = ("train", "test") if self.needs_labels else ("test",)
        splits = split_names.existing(self.items.splits)
        entries = self.extractor.entries(self.items, splits, labeled=labeled)
        examples = {key: _examples(entry) for key, entry in entries.items()}
        return examples["train"], examples.get("test")


def _examples(entry: Entry) -> Examples:
    features, labels = entry.load()
    return Examples(features, labels, entry.ids(), entry.class_names)
