"""Atomic writes, and the state of a user's files: whether they have changed since."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

NUM_READERS = 8  # hashing releases the interpreter, and network file systems answer slowly


@contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """A path to write a file or a folder to, which takes the place of ``target`` in the end.

    At any moment ``target`` is what it was before, or complete. If the body fails, ``target`` stays
    as it was, and what the body has written is removed.

    Args:
        target: The file, or a folder that does not exist yet. The folder around it must exist.

    Raises:
        OSError: If it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "numbers.txt")
        ...     with replacement(file) as draft:
        ...         _ = draft.write_text("1 2 3")
        ...         exists_meanwhile = file.exists()
        ...     exists_meanwhile, file.read_text()
        (False, '1 2 3')
    """
    # The same name each time: what a killed process leaves behind is removed by the next one.
    draft = target.with_name(f".{target.name}.tmp")
    try:
        remove_quietly(draft)
        yield draft
        for file in [draft] if draft.is_file() else draft.rglob("*"):
            if file.is_file():
                _sync(file)
        os.replace(draft, target)
    except BaseException:
        remove_quietly(draft)
        raise


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replaces a file, which has the old content or the new one at any moment.

    Args:
        file: The file. Its folder must exist.
        content: Its new content.

    Raises:
        OSError: If it cannot be written; what was there before is untouched.
    """
    with replacement(file) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_quietly(path: Path) -> None:
    """Removes a file or a folder if that is possible: where another error is the one to report."""
    try:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return


def _sync(file: Path) -> None:
    """Waits until the disk has the file's content, which a renamed file may still lack."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """Some files of the user's below a folder, to find out whether they have changed.

    Attributes:
        root: The folder.
        names: Their paths relative to it, in a fixed order.
    """

    root: Path
    names: Sequence[str]

    @cached_property
    def stamp(self) -> str:
        """Changes whenever a file is written, added or removed; reads no content.

        It is computed once, and afterwards describes the files as they were then.
        """
        digest = hashlib.sha256()
        for name in self.names:
            status = os.stat(self.root / name)
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @cached_property
    def digest(self) -> str:
        """Changes with the names and the content alone, wherever the files are; reads them all."""
        _ = self.stamp  # first, so that a file written during the reading is noticed next time
        digest = hashlib.sha256()
        with ThreadPoolExecutor(NUM_READERS) as pool:
            contents = pool.map(lambda name: sha256(self.root / name), self.names)
            for name, content in zip(self.names, contents, strict=True):
                digest.update(f"{name}\0{content}\n".encode())
        return digest.hexdigest()
