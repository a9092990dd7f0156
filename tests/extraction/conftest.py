"""Sources of images whose features are computed in small parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dal.data import Embedded, ImageFolder
from dal.extraction import extractor
from tests.images import Recorder, extractor_of

Make = Callable[..., Embedded]


def folder_of(images: Path, weights: Path, cache: Path, **kwargs: Any) -> Embedded:
    return Embedded(ImageFolder(images), extractor_of(weights, cache, **kwargs))


@pytest.fixture
def make(images: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a source of 17 train and 5 test images, extracted in parts of about 4 rows."""
    monkeypatch.setattr(extractor, "PART_ROWS", 4)
    return lambda cache="cache", **kwargs: folder_of(images, weights, tmp_path / cache, **kwargs)


def recorder_of(source: Embedded) -> Recorder:
    assert isinstance(source.extractor.listener, Recorder)
    return source.extractor.listener


def features_of(source: Embedded, split: str = "train") -> np.ndarray:
    return source.entry(split).load()[0].numpy()
