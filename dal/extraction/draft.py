"""An extraction that is not finished: its features, in parts that survive a killed process."""

import dataclasses
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dal.errors import DataError
from dal.extraction.entry import FEATURES, FORMAT, IDS, LABELS, MANIFEST, Entry, encoded_ids
from dal.runtime import files


class Part(NamedTuple):
    """Consecutive items whose features are kept together.

    Attributes:
        key: Names the items: where they stay the same, the part can be used again.
        size: How many items it has.
    """

    key: str
    size: int


class PartContent(NamedTuple):
    """What is kept of a part.

    Attributes:
        features: ``(rows, D)``, of the items that could be read.
        broken: The rows in the part of the others.
        problems: Why these could not be read.
        num_cut: How many items are longer than the network takes.
    """

    features: np.ndarray
    broken: np.ndarray
    problems: np.ndarray
    num_cut: int


class BrokenItem(NamedTuple):
    """An item that could not be read.

    Attributes:
        row: Its row among the items.
        problem: Why it could not be read, with its name.
    """

    row: int
    problem: str


def split_evenly(num: int, num_rows: int, content: str) -> list[Part]:
    """Parts of ``num_rows`` items; the keys hold as long as no item changes.

    Args:
        num: How many items there are.
        num_rows: How many of them are a part.
        content: Names all of them.
    """
    return [
        Part(_key(f"{content} {start}".encode()), min(num_rows, num - start))
        for start in range(0, num, num_rows)
    ]


def split_by_content(contents: Sequence[bytes], num_rows: int) -> list[Part]:
    """Parts of about ``num_rows`` items, which end where the content of an item says so.

    So when an item is added, removed or changed, the parts that it is not in stay as they are: the
    next end of a part does not depend on how many items come before.

    Args:
        contents: A digest of the content of each item.
        num_rows: The mean size; the largest is four times, the smallest a quarter of it.
    """
    parts, start = [], 0
    for row, content in enumerate(contents):
        size = row + 1 - start
        is_end = size > num_rows // 4 and int.from_bytes(content[-4:]) % num_rows == 0
        if is_end or size == 4 * num_rows or row + 1 == len(contents):
            parts.append(Part(_key(b"".join(contents[start : row + 1])), size))
            start = row + 1
    return parts


def _key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


