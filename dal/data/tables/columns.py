"""Columns of a table by name, as people write the names."""

from collections.abc import Sequence

from dal.errors import DataError, did_you_mean

MAX_SHOWN = 12


def find(columns: Sequence[str], name: str, file: str) -> int | None:
    """Which column has a name; None if there is none.

    Upper and lower case, and white space around, make no difference unless two columns differ in
    nothing else.

    Raises:
        DataError: If several columns could be meant.

    Example:
        >>> find(["", "ID", "Label "], "label", "to_label.csv")
        2
    """
    for same in (str, _loosely):
        found = [number for number, column in enumerate(columns) if same(column) == same(name)]
        if len(found) > 1:
            names = ", ".join(repr(columns[number]) for number in found)
            raise DataError(
                f"Expected one column {name!r} in {file}, got {len(found)}: {names}. Rename all "
                "but one."
            )
        if found:
            return found[0]
    return None


def _loosely(name: str) -> str:
    return name.strip().lower()


def missing(
    name: str, option: str, columns: Sequence[str], file: str, otherwise: str = ""
) -> DataError:
    """The error for a column that is not there.

    Args:
        name: The column.
        option: The option that names it.
        columns: Those that are there.
        file: The name of the file.
        otherwise: What else may be done, in a sentence.
    """
    named = [column for column in columns if column.strip()]
    shown = ", ".join(repr(_short(column)) for column in named[:MAX_SHOWN])
    more = f" and {len(named) - MAX_SHOWN} more" if len(named) > MAX_SHOWN else ""
    hint = did_you_mean(name, named) if named else ""
    hint = f" {hint}" if hint.startswith("Did you mean") else ""
    return DataError(
        f"Expected a column {name!r} in {file}, got the columns {shown or '(none)'}{more}.{hint} "
        f"Name the column with {option}=NAME. In CSV and TSV the first line has the names."
        f"{otherwise and ' '}{otherwise}"
    )


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:40]}…"
