"""An extraction that is not finished: its features, in parts that survive a killed process."""

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dal.errors import DataError
from dal.extraction.entry import FEATURES, FORMAT, LABELS, MANIFEST, NAMES, Entry
from dal.runtime import files


class Draft:
    """Features of which some parts are computed.

    Args:
        path: The folder of the parts.
        target: The folder of the entry that they become.
        settings: What two processes must have in common for their parts to be the same, bit for
            bit.
        sizes: Rows of each part.
    """

    def __init__(
        self, path: Path, target: Path, settings: Mapping[str, Any], sizes: Sequence[int]
    ) -> None:
        self.path = path
        self.target = target
        self.settings = settings
        self.sizes = sizes

    def open(self) -> None:
        """Makes the folder, and removes parts in it that were computed with other settings."""
        file = self.path / "settings.json"
        wanted = json.dumps(self.settings, sort_keys=True)
        with writing(self.path):
            if self.path.exists() and (not file.exists() or file.read_text() != wanted):
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            files.write_atomically(file, wanted)

    def missing(self) -> list[int]:
        """Numbers of the parts that are missing or damaged, ascending."""
        return [part for part in range(len(self.sizes)) if self._read(part) is None]

    def write(self, part: int, features: np.ndarray) -> None:
        """Keeps the features of a part, ``(rows, D)``.

        Raises:
            DataError: If it cannot be written.
        """
        file = self._file(part)
        # Through a stream: given a path, savez would add a suffix to it.
        with writing(file), files.replacement(file) as draft, draft.open("wb") as stream:
            np.savez(stream, features=features)  # an archive, which has a checksum

    def assemble(
        self,
        labels: np.ndarray | None,
        names: Sequence[str] | None,
        manifest: Mapping[str, Any],
    ) -> Entry:
        """Joins the parts to an entry of the cache, which appears at once, and removes them.

        Args:
            labels: ``(N,)``, if there are any.
            names: What the items are called, if they have names.
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
                shape, dtype = self._write_features(folder / FEATURES)
                if labels is not None:
                    np.save(folder / LABELS, labels)
                if names is not None:
                    lines = "".join(f"{name}\n" for name in names)
                    (folder / NAMES).write_text(lines, encoding="utf-8")
                complete = {
                    **manifest,
                    "format": FORMAT,
                    "shape": list(shape),
                    "dtype": dtype.name,
                    "files": {
                        name: {
                            "bytes": (folder / name).stat().st_size,
                            "sha256": files.sha256(folder / name),
                        }
                        for name in (FEATURES, LABELS, NAMES)
                        if (folder / name).exists()
                    },
                }
                (folder / MANIFEST).write_text(json.dumps(complete, indent=2) + "\n")
        files.remove_quietly(self.path)
        return Entry(self.target, complete)

    def _write_features(self, file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
        first = self._part(0)
        shape = (sum(self.sizes), first.shape[1])
        header = np.lib.format.header_data_from_array_1_0(first) | {
            "shape": shape,
            "fortran_order": False,
        }
        # Not into np.lib.format.open_memmap: on a full disk, a write to a map kills the process.
        with file.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for part in range(len(self.sizes)):  # one at a time: all may not fit in memory
                stream.write(self._part(part).tobytes())
        return shape, first.dtype

    def _part(self, part: int) -> np.ndarray:
        features = self._read(part)
        if features is None:
            raise DataError(
                f"Part {part} of the features in {self.path} is damaged. Run the same command "
                "again: the part is computed again."
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
