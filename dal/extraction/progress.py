"""Progress of an extraction, for a command to show."""

import time

from dal.extraction.items import ItemSplit

FIRST_SECONDS = 2.0  # that a step may take without a word
NEXT_SECONDS = 10.0  # between two lines


class ExtractionListener:
    """Is told how far an extraction is. This one shows nothing; a command's subclass does."""

    def say(self, message: str) -> None:
        """Takes a message that the user should read now."""

    def started(self, split: ItemSplit, num_done: int) -> None:
        """The items of a split are being computed.

        Args:
            split: All of them.
            num_done: How many of them an earlier extraction has computed.
        """

    def advanced(self, num: int) -> None:
        """``num`` more items are computed."""

    def ended(self) -> None:
        """All items of the split are computed."""


class Count:
    """Says how far a step is that should not take long, but does.

    Args:
        listener: Is told.
        what: What is done, for example ``"Looking for changes in DIR"``.
        total: How many of them there are.
        nouns: What they are called.
    """

    def __init__(
        self, listener: ExtractionListener, what: str, total: int, nouns: str = "files"
    ) -> None:
        self.listener = listener
        self.what = what
        self.total = total
        self.nouns = nouns
        self.done = 0
        self.due = time.monotonic() + FIRST_SECONDS

    def advance(self, num: int) -> None:
        """``num`` more of them are done."""
        self.done += num
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + NEXT_SECONDS
            self.listener.say(f"{self.what}: {self.done:,} of {self.total:,} {self.nouns}.")
