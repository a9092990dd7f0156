"""Overrides of the command line whose values Hydra's grammar cannot read, quoted for it.

The grammar refuses what is common in paths and names: a tilde at the start, letters beyond ASCII,
parentheses, an apostrophe, ``=``, ``&``. What it can read is left as it is.
"""

import shlex
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

MULTIRUN = ("-m", "--multirun")
OPENINGS = ("[", "{", "'", '"')  # of a list, a mapping and a quoted text
BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))


def quote_unreadable(arguments: Sequence[str]) -> list[str]:
    """The arguments, with quotes around the values that the grammar cannot read otherwise.

    A list, a mapping, a call or a quoted text that is only misspelt stays as it is, and so does
    what no quotes would help. In a multirun, a comma separates two values.

    Args:
        arguments: Of the command line, options among them.

    Example:
        >>> quote_unreadable(["data.path=~/photos (1)", "seed=3", "-m", "name=a,café"])
        ["data.path='~/photos (1)'", 'seed=3', '-m', "name=a,'café'"]
    """
    is_multirun = any(argument in MULTIRUN for argument in arguments)
    return [_readable(argument, is_multirun) for argument in arguments]


def quoted(override: str) -> str:
    r"""The override with quotes around its value, which is read as a text then.

    Example:
        >>> print(quoted("name=it's"))
        name='it\'s'
    """
    key, _, value = override.partition("=")
    return f"{key}={QuotedString(text=value, quote=Quote.single).with_quotes()}"


def explain_unreadable(overrides: Sequence[str]) -> str | None:
    """The message for the first override that cannot be read, if there is one."""
    for override in overrides:
        if not _can_be_read(override):
            advice = ""
            if _can_be_read(quoted(override)):
                advice = f" If its value is a text, quote it: {_as_word(quoted(override))}."
            return (
                f"Cannot read {override}: brackets and quotes must be closed, and functions such "
                f"as `range` called as they are defined.{advice}"
            )
    return None


def _readable(argument: str, is_multirun: bool) -> str:
    key, sign, value = argument.partition("=")
    if not sign or argument.startswith("-") or _can_be_read(argument):
        return argument
    if value.startswith(OPENINGS) or value.partition("(")[0] in _functions():
        return argument
    values = value.split(",")
    candidates = [quoted(argument)]
    if is_multirun and all(map(_is_balanced, values)):
        candidates.insert(0, f"{key}={','.join(_elements(key, values))}")
    return next(filter(_can_be_read, candidates), argument)


def _elements(key: str, values: Sequence[str]) -> Iterator[str]:
    for value in values:
        override = f"{key}={value}"
        yield value if _can_be_read(override) else quoted(override).partition("=")[2]


def _as_word(text: str) -> str:
    """The text as one word of a shell's command line."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _is_balanced(value: str) -> bool:
    return all(value.count(opening) == value.count(closing) for opening, closing in BRACKETS)


def _can_be_read(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _functions() -> set[str]:
    return set(OverridesParser.create().functions.definitions)
