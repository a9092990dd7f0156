"""A network for texts that needs no weights: it counts letters."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dal.errors import DataError
from dal.extraction import Encoder, FeatureCache, FeatureExtractor
from dal.runtime.files import LocalFiles
from tests.images import CPU, Recorder

BACKBONE = "_target_: tests.letters.Letters\n"


class LetterReader:
    """Counts each letter of a text."""

    def read(self, item: str) -> np.ndarray:
        if not item.strip():
            raise DataError("it is empty")
        return np.array([item.lower().count(letter) for letter in string.ascii_lowercase])

    def collate(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))


class LetterEncoder(Encoder):
    """The counts as features."""

    def __init__(self) -> None:
        super().__init__(LetterReader())

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.float() + 0.5

    def description(self) -> dict[str, Any]:
        return {"network": "letters"}


class Letters:
    """The network before it is loaded."""

    noun = "text"

    def request(self) -> dict[str, Any]:
        return {"name": "letters"}

    def local_files(self) -> list[LocalFiles]:
        return []

    def load(self) -> LetterEncoder:
        return LetterEncoder()


def letter_extractor(cache: Path, **kwargs: Any) -> FeatureExtractor:
    """An extractor that rounds nothing, in one process on the CPU, with a recorder."""
    arguments: dict[str, Any] = {"dtype": "float32", "num_workers": 0, "trainer": CPU} | kwargs
    extractor = FeatureExtractor(Letters(), FeatureCache(cache), **arguments)
    extractor.listener = Recorder()
    return extractor


def save_backbone(folder: Path) -> Path:
    """A folder of configuration, for ``--config-dir``, with the option ``backbone=letters``."""
    (folder / "backbone").mkdir(parents=True)
    (folder / "backbone" / "letters.yaml").write_text(BACKBONE)
    return folder
