"""Names of classes as people write them: what counts as one name, and what as a mistake."""

import re
import unicodedata
from collections.abc import Iterable

from dal.errors import DataError

# White space, and what nobody sees either, as copied from web pages.
BLANK = r"[\s\u00ad\u200b\u2060\ufeff]"


def clean(text: str | None, where: str) -> str | None:
    """The name of a class without white space around it, in Unicode's composed form.

    Args:
        text: What the file has.
        where: The place in the file.

    Returns:
        None for no text at all: the item is skipped.

    Raises:
        DataError: If there is only white space, or more than one line.

    Example:
        >>> clean(" cat ", "line 2"), clean("", "line 3"), clean("01", "line 4")
        ('cat', None, '01')
    """
    if not text:
        return None
    name = text.strip()
    if not name.isascii():
        name = re.sub(f"^{BLANK}+|{BLANK}+$", "", unicodedata.normalize("NFC", name))
    if not name:
        raise DataError(
            f"Expected the name of a class in {where}, got only white space. Write the name, or "
            "nothing at all to skip the item."
        )
    lines = name.splitlines()
    if len(lines) > 1:
        raise DataError(
            f"Expected the name of a class in {where}, got several lines, the first {lines[0]!r}. "
            "Is a quotation mark missing?"
        )
    return name


def comparable(name: str) -> str:
    """What two names have in common that differ in case, white space or Unicode form alone.

    Example:
        >>> comparable("Polar  Bear") == comparable("polar bear")
        True
    """
    return re.sub(BLANK, "", unicodedata.normalize("NFKC", name)).lower()


def check_distinct(names: Iterable[str], earlier: Iterable[str] = ()) -> None:
    """Checks that no two names differ in case, white space or Unicode form alone.

    Args:
        names: Names of classes, in order; they may repeat.
        earlier: Names that there were before.

    Raises:
        DataError: If two do: "Cat" beside "cat" is nearly always one class.
    """
    known = {comparable(name): name for name in earlier}
    for name in dict.fromkeys(names):
        other = known.setdefault(comparable(name), name)
        if other != name:
            raise DataError(
                f"Expected names of classes that differ in more than case, white space or Unicode "
                f"form, got {name!r} and {other!r}. Write one of them everywhere; two classes that "
                "are really different need names that a reader can tell apart."
            )
