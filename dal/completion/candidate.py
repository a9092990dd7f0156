"""Candidates: what may stand in the place of a word, and files among them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

OPEN_ENDS = ("=", ".", "/")  # after which the same word continues


class Candidate(NamedTuple):
    """What a word may be completed to.

    Attributes:
        word: The whole of it, as the command would get it.
        about: What it is, in a few words; may be empty.
    """

    word: str
    about: str = ""

    @property
    def is_open(self) -> bool:
        """Whether more of the same word has to follow."""
        return self.word.endswith(OPEN_ENDS)


def matching(candidates: Iterable[Candidate], word: str) -> list[Candidate]:
    """Those that begin like a word, in order, each once.

    Example:
        >>> names = [Candidate("margin"), Candidate("bait"), Candidate("badge"), Candidate("bait")]
        >>> [candidate.word for candidate in matching(names, "ba")]
        ['badge', 'bait']
    """
    found = {each.word: each for each in candidates if each.word.startswith(word)}
    return sorted(found.values(), key=lambda each: each.word.lstrip("+"))


def files(path: str, prefix: str = "", *, only_folders: bool = False) -> Iterator[Candidate]:
    """Files and folders that a path may be completed to; hidden ones only if it names them.

    Args:
        path: As it was typed, ``~`` included.
        prefix: What stands before it in the same word.
        only_folders: Whether files are left out.
    """
    folder, _, name = path.rpartition("/")
    folder = path[: len(path) - len(name)]
    try:
        entries = list(os.scandir(Path(folder).expanduser()))
    except (OSError, RuntimeError):  # the second one is an unknown user behind a tilde
        return
    for entry in entries:
        if entry.name.startswith(".") and not name.startswith("."):
            continue
        if entry.is_dir():
            yield Candidate(f"{prefix}{folder}{entry.name}/")
        elif not only_folders:
            yield Candidate(f"{prefix}{folder}{entry.name}")
