"""A network and images small enough for a test."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import Dinov2Config, Dinov2Model


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
    """Images of odd sizes and formats in a folder a class; a class is a colour."""
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
