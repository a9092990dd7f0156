"""A look at everything that an extraction needs, before anything is computed."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Protocol

from dal.errors import DalError, DataError
from dal.extraction.encoder import Encoder, Network
from dal.extraction.entry import LABELS, Entry
from dal.extraction.items import Items, ItemSplit, Labeling, MissingSplitError
from dal.extraction.progress import Count, ExtractionListener
from dal.runtime.files import LocalFiles


class Finder(Protocol):
    """As much of an extractor as a look needs."""

    backbone: Network
    listener: ExtractionListener

    def find(self, items: Items, split: str) -> Entry | None:
        """The features of a split, if they are in the cache."""


class Look:
    """The network and the splits of an extraction, each loaded or opened once.

    Args:
        finder: Finds features in the cache.
        items: Where the splits are.
        splits: Their names, by what they are for.
        optional: What may be absent, if it has its default name.
        labeled: What must have labels.
        check: What is checked of the labels of all splits.
    """

    def __init__(
        self,
        finder: Finder,
        items: Items,
        splits: Mapping[str, str],
        optional: Collection[str],
        labeled: Collection[str],
        check: Callable[[Mapping[str, Labeling]], None] | None,
    ) -> None:
        self.finder = finder
        self.items = items
        self.splits = splits
        self.optional = optional
        self.labeled = labeled
        self.check = check
        self._opened: dict[str, ItemSplit] = {}
        self._weights: list[LocalFiles] = []

    def found(self) -> dict[str, Entry | None]:
        """The features of each split in the cache; None for those that must be computed.

        Says what each split was understood to be.

        Raises:
            DataError: If something is missing or not as expected: all of it in one message.
        """
        found: dict[str, Entry | None] = {}
        summaries: list[str] = []
        passed_over = self.items.passed_over()
        others = [f"{passed_over}."] if passed_over else []
        problems: list[DalError] = []
        for key, name in self.splits.items():
            try:
                entry = self.finder.find(self.items, name)
                summary = self.opened(name).summary if entry is None else entry.summary
                self._check_labels(key, entry)
            except MissingSplitError as error:
                if key in self.optional and name == key:
                    others.append(f"{key}: none. {error.problem}")
                else:
                    problems.append(error)
            except DalError as error:
                found[key] = None
                problems.append(error)
            else:
                found[key] = entry
                summaries.append(f"{key if name == key else f'{key} ({name})'}: {summary}.")
        if None in found.values() and self.check is not None and not problems:
            try:
                self.check({key: self._labeling(key, entry) for key, entry in found.items()})
            except DalError as error:
                problems.append(error)
        if None in found.values():
            try:
                others.append(self.encoder.summary())
            except DalError as error:
                problems.insert(0, error)
        for line in summaries if problems else [*summaries, *filter(None, others)]:
            self.finder.listener.say(line)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise DataError("\n".join(dict.fromkeys(map(str, problems)))) from problems[0]
        return found

    @cached_property
    def encoder(self) -> Encoder:
        """The network, loaded."""
        self._weights = self.finder.backbone.local_files()
        for local in self._weights:
            _ = local.stamp  # now: files that change after the network was loaded are noticed later
        return self.finder.backbone.load()

    def opened(self, split: str) -> ItemSplit:
        """The items of a split."""
        if split not in self._opened:
            opened = self.items.open(split)
            if len(opened) == 0:
                raise DataError(f"Expected {opened.nouns} in {opened.where}, found none.")
            self._opened[split] = opened
        return self._opened[split]

    def read(self, split: str) -> None:
        """Reads the user's own files and items of a split, to know them by their content."""
        opened = self.opened(split)
        for local in (*opened.local, *opened.named):
            what = f"Reading the files in {local.root}"
            local.read(Count(self.finder.listener, what, len(local.names)).advance)
        if opened.contents is not None:
            what = f"Reading the {opened.nouns} of {opened.where}"
            count = Count(self.finder.listener, what, len(opened), opened.nouns)
            opened.contents.read(count.advance)

    def local_files(self, split: str) -> list[LocalFiles]:
        """The user's own files of network and items."""
        return [*self._weights, *self.opened(split).local]

    def _labeling(self, key: str, entry: Entry | None) -> Labeling:
        if entry is None:
            opened = self.opened(self.splits[key])
            return Labeling(opened.labels, opened.class_names)
        labels = entry.load()[1]
        return Labeling(None if labels is None else labels.numpy(), entry.class_names)

    def _check_labels(self, key: str, entry: Entry | None) -> None:
        if key not in self.labeled:
            return
        name = self.splits[key]
        has_labels = (
            LABELS in entry.manifest["files"]
            if entry is not None
            else self.opened(name).labels is not None
        )
        if not has_labels:
            raise DataError(
                f"Expected labels of the {key} examples, got none: an experiment reveals them when "
                "a strategy asks for them. Put images into one folder for each class, or name the "
                "column of a dataset or table with data.label_column=NAME."
            )
