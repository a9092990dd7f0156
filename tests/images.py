"""A network, images and an extraction small enough for a test."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Dinov2Config, Dinov2Model

from dal.extraction import (
    Backbone,
    ExtractionListener,
    FeatureCache,
    FeatureExtractor,
    ItemSplit,
    Transform,
)
from dal.extraction.inference import Embedding
from dal.runtime.trainers import DEFAULT_TRAINER

CPU = partial(DEFAULT_TRAINER, accelerator="cpu")
SMALL = Transform(32, 28)


class Recorder(ExtractionListener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.splits: list[ItemSplit] = []
        self.num_computed = 0

    def say(self, message: str) -> None:
        self.messages.append(message)

    def started(self, split: ItemSplit, num_done: int) -> None:  # noqa: ARG002
        self.splits.append(split)

    def advanced(self, num: int) -> None:
        self.num_computed += num


def computed_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each batch that a network computes from now on."""
    sizes: list[int] = []
    original = Embedding.predict_step

    def predict_step(self: Embedding, batch: Any, number: int) -> torch.Tensor:
        features = original(self, batch, number)
        sizes.append(len(features))
        return features

    monkeypatch.setattr(Embedding, "predict_step", predict_step)
    return sizes


def extractor_of(weights: Path, cache: Path, **kwargs: Any) -> FeatureExtractor:
    """An extractor that rounds nothing, in one process on the CPU, with a recorder."""
    arguments: dict[str, Any] = {"dtype": "float32", "batch_size": 2, "num_workers": 0}
    arguments |= {"trainer": CPU} | kwargs
    backbone = Backbone(weights=weights, transform=SMALL)
    extractor = FeatureExtractor(backbone, FeatureCache(cache), **arguments)
    extractor.listener = Recorder()
    return extractor


def save_dinov2(folder: Path, seed: int = 0) -> Path:
    """A randomly initialised DINOv2 of two small layers, as `save_pretrained` writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = Dinov2Config(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
        )
        Dinov2Model(config).save_pretrained(folder)
    return folder


def save_images(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Images of odd sizes and formats in one folder for each class; a class is a colour."""
    rng = np.random.default_rng(seed)
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            width, height = rng.integers(3, 40, 2)
            colour = np.zeros(3)
            colour[label % 3] = 200
            pixels = rng.integers(0, 56, (height, width, 3)) + colour
            suffix = ("png", "jpg", "bmp")[number % 3]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03d}.{suffix}")
    return folder
