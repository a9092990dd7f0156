"""Items of any kind as a source of examples: a frozen network computes their features."""

from dal.data.examples import Examples
from dal.extraction.entry import Entry
from dal.extraction.extractor import FeatureExtractor
from dal.extraction.items import Items


class Embedded:
    """The features of items, as a source of examples.

    Args:
        items: For example :class:`~dal.data.ImageFolder`.
        extractor: Computes the features, or finds them in the cache.

    Memory: features are memory-mapped files, of which only the rows in use are copied.
    """

    def __init__(self, items: Items, extractor: FeatureExtractor) -> None:
        self.items = items
        self.extractor = extractor

    def entry(self, split: str) -> Entry:
        """The features of a split, computed if they are not in the cache.

        Args:
            split: Its name, one of the values of ``items.splits``.

        Raises:
            DataError: As :meth:`FeatureExtractor.entry`.
        """
        return self.extractor.entry(self.items, split)

    def load(self) -> tuple[Examples, Examples | None]:
        """The features of both splits, memory-mapped, with labels and ids where there are any.

        Raises:
            DataError: As :meth:`entry`.
        """
        train, test = self.items.splits["train"], self.items.splits["test"]
        assert train is not None
        return self._examples(train), None if test is None else self._examples(test)

    def _examples(self, split: str) -> Examples:
        entry = self.entry(split)
        return Examples(*entry.load(), entry.names(), entry.manifest.get("class_names"))
