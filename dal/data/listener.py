"""Progress of what reads a pool, for a command to show."""


class PoolListener:
    """Is told how far a pool has been read. This one shows nothing; a command's subclass does."""

    def read(self, num: int, total: int) -> None:
        """Rows have been read in order, up to some number of all; a lower number begins again."""

    def streamed(self, num_bytes: int) -> None:
        """Features of so many bytes, as float32, are not kept in memory but read in each pass."""

    def chosen(self, num: int, total: int) -> None:
        """A strategy has taken some steps of all that a selection needs."""
