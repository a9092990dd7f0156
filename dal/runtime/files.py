"""Atomic writes, and the state of a user's files: whether they have changed since."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dal.errors import DataError

NUM_READERS = 8  # hashing releases the interpreter, and network file systems answer slowly
CONTENT_BYTES = 16  # of a digest: there may be millions of files

# Folders that file systems and archives have, beside those that people make.
PRIVATE_FOLDERS = ("@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found")

# Everything at which Python's str.splitlines() ends a line.
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_ESCAPES = {ord(char): ascii(char)[1:-1] for char in f"{_BREAKS}\\"}


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


def make_folders(path: Path) -> list[Path]:
    """Makes a folder and those around it; returns those that were missing, the innermost first.

    Raises:
        OSError: If they cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Removes folders as long as they are empty, the innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
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


def walk(top: Path, depth: int | None = None) -> list[tuple[str, list[str], list[str]]]:
    """A folder and those below it, in a fixed order: path, names of folders, names of files.

    Links are followed, but not to a folder that the link itself is in. Hidden folders, and those
    that a file system or a program keeps for itself, are left out.

    Args:
        top: The folder.
        depth: How many levels of folders below it are read; all if not given.

    Raises:
        DataError: If a folder cannot be read.
    """
    found = []
    folders_left: list[tuple[str, frozenset[tuple[int, int]]]] = [(str(top), frozenset())]
    while folders_left:
        folder, around = folders_left.pop()
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in around:
                continue
            with os.scandir(folder) as entries:
                names = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as error:
            raise DataError(
                f"Cannot read the folder {printable(folder)} ({error.strerror or error}). Permit "
                "reading it, or move it elsewhere."
            ) from error
        folders = [name for name, is_folder in names if is_folder and not _is_private(name)]
        found.append((folder, folders, [name for name, is_folder in names if not is_folder]))
        if depth is not None and len(around) >= depth:
            continue
        within = around | {identity}
        folders_left += [(os.path.join(folder, name), within) for name in reversed(folders)]
    return found


def _is_private(folder: str) -> bool:
    return folder.startswith(".") or folder in PRIVATE_FOLDERS


def printable(name: str) -> str:
    r"""A file's name as valid text: bytes of another encoding are shown as ``\xe9``.

    Example:
        >>> print(printable("caf\udce9.jpg"))
        caf\xe9.jpg
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def one_line(name: str) -> str:
    r"""A name without line breaks, which are written as escapes; so are backslashes.

    Example:
        >>> print(one_line("a\nb"), one_line("c\\d"))
        a\nb c\\d
    """
    return name.translate(_ESCAPES)


@dataclass(frozen=True)
class LocalFiles:
    """Some files of the user's below a folder, to find out whether they have changed.

    A file that does not exist, or cannot be read, is one that has changed when it can be read.

    Attributes:
        root: The folder.
        names: Their paths relative to it, in a fixed order.
        context: Further text that changes like a file's content.
    """

    root: Path
    names: Sequence[str]
    context: str = ""

    @property
    def exist(self) -> bool:
        """Whether there is any of them."""
        return any((self.root / name).exists() for name in self.names)

    @cached_property
    def stamp(self) -> str:
        """Changes whenever a file is written, added or removed; reads no content.

        It is computed once, and afterwards describes the files as they were then.
        """
        digest = hashlib.sha256(self.context.encode())
        for name in self.names:
            status = _status(os.path.join(self.root, name))
            digest.update(os.fsencode(name) + f"\0{status}\n".encode())
        return digest.hexdigest()

    @cached_property
    def contents(self) -> list[bytes]:
        """A digest of the content of each file; reads them all."""
        return self._read(lambda _: None)

    @cached_property
    def digest(self) -> str:
        """Changes with the names and the content alone, wherever the files are; reads them all."""
        digest = hashlib.sha256(self.context.encode())
        for name, of_file in zip(self.names, self.contents, strict=True):
            digest.update(os.fsencode(name) + b"\0" + of_file)
        return digest.hexdigest()

    def read(self, advance: Callable[[int], None]) -> None:
        """Reads the content of all files, unless that has been done.

        Args:
            advance: Is called with the number of files that have been read since the last call.
        """
        if "contents" not in self.__dict__:
            self.__dict__["contents"] = self._read(advance)

    def _read(self, advance: Callable[[int], None]) -> list[bytes]:
        _ = self.stamp  # first, so that a file written during the reading is noticed next time
        contents = []
        with ThreadPoolExecutor(NUM_READERS) as pool:
            for digest in pool.map(lambda name: content(self.root / name), self.names):
                contents.append(digest)
                advance(1)
        return contents


def _status(file: str) -> tuple[int, ...]:
    try:
        status = os.stat(file)
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_mode


def content(file: Path) -> bytes:
    """A digest of a file's content, or of why it cannot be read."""
    try:
        return bytes.fromhex(sha256(file))[:CONTENT_BYTES]
    except OSError as error:
        return f"cannot be read: {error.errno}".encode()
