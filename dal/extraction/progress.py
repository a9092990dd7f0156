"""Progress of an extraction, for a command to show."""

from dal.extraction.items import ItemSplit


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
