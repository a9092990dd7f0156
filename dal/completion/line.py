"""The command line up to the cursor, as shells split it, finished or not."""

import re
from typing import NamedTuple


class Line(NamedTuple):
    """The words before the cursor.

    Attributes:
        words: Without quotes and backslashes; the last one is to be completed, and may be empty.
        quote: The quote in which the cursor is; empty if it is in none.
        start: How many characters of the last word stand before that quote.
    """

    words: list[str]
    quote: str
    start: int


def split(text: str) -> Line:
    r"""The words of a command line whose end may be missing.

    Args:
        text: Up to the cursor, with quotes and backslashes as they were typed.

    Example:
        >>> split("dal train seed=3 data.path='my pho")
        Line(words=['dal', 'train', 'seed=3', 'data.path=my pho'], quote="'", start=10)
        >>> split(r"PAGER= dal query labels=my\ la").words
        ['dal', 'query', 'labels=my la']
        >>> split("dal train ").words
        ['dal', 'train', '']
    """
    words, quote, start, is_escaped = [""], "", 0, False
    for character in text:
        if is_escaped:
            if quote and character not in '"\\$`':  # where a backslash is one
                words[-1] += "\\"
            words[-1] += character
            is_escaped = False
        elif character == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            if character == quote:
                quote = ""
            else:
                words[-1] += character
        elif character in "'\"":
            quote, start = character, len(words[-1])
        elif not character.isspace():
            words[-1] += character
        elif words[-1]:
            words.append("")
    while len(words) > 1 and re.match(r"\w+=", words[0]):  # variables of the environment
        del words[0]
    return Line(words, quote, start if quote else 0)
