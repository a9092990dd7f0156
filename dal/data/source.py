"""The contract of a source: where examples come from, and nothing else."""

from typing import Protocol

from dal.data.examples import Examples


class Source(Protocol):
    """Anything with a method :meth:`load`.

    What splits a pool off, batches it or reveals its labels is :class:`~dal.data.ALDataModule`,
    which checks everything that a source returns.
    """

    def load(self) -> tuple[Examples, Examples | None]:
        """The train examples, and the test examples if there is a test split.

        Train examples may have no labels, or :data:`~dal.data.UNKNOWN` in the place of some.

        Raises:
            DataError: If the examples cannot be had.
        """
