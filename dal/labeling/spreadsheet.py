"""The table that people fill in with a spreadsheet program: one row for each item."""

import csv
import io
import math
import re
from collections.abc import Sequence

from dal.labeling.picks import Pick

# Excel breaks a longer cell into rows.
MAX_CELL = 32_000

# What Excel would run, as a formula, and the mark itself.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r", "'")
# What it would show, and save, as another number or as a date: 0012, 1.50, 3-4, 1e5, a long number.
_NUMBER = re.compile(r"[\d\s.,:;/%-]*\d[\d\s.,:;/%-]*(e[+-]?\d+)?", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"0|[1-9]\d{0,14}")


def to_label(picks: Sequence[Pick]) -> bytes:
    """The table as CSV, with an empty column ``label`` for people to fill in.

    It is UTF-8 with a byte order mark, without which Excel takes it for another encoding. Cells
    that a spreadsheet program would change or run are marked, see :func:`mark`; ids are read back
    with :func:`unmark`.
    """
    has_path = any(pick.path is not None for pick in picks)
    has_text = any(pick.text is not None for pick in picks)
    shown = ["path"] * has_path + ["text"] * has_text
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["rank", "id", *shown, "predicted", "confidence", "score", "label"])
    for pick in picks:
        texts = [mark(pick.id)]
        texts += [mark(pick.path or "")] * has_path
        texts += [mark(shorten(pick.text or ""))] * has_text
        texts += [mark(pick.predicted or "")]
        numbers = [_decimal(pick.confidence, ".4f"), _decimal(pick.score, ".6g")]
        writer.writerow([pick.rank, *texts, *numbers, ""])
    return b"\xef\xbb\xbf" + stream.getvalue().encode()


def mark(text: str) -> str:
    """The text with an apostrophe before it, if a spreadsheet program would change or run it.

    Such a program shows the apostrophe, takes the cell for text, and saves it as it was.

    Example:
        >>> print(mark("a.jpg"), mark("17"), mark("0012"), mark("=1+1"), mark("'a"))
        a.jpg 17 '0012 '=1+1 ''a
    """
    is_number = _NUMBER.fullmatch(text) and not _PLAIN_NUMBER.fullmatch(text)
    return f"'{text}" if text.startswith(_ACTIVE) or is_number else text


def unmark(cell: str) -> str:
    """The text of a cell that :func:`mark` gave.

    Example:
        >>> [unmark(mark(text)) for text in ("a.jpg", "0012", "=1+1", "'a")]
        ['a.jpg', '0012', '=1+1', "'a"]
    """
    return cell.removeprefix("'")


def shorten(text: str) -> str:
    """The text, cut where a cell of a table or a page that people look at could not hold it."""
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]} …"


def _decimal(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else format(value, form)