@dataclass(frozen=True)
class Draft:
    """Features of which some parts are computed.

    Attributes:
        path: The folder of the parts.
        target: The folder of the entry that they become.
        settings: What two processes must have in common for their parts to be the same, bit for
            bit.
        parts: All parts of the entry, in the order of the items.
        earlier: Features of which some parts may be used again, computed with the same settings.
        skip_broken: Whether items that cannot be read are left out of the entry.
    """

    path: Path
    target: Path
    settings: Mapping[str, Any]
    parts: Sequence[Part]
    earlier: Entry | None = None
    skip_broken: bool = False

    def open(self) -> None:
        """Makes the folder, and removes parts in it that were computed with other settings."""
        file = self.path / "settings.json"
        wanted = json.dumps(self.settings, sort_keys=True)
        with writing(self.path):
            if self.path.exists() and (not file.exists() or file.read_text() != wanted):
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            files.write_atomically(file, wanted)
        if self.earlier is not None:
            self._take_over(self.earlier)

    def _take_over(self, earlier: Entry) -> None:
        try:
            earlier.check()
        except DataError:
            return  # what is damaged is computed again
        known = {key for key, _ in earlier.manifest["parts"]}
        for number in self.missing():
            if self.parts[number].key in known:
                features = earlier.part(self.parts[number].key)
                if features is not None and len(features) == self.parts[number].size:
                    num_cut = earlier.manifest.get("cut", {}).get(self.parts[number].key, 0)
                    self.write(number, features, num_cut=num_cut)

    def missing(self) -> list[int]:
        """Numbers of the parts that are missing or damaged, ascending.

        Of parts with the same items, one is enough. A part with items that could not be read is
        missing, unless they are left out: the reason may have been in the machine.
        """
        numbers: dict[str, int] = {}
        for number, part in enumerate(self.parts):
            content = None if part.key in numbers else self._read(number)
            if content is None or (len(content.broken) and not self.skip_broken):
                numbers.setdefault(part.key, number)
        return list(numbers.values())

    def write(
        self,
        number: int,
        features: np.ndarray,
        problems: Mapping[int, str] | None = None,
        num_cut: int = 0,
    ) -> None:
        """Keeps the features of a part.

        Args:
            number: Of the part.
            features: ``(rows, D)``, of the items that could be read.
            problems: Why the others could not, by their row in the part.
            num_cut: How many items are longer than the network takes.

        Raises:
            DataError: If it cannot be written.
        """
        file = self._file(number)
        problems = problems or {}
        # Through a stream: given a path, savez would add a suffix to it.
        with writing(file), files.replacement(file) as draft, draft.open("wb") as stream:
            np.savez(  # an archive, which has a checksum
                stream,
                features=features,
                broken=np.array(list(problems), np.int64),
                problems=np.array(list(problems.values()), np.str_),
                num_cut=num_cut,
            )

    def broken(self) -> list[BrokenItem]:
        """The items that could not be read, in order."""
        found, start = [], 0
        for number, part in enumerate(self.parts):
            content = self._part(number)
            found += [
                BrokenItem(start + int(row), str(problem))
                for row, problem in zip(content.broken, content.problems, strict=True)
            ]
            start += part.size
        return found

    def num_cut(self) -> int:
        """How many items are longer than the network takes."""
        return sum(self._part(number).num_cut for number in range(len(self.parts)))

    def keep_readable(self, contents: Sequence[bytes]) -> None:
        """Keeps the features beside broken items for when these are removed.

        They are those of the part that the others will be then, unless the last one was broken.
        Their last bits may depend on the broken items, which have left gaps in batches.

        Args:
            contents: A digest of the content of each item.

        Raises:
            DataError: If a part is damaged, or cannot be written.
        """
        start = 0
        for number, part in enumerate(self.parts):
            content = self._part(number)
            if len(content.broken) and len(content.features):
                kept = np.delete(np.arange(part.size), content.broken).tolist()
                readable = Part(_key(b"".join(contents[start + row] for row in kept)), len(kept))
                alone = dataclasses.replace(self, parts=[readable])
                alone.write(0, content.features, num_cut=content.num_cut)
            start += part.size

    def assemble(
        self,
        labels: np.ndarray | None,
        ids: Sequence[str] | None,
        manifest: Mapping[str, Any],
    ) -> Entry:
        """Joins the parts to an entry of the cache, which appears at once, and removes them.

        Args:
            labels: ``(N,)``, if there are any, of the items that could be read.
            ids: What these are called, if they have names.
            manifest: What the manifest says of the entry, without its files.

        Memory: one part.

        Raises:
            DataError: If a part is damaged, or the entry cannot be written.
        """
        with writing(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            # Where files cannot be locked, another process may have finished it.
            files.remove_quietly(self.target)
            with files.replacement(self.target) as folder:
                folder.mkdir()
                sizes, num_features, dtype = self._write_features(folder / FEATURES)
                counts = [self._part(number).num_cut for number in range(len(self.parts))]
                cut = {part.key: num for part, num in zip(self.parts, counts, strict=True) if num}
                if labels is not None:
                    np.save(folder / LABELS, labels)
                if ids is not None:
                    (folder / IDS).write_text(encoded_ids(ids), encoding="utf-8")
                complete = {
                    **manifest,
                    "format": FORMAT,
                    "shape": [sum(sizes), num_features],
                    "dtype": dtype.name,
                    "settings": dict(self.settings),
                    "parts": [
                        [part.key, size] for part, size in zip(self.parts, sizes, strict=True)
                    ],
                    **({"cut": cut} if cut else {}),
                    "files": {
                        name: {
                            "bytes": (folder / name).stat().st_size,
                            "sha256": files.sha256(folder / name),
                        }
                        for name in (FEATURES, LABELS, IDS)
                        if (folder / name).exists()
                    },
                }
                (folder / MANIFEST).write_text(json.dumps(complete, indent=2) + "\n")
        files.remove_quietly(self.path)
        return Entry(self.target, complete)

    def _write_features(self, file: Path) -> tuple[list[int], int, np.dtype[Any]]:
        sizes, first = [], None
        for number in range(len(self.parts)):
            features = self._part(number).features
            sizes.append(len(features))
            first = features if first is None and len(features) else first
        if first is None:
            raise DataError("None of the items can be read.")
        header = np.lib.format.header_data_from_array_1_0(first) | {
            "shape": (sum(sizes), first.shape[1]),
            "fortran_order": False,
        }
        # Not into np.lib.format.open_memmap: on a full disk, a write to a map kills the process.
        with file.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for number in range(len(self.parts)):  # one at a time: all may not fit in memory
                stream.write(self._part(number).features.tobytes())
        return sizes, first.shape[1], first.dtype

    def _part(self, number: int) -> PartContent:
        content = self._read(number)
        if content is None:
            raise DataError(
                f"Part {number} of the features in {self.path} is damaged. Run the same command "
                "again: the part is computed again."
            )
        return content

    def _read(self, number: int) -> PartContent | None:
        try:
            with np.load(self._file(number)) as archive:
                num_cut = int(archive["num_cut"]) if "num_cut" in archive else 0
                content = PartContent(
                    archive["features"], archive["broken"], archive["problems"], num_cut
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if len(content.features) + len(content.broken) != self.parts[number].size:
            return None
        return content

    def _file(self, number: int) -> Path:
        return self.path / f"part-{self.parts[number].key}.npz"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the file system into a message for the user.

    Raises:
        DataError: If the body raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. What was finished before is kept. "
            "Make room or permit writing and run the same command again; or choose another place "
            "with cache_dir=DIR or DAL_CACHE."
        ) from error
