"""Features of one split in the cache: complete, and checked when they are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dal.errors import DataError
from dal.runtime import files

FORMAT = 1  # of an entry's folder; another number gives all content another address
FEATURES, LABELS, NAMES, MANIFEST = "features.npy", "labels.npy", "names.txt", "manifest.json"


@dataclass(frozen=True)
class Entry:
    """Features of one split in the cache.

    Attributes:
        path: Their folder.
        manifest: What they are: ``content``, ``shape``, ``dtype``, ``class_names``, ``files`` with
            sizes and checksums, ``provenance``.
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
        for name, expected in self.manifest["files"].items():
            self._check(self.path / name, expected)
        # Copy-on-write, because torch warns about a read-only array.
        features = torch.from_numpy(np.load(self.path / FEATURES, mmap_mode="c"))
        if LABELS not in self.manifest["files"]:
            return features, None
        return features, torch.from_numpy(np.load(self.path / LABELS))

    def names(self) -> list[str] | None:
        """What the items are called, by row; None if they have no names."""
        if NAMES not in self.manifest["files"]:
            return None
        # Not splitlines(), which also ends a line at characters that a file name may have.
        return (self.path / NAMES).read_text(encoding="utf-8").split("\n")[:-1]

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
