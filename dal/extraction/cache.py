"""Features on disk, computed once: found by what was asked for, kept by what they were made of.

::

    index/<request>.json       which content a request (names, revisions, split, ...) led to
    features/<content>/        features.npy, labels.npy, names.txt, manifest.json: whole, or absent
    drafts/<content>/          parts of an extraction under way, or of one that was killed
    locks/                     who is at work on what

A content is named by a hash of the network's weights, the transform, the images and the type of
the numbers. A request only names them, so answering it from the cache takes neither weights nor
images; if these are on the machine and are the user's own files, they are looked at for changes.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dal.errors import DataError
from dal.extraction.progress import Reporter
from dal.runtime import files
from dal.runtime.files import LocalFiles

FORMAT = 1  # of the folder; a change of it makes every old content another one
ENVIRONMENT = "DAL_CACHE"
FEATURES, LABELS, NAMES, MANIFEST = "features.npy", "labels.npy", "names.txt", "manifest.json"
POLL_SECONDS = 0.5


def default_path() -> Path:
    """``$DAL_CACHE``, or the user's cache folder."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dal"


def address(description: Mapping[str, Any]) -> str:
    """A name for what a description describes, 32 hexadecimal digits.

    Example:
        >>> address({"a": 1, "b": 2}) == address({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """Features of one split in the cache.

    Attributes:
        path: Their folder.
        manifest: What they are: ``content``, ``shape``, ``class_names``, ``files`` with sizes and
            checksums, ``provenance``.
    """

    path: Path
    manifest: dict[str, Any]

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.manifest["shape"][0])

    def load(self) -> tuple[Tensor, Tensor | None]:
        """Features ``(N, D)``, memory-mapped, and labels ``(N,)`` or None; checked first.

        Memory: none to speak of. The files are read through once, for their checksums.

        Raises:
            DataError: If a file is missing, truncated or changed.
        """
        for name, expected in self.manifest["files"].items():
            self._check(self.path / name, expected)
        # Copy-on-write, since torch warns of a map that it could not write to.
        features = torch.from_numpy(np.load(self.path / FEATURES, mmap_mode="c"))
        if LABELS not in self.manifest["files"]:
            return features, None
        return features, torch.from_numpy(np.load(self.path / LABELS))

    def names(self) -> list[str] | None:
        """What the images are called, by row; None if they have no names."""
        if NAMES not in self.manifest["files"]:
            return None
        return (self.path / NAMES).read_text().splitlines()

    def _check(self, file: Path, expected: Mapping[str, Any]) -> None:
        repair = f"Delete the folder {self.path} and run again: its features are computed anew."
        try:
            size = file.stat().st_size
            if size != expected["bytes"]:
                raise DataError(
                    f"The feature cache is damaged: expected {expected['bytes']} bytes in {file}, "
                    f"got {size}. {repair}"
                )
            if files.sha256(file) != expected["sha256"]:
                raise DataError(
                    f"The feature cache is damaged: the content of {file} is not what was written "
                    f"(SHA-256 {expected['sha256'][:12]}… expected). {repair}"
                )
        except OSError as error:
            raise DataError(
                f"The feature cache is damaged: cannot read {file} ({error.strerror or error}). "
                f"{repair}"
            ) from error


class Draft:
    """Features of which parts are there.

    Args:
        path: Its folder.
        settings: What two processes must share for their parts to be the same, bit for bit.
        sizes: Rows of each part.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], sizes: Sequence[int]) -> None:
        self.path = path
        self.settings = settings
        self.sizes = sizes

    def open(self) -> None:
        """Makes the folder, without the parts of other settings that may lie there."""
        file = self.path / "settings.json"
        wanted = json.dumps(self.settings, sort_keys=True)
        with _writing(self.path):
            if self.path.exists() and (not file.exists() or file.read_text() != wanted):
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            files.write_atomically(file, wanted)

    def missing(self) -> list[int]:
        """Numbers of the parts that are not there, ascending."""
        return [part for part in range(len(self.sizes)) if self._read(part) is None]

    def write(self, part: int, features: np.ndarray) -> None:
        """Keeps the features of a part, ``(rows, D)``.

        Raises:
            DataError: If there is no room for it.
        """
        file = self._file(part)
        draft = file.with_suffix(".tmp")
        with _writing(file):
            with open(draft, "wb") as stream:
                np.savez(stream, features=features)  # an archive with a checksum
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, file)

    def assemble(
        self,
        target: Path,
        labels: np.ndarray | None,
        names: Sequence[str] | None,
        manifest: Mapping[str, Any],
    ) -> Entry:
        """Makes one entry of the parts and the cache show it, at once.

        Args:
            target: The entry's folder.
            labels: ``(N,)``, if there are any.
            names: What the images are called, if anything.
            manifest: What the entry says of itself, beside its files.

        Raises:
            DataError: If a part is damaged or there is no room.
        """
        whole = self.path / "whole"
        with _writing(target):
            shutil.rmtree(whole, ignore_errors=True)
            whole.mkdir()
            shape, dtype = self._write_features(whole / FEATURES)
            if labels is not None:
                array = io.BytesIO()
                np.save(array, labels)
                files.write_atomically(whole / LABELS, array.getvalue())
            if names is not None:
                files.write_atomically(whole / NAMES, "".join(f"{name}\n" for name in names))
            written = [name for name in (FEATURES, LABELS, NAMES) if (whole / name).exists()]
            complete = {
                **manifest,
                "format": FORMAT,
                "shape": list(shape),
                "dtype": dtype.name,
                "files": {
                    name: {
                        "bytes": (whole / name).stat().st_size,
                        "sha256": files.sha256(whole / name),
                    }
                    for name in written
                },
            }
            files.write_atomically(whole / MANIFEST, json.dumps(complete, indent=2) + "\n")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(whole, target)
        shutil.rmtree(self.path, ignore_errors=True)
        return Entry(target, complete)

    def _write_features(self, file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
        first = self._part(0)
        shape, dtype = (sum(self.sizes), first.shape[1]), first.dtype
        with open(file, "wb") as stream:
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": shape,
            }
            np.lib.format.write_array_header_1_0(stream, header)
            for part in range(len(self.sizes)):  # one at a time: the whole may not fit in memory
                stream.write(self._part(part).tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        return shape, dtype

    def _part(self, part: int) -> np.ndarray:
        features = self._read(part)
        if features is None:
            raise DataError(
                f"Part {part} of the features in {self.path} is damaged. Run the same command "
                "again: the part is computed anew."
            )
        return features

    def _read(self, part: int) -> np.ndarray | None:
        try:
            with np.load(self._file(part)) as archive:
                features: np.ndarray = archive["features"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return features if len(features) == self.sizes[part] else None

    def _file(self, part: int) -> Path:
        return self.path / f"part-{part:06d}.npz"


class FeatureCache:
    """Features by request and by content, in one folder that processes and machines may share.

    Args:
        path: The folder; ``$DAL_CACHE`` or the user's cache folder if not given.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_path() if path is None else Path(path).expanduser().absolute()

    def find(
        self, request: Mapping[str, Any], present: Sequence[LocalFiles], reporter: Reporter
    ) -> Entry | None:
        """The features that a request led to before, if nothing has changed since.

        Args:
            request: What is asked for, by name.
            present: The user's own files that the request names, as far as they are there.
            reporter: Is told when they have changed.

        Raises:
            DataError: If the cache is damaged there.
        """
        file = self._index_file(request)
        try:
            index = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(
                f"The feature cache is damaged: cannot read {file} ({error}). Delete it and run "
                "again."
            ) from error
        stamps = index["local"]
        renewed = dict(stamps)
        for local in present:
            root, known = str(local.root), stamps.get(str(local.root))
            if known is None or known["stamp"] == local.stamp:
                continue
            if known["digest"] != local.digest:
                reporter.say(
                    f"The files in {root} have changed since their features were computed; "
                    "computing them anew."
                )
                return None
            renewed[root] = {"stamp": local.stamp, "digest": known["digest"]}
        if renewed != stamps:  # only touched: next time a look at the dates shall be enough
            self._write_index(file, {**index, "local": renewed})
        return self.entry(index["content"])

    def entry(self, content: str) -> Entry | None:
        """The features of a content, if they are there.

        Raises:
            DataError: If their manifest is damaged.
        """
        path = self.path / "features" / content
        if not path.exists():
            return None
        file = path / MANIFEST
        try:
            manifest = json.loads(file.read_text())
            if not {"shape", "files", "content"} <= manifest.keys():
                raise ValueError("it is incomplete")
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(
                f"The feature cache is damaged: cannot read {file} ({error}). Delete the folder "
                f"{path} and run again: its features are computed anew."
            ) from error
        return Entry(path, manifest)

    def remember(
        self, request: Mapping[str, Any], content: str, present: Sequence[LocalFiles]
    ) -> None:
        """Lets a request lead to a content from now on.

        Args:
            request: What was asked for.
            content: The address of what it led to.
            present: The user's own files that went into it.

        Raises:
            DataError: If it cannot be written.
        """
        local = {
            str(entry.root): {"stamp": entry.stamp, "digest": entry.digest} for entry in present
        }
        file = self._index_file(request)
        with _writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            index = {"request": request, "content": content, "local": local}
            files.write_atomically(file, json.dumps(index, indent=2) + "\n")

    def draft(self, content: str, settings: Mapping[str, Any], sizes: Sequence[int]) -> Draft:
        """Where the parts of a content are collected."""
        return Draft(self.path / "drafts" / content, settings, sizes)

    def assemble(
        self,
        draft: Draft,
        content: str,
        labels: np.ndarray | None,
        names: Sequence[str] | None,
        manifest: Mapping[str, Any],
    ) -> Entry:
        """Makes the finished parts of a content visible: see :meth:`Draft.assemble`."""
        return draft.assemble(self.path / "features" / content, labels, names, manifest)

    @contextmanager
    def lock(self, name: str, what: str, reporter: Reporter) -> Iterator[None]:
        """Lets one process at a time work on something; the others wait, and say so.

        Args:
            name: Of the lock, an address.
            what: What is worked on, for people.
            reporter: Is told what is waited for.

        Raises:
            DataError: If the cache cannot be written to.
        """
        file = self.path / "locks" / name
        with _writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._wait(descriptor, file, what, reporter)
            # For those who wait. The lock itself is the kernel's and ends with this process.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _wait(self, descriptor: int, file: Path, what: str, reporter: Reporter) -> None:
        has_said = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not has_said:
                    holder = file.read_text() or "another process"
                    reporter.say(f"Waiting for {holder}, which is computing {what}.")
                    has_said = True
                time.sleep(POLL_SECONDS)
            except OSError as error:  # a network file system may have no locks
                warnings.warn(
                    f"{file} cannot be locked ({error.strerror or error}): make sure that no "
                    "second process computes the same features.",
                    stacklevel=2,
                )
                return

    def _index_file(self, request: Mapping[str, Any]) -> Path:
        return self.path / "index" / f"{address(request)}.json"

    def _write_index(self, file: Path, index: Mapping[str, Any]) -> None:
        try:
            files.write_atomically(file, json.dumps(index, indent=2) + "\n")
        except OSError:
            return  # a cache that may only be read serves as well


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into a message."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. What was finished before is kept. "
            "Make room or permit writing and run the same command again; or choose another place "
            f"with cache_dir=DIR or {ENVIRONMENT}."
        ) from error
