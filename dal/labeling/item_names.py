"""What the items of a project are called: lists of names, or row numbers, which take no memory."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from dal.data.row_numbers import NumberOf, RowNumbers

CHUNK_NAMES = 1 << 16


def missing(names: Sequence[str], known: Mapping[str, int]) -> list[str]:
    """Those of some names that are not known.

    Example:
        >>> missing(["a", "b"], {"b": 0})
        ['a']
    """
    if isinstance(names, RowNumbers) and isinstance(known, NumberOf):
        return names[len(known) :]
    return [name for name in names if name not in known]


def union(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    """All names, each once, those of the first in front.

    Example:
        >>> union(["b", "a"], ["c", "a"])
        ['b', 'a', 'c']
    """
    if isinstance(second, RowNumbers):
        if isinstance(first, RowNumbers):
            return max(first, second, key=len)
        if not missing(first, NumberOf(second)):
            return second
    return list(dict.fromkeys([*first, *second]))


def to_text(names: Sequence[str]) -> str:
    r"""JSON with a name in each line; row numbers are one line that says how many there are.

    Example:
        >>> to_text(["a"]), to_text(RowNumbers(20_000_000))
        ('"a"\n', '{"num_rows": 20000000}\n')
    """
    if isinstance(names, RowNumbers):
        return json.dumps({"num_rows": len(names)}) + "\n"
    return "".join(f"{json.dumps(name, ensure_ascii=False)}\n" for name in names)


def from_text(text: str) -> Sequence[str]:
    """The names that :func:`to_text` has written.

    Raises:
        ValueError: If the text is no such list.
    """
    # Not splitlines(), which also ends a line at characters that an id may have.
    found = [json.loads(line) for line in text.split("\n")[:-1]]
    if len(found) == 1 and isinstance(found[0], dict):
        num = found[0].get("num_rows")
        if not isinstance(num, int):
            raise ValueError(f"expected num_rows, got {text.strip()}")
        return RowNumbers(num)
    return [str(name) for name in found]


def digest(*parts: object) -> str:
    """Hexadecimal digits that change when any part, a plain value, does.

    Row numbers have the digest of the list of their names.

    Example:
        >>> digest(RowNumbers(2), None) == digest(["0", "1"], None)
        True
    """
    hashed = hashlib.sha256()
    for text in _json(parts):
        hashed.update(text.encode())
    return hashed.hexdigest()[:16]


def _json(parts: Sequence[object]) -> Iterator[str]:
    """JSON of a list of parts, in pieces."""
    for number, part in enumerate(parts):
        yield ", " if number else "["
        if not isinstance(part, RowNumbers):
            yield json.dumps(part, sort_keys=True, ensure_ascii=False)
            continue
        for start in range(0, len(part), CHUNK_NAMES):
            names = json.dumps(part[start : start + CHUNK_NAMES])
            yield (", " if start else "[") + names[1:-1]
        yield "]" if len(part) else "[]"
    yield "]" if parts else "[]"
