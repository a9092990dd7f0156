"""Features of one split in the cache: complete, and checked when they are loaded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dal.errors import DataError
from dal.runtime import files, memory_maps

FORMAT = 1  # of an entry's folder; another number gives all content another address
FEATURES, LABELS, IDS, MANIFEST = "features.npy", "labels.npy", "ids.jsonl", "manifest.json"
OLD_IDS = "names.txt"  # of entries before that: a line for each id


def encoded_ids(ids: Sequence[str]) -> str:
    """The content of a file of ids: a JSON string in each line, whatever is in the ids."""
    return "".join(f"{json.dumps(name, ensure_ascii=False)}\n" for name in ids)


@dataclass(frozen=True)
class Entry:
    """Features of one split in the cache.

    Attributes:
        path: Their folder.
        manifest: What they are: ``content``, ``summary``, ``shape``, ``dtype``, ``class_names``,
            ``left_out`` (items that could not be read), ``num_cut`` (items that were too long),
            ``parts`` with their rows, ``cut`` with the number for each part where it is not 0,
            ``files`` with sizes and checksums, ``provenance``.
    """

    path: Path
    manifest: dict[str, Any]

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.manifest["shape"][0])

    def load(self) -> tuple[Tensor, Tensor | None]:
        """Features ``(N, D)``, memory-mapped, and labels ``(N,)`` or None; checked first.

        Memory: next to none. The files are read once from end to end, for their checksums.

        Raises:
            DataError: If a file is missing, truncated or changed.
        """
        self.check()
        # Copy-on-write, because torch warns about a read-only array.
        features = memory_maps.tensor(np.load(self.path / FEATURES, mmap_mode="c"))
        if LABELS not in self.manifest["files"]:
            return features, None
        return features, torch.from_numpy(np.load(self.path / LABELS))

    def check(self) -> None:
        """Reads all files and compares their checksums.

        Raises:
            DataError: If a file is missing, truncated or changed.
        """
        for name, expected in self.manifest["files"].items():
            self._check(self.path / name, expected)

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes, by label, if they have names."""
        return self.manifest.get("class_names")

    @property
    def summary(self) -> str:
        """What was understood of the items, in a few words."""
        return str(self.manifest.get("summary", f"{len(self):,} rows"))

    def ids(self) -> list[str] | None:
        """What the items are called, by row; None if they have no names."""
        if IDS in self.manifest["files"]:
            # Not splitlines(), which also ends a line at characters that a name may have.
            lines = (self.path / IDS).read_text(encoding="utf-8").split("\n")[:-1]
            return [json.loads(line) for line in lines]
        if OLD_IDS in self.manifest["files"]:
            return (self.path / OLD_IDS).read_text(encoding="utf-8").split("\n")[:-1]
        return None

    def part(self, key: str) -> np.ndarray | None:
        """The features of a part that was computed under this key, if it was."""
        start = 0
        for known, num_rows in self.manifest.get("parts", ()):
            if known == key:
                features: np.ndarray = np.load(self.path / FEATURES, mmap_mode="r")
                return features[start : start + num_rows]
            start += num_rows
        return None

    def _check(self, file: Path, expected: Mapping[str, Any]) -> None:
        repair = (
            f"Delete the folder {self.path} and run again: its features are computed from scratch."
        )
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
