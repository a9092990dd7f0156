"""Files that are either whole or not there, and what tells one version of a file from another."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

NUM_READERS = 8  # hashing releases the interpreter, and network file systems answer slowly


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replaces a file, which holds the old content or the new one at any moment.

    Args:
        file: The file. Its folder must exist.
        content: What it shall hold.

    Raises:
        OSError: If it cannot be written; what was there before is untouched.
    """
    # One name for good: what a killed process leaves behind is overwritten by the next.
    draft = file.with_name(f".{file.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(draft, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, file)
    except OSError:
        remove_quietly(draft)
        raise


def remove_quietly(file: Path) -> None:
    """Removes a file if that is possible: for use where another error is the one to report."""
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def walk(top: Path) -> list[tuple[str, list[str], list[str]]]:
    """``os.walk`` in a fixed order, links followed, without hidden folders."""
    found = []
    for folder, folders, names in os.walk(top, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.append((folder, folders, names))
    return found


@dataclass(frozen=True)
class LocalFiles:
    """Some files below a folder, as something that can change.

    Attributes:
        root: The folder.
        names: Paths relative to it, in a fixed order.
    """

    root: Path
    names: Sequence[str]

    @cached_property
    def stamp(self) -> str:
        """Changes whenever a file is written, added or removed; reads no content.

        Once looked at, it stays what it was.
        """
        digest = hashlib.sha256()
        for name in self.names:
            status = os.stat(self.root / name)
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @cached_property
    def digest(self) -> str:
        """Changes with the files' names and content alone, wherever they lie; reads them all."""
        _ = self.stamp  # from before the reading: what is written meanwhile shall be noticed
        digest = hashlib.sha256()
        with ThreadPoolExecutor(NUM_READERS) as pool:
            contents = pool.map(lambda name: sha256(self.root / name), self.names)
            for name, content in zip(self.names, contents, strict=True):
                digest.update(f"{name}\0{content}\n".encode())
        return digest.hexdigest()
