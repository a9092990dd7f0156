"""Items by what people call them: their id, or a path that means it."""

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from dal.errors import DataError, did_you_mean
from dal.labeling.answer import Answer

MAX_NAMED = 10
MAX_COMPARED = 20_000  # ids among which a similar one is looked for: comparing takes 10 µs each


def match_ids(answers: Sequence[Answer], ids: Collection[str]) -> tuple[list[Answer], list[str]]:
    """The same answers, by the ids of the items, where the file calls them by a path.

    An id that is known stays as it is. Otherwise "./photos/a.jpg" is "a.jpg", and "a.jpg" is
    "2024/a.jpg", if there is only one item that it can be; white space around it, backslashes and
    the Unicode form make no difference. Neither does an apostrophe before an id, by which tables
    keep spreadsheet programs from changing it. What cannot be matched stays as it is, for
    :func:`dal.labeling.agreement.check_against` to name.

    Args:
        answers: As they were read.
        ids: The ids of all items.

    Returns:
        The answers, and what to tell the user about it, if anything.

    Raises:
        DataError: If a path means several items.

    Example:
        >>> answers, notes = match_ids([Answer("./photos/a.jpg", "cat", None, "")], ["a.jpg"])
        >>> answers[0].id, notes
        ('a.jpg', ["1 id matched by its path: './photos/a.jpg' is 'a.jpg'"])
    """
    known = ids if isinstance(ids, Set | Mapping) else frozenset(ids)
    answers = _unmark(answers, known)
    places = {answer.id: answer.where for answer in answers if answer.id not in known}
    if not places:
        return answers, []
    matched = {}
    for name, all_found in candidates(places, ids).items():
        whole = [item for item in all_found if normalized(item) == normalized(name)]
        found = whole or all_found
        if len(found) > 1:
            raise DataError(
                f"Expected an id in {places[name]}, got {name!r}, which can be any of "
                f"{listed(found)}. Write the id of the item."
            )
        matched[name] = found[0]
    if not matched:
        return answers, []
    first, num = next(iter(matched)), len(matched)
    note = f"{num:,} {'id' if num == 1 else 'ids'} matched by {'its' if num == 1 else 'their'} path"
    note += f": {first!r} is {matched[first]!r}" + (", …" if num > 1 else "")
    return [replace(a, id=matched.get(a.id, a.id)) for a in answers], [note]


def _unmark(answers: Sequence[Answer], known: Collection[str]) -> list[Answer]:
    """Takes away the apostrophe that keeps spreadsheet programs from changing an id like 0012."""
    return [
        replace(answer, id=answer.id[1:])
        if answer.id.startswith("'") and answer.id not in known and answer.id[1:] in known
        else answer
        for answer in answers
    ]


def candidates(names: Iterable[str], ids: Collection[str]) -> dict[str, list[str]]:
    """The ids that each path can mean: the path, its last parts, or what it is the last parts of.

    Args:
        names: Paths as people write them.
        ids: The ids of all items; read once.

    Returns:
        Ids by path, for the paths that can mean any.

    Example:
        >>> candidates(["b/a.jpg", "c.jpg"], ["a.jpg", "x/c.jpg", "y/c.jpg"])
        {'b/a.jpg': ['a.jpg'], 'c.jpg': ['x/c.jpg', 'y/c.jpg']}
    """
    paths = {name: normalized(name) for name in names}
    whole: defaultdict[str, list[str]] = defaultdict(list)
    ends: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in paths.items():
        whole[path].append(name)
        for end in _ends(path):
            ends[end].append(name)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for item in ids:
        path = normalized(item)
        for name in (*whole.get(path, ()), *ends.get(path, ())):
            found[name].append(item)
        for end in _ends(path):
            for name in whole.get(end, ()):
                found[name].append(item)
    return dict(found)


def normalized(name: str) -> str:
    r"""A path with slashes, without "./", in Unicode's composed form.

    Example:
        >>> normalized(" .\\photos//a.jpg")
        'photos/a.jpg'
    """
    if name.isascii() and not name.startswith(("/", ".", " ")) and "\\" not in name:
        if "/" not in name:
            return name.rstrip()
    else:
        name = unicodedata.normalize("NFC", name).replace("\\", "/")
    return posixpath.normpath(name.strip()).lstrip("/")


def _ends(path: str) -> Iterator[str]:
    """What is left of a path without its first folders."""
    _, slash, rest = path.partition("/")
    while slash:
        yield rest
        _, slash, rest = rest.partition("/")


def check_known(names: Collection[str], ids: Collection[str]) -> None:
    """Checks that all names are ids of items.

    Args:
        names: As a file has them.
        ids: The ids of all items.

    Raises:
        DataError: If some are not; names ten of them, and what the first one may have meant.
    """
    known = ids if isinstance(ids, Set | Mapping) else frozenset(ids)
    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    raise DataError(
        f"Expected ids of this project's {len(known):,} items, got {len(unknown):,} of "
        f"{len(names):,} that are not: {listed(unknown)}.{_hint(unknown[0], known)} Correct or "
        "remove these rows; nothing was taken over."
    )


def listed(names: Sequence[str]) -> str:
    """Up to ten names in quotes, and how many there are beyond.

    Example:
        >>> listed(["a", "b"])
        "'a', 'b'"
    """
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(map(repr, names[:MAX_NAMED])) + more


def _hint(name: str, ids: Collection[str]) -> str:
    short = name.lstrip("0")
    if name.isdecimal():
        padded = [item for item in ids if len(item) > len(name) and item.lstrip("0") == short]
        if padded:
            return (
                f" Is {name!r} meant to be {padded[0]!r}? Spreadsheets remove leading zeros unless "
                "the column is text."
            )
    if len(ids) > MAX_COMPARED:
        ids = [item for item in ids if abs(len(item) - len(name)) < 2 and item[:1] == name[:1]]
    hint = did_you_mean(name, list(ids)[:MAX_COMPARED])
    return f" {hint}" if hint.startswith("Did you mean") else ""
