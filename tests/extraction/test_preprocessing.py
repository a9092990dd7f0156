"""The transform of a network from its own file, against what transformers makes of that file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from dal.errors import ConfigError, DataError
from dal.extraction import OwnTransform, Transform
from dal.extraction.images import preprocessing

MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
FILES: dict[str, dict[str, Any]] = {
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 28, "width": 28},
        "image_mean": MEAN,
        "image_std": STD,
    },
    "clip of old": {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 32,
        "crop_size": 32,
        "resample": 3,
    },
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}},
    "siglip": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 28, "width": 28},
        "resample": 3,
    },
    "deit": {
        "image_processor_type": "DeiTImageProcessor",
        "size": {"height": 40, "width": 40},
        "crop_size": {"height": 28, "width": 28},
    },
    "convnext": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_pct": 0.875,
    },
    "large convnext": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 384},
        "crop_pct": 1.0,
    },
    "dinov2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
        "image_mean": MEAN,
        "image_std": STD,
    },
    "not normalised": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "do_normalize": False,
    },
}


def written(folder: Path, content: dict[str, Any]) -> Path:
    (folder / preprocessing.FILE).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [(91, 60), (50, 120), (33, 33)])
def test_pixels_are_those_of_the_networks_own_processor(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    folder = written(tmp_path, FILES[name])
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    processor = AutoImageProcessor.from_pretrained(folder)
    expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
    transform, origin = OwnTransform().resolve(folder)
    assert "preprocessor_config.json" in origin
    found = transform.normalized(torch.tensor(transform.pixels(image)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_what_is_given_takes_its_place(tmp_path: Path) -> None:
    folder = written(tmp_path, FILES["clip"])
    transform, _ = OwnTransform(resize=64, mean=(0.0, 0.0, 0.0)).resolve(folder)
    assert transform.description() == {
        "resize": 64,
        "crop": 28,
        "interpolation": "bicubic",
        "mean": [0.0, 0.0, 0.0],
        "std": STD,
    }
    with pytest.raises(ConfigError, match="`crop` in"):
        OwnTransform(crop=99).resolve(folder)


def test_a_network_without_the_file_says_what_is_done_instead(tmp_path: Path) -> None:
    transform, origin = OwnTransform(resize=64, crop=56).resolve(tmp_path)
    assert transform.description() == Transform(64, 56).description()
    assert origin == "no preprocessor_config.json there, so as for DINOv2"


def test_a_processor_that_needs_another_library_is_read_from_its_file(tmp_path: Path) -> None:
    content = {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "size": {"height": 28, "width": 28},
        "resample": 2,
        "image_mean": MEAN,
        "image_std": STD,
    }
    transform, _ = OwnTransform().resolve(written(tmp_path, content))
    assert transform.description() == {
        "resize": 28,
        "crop": 28,
        "interpolation": "bilinear",
        "mean": MEAN,
        "std": STD,
        "squash": True,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"image_processor_type": "MobileViTImageProcessor"}, "do_flip_channel_order"),
        (FILES["vit"] | {"size": {"height": 32, "width": 16}}, "32 × 16 pixels"),
        (FILES["vit"] | {"rescale_factor": 1 / 127.5}, "rescale_factor of 0.0078"),
        (FILES["vit"] | {"do_rescale": False}, r"pixels in \[0, 255\]"),
        (FILES["vit"] | {"do_resize": False}, "no resizing"),
        (FILES["clip"] | {"do_center_crop": False}, "any shape"),
        ({"size": 3}, "Give all of the transform"),
    ],
)
def test_steps_that_cannot_be_done_are_named(
    content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"Cannot use .*preprocessor_config.json: .*{message}"):
        OwnTransform().resolve(written(tmp_path, content))


def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / preprocessing.FILE).write_text("{")
    with pytest.raises(DataError, match="Cannot use .*preprocessor_config.json"):
        OwnTransform().resolve(tmp_path)
