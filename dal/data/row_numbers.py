"""Row numbers as the names of rows, none of which is ever written out as a whole."""

from collections.abc import Iterator, Mapping, Sequence
from typing import overload


class RowNumbers(Sequence[str]):
    """The names "0", "1", and so on, of rows that have no others. They take no memory.

    Args:
        num: How many rows there are.

    Example:
        >>> names = RowNumbers(20_000_000)
        >>> names[7], "19999999" in names, "007" in names
        ('7', True, False)
    """

    def __init__(self, num: int) -> None:
        self._numbers = range(num)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        """The name of a row, or those of some rows."""
        if isinstance(row, slice):
            return [str(number) for number in self._numbers[row]]
        return str(self._numbers[row])

    def __iter__(self) -> Iterator[str]:
        return map(str, self._numbers)

    def __contains__(self, name: object) -> bool:
        return self.number(name) is not None

    def number(self, name: object) -> int | None:
        """The row with a name; None if there is none."""
        # Other scripts have decimal digits too, and "007" is another name than "7".
        if not isinstance(name, str) or not name.isdecimal() or not name.isascii():
            return None
        number = int(name) if len(name) < 20 else -1
        return number if number in self._numbers and str(number) == name else None


class NumberOf(Mapping[str, int]):
    """The row of each name of :class:`RowNumbers`.

    Example:
        >>> NumberOf(RowNumbers(8))["7"]
        7
    """

    def __init__(self, names: RowNumbers) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> int:
        """The row with a name."""
        number = self._names.number(name)
        if number is None:
            raise KeyError(name)
        return number
