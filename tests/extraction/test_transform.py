import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

from dal.errors import ConfigError, DataError
from dal.extraction.images.transform import IMAGENET_MEAN, IMAGENET_STD, Transform

SIZES = [(1, 1), (7, 900), (32, 32), (224, 500), (255, 257), (256, 256), (333, 257), (1025, 3)]
MODES = ["RGB", "L", "CMYK", "P", "1", "YCbCr", "RGBA"]


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def processor(resize: int, crop: int) -> BitImageProcessorPil:
    return BitImageProcessorPil(
        size={"shortest_edge": resize},
        crop_size={"height": crop, "width": crop},
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_bits_are_those_of_the_library(size: tuple[int, int], mode: str) -> None:
    image = noise(size, mode)
    expected = processor(256, 224)(images=image, return_tensors="pt")["pixel_values"][0]
    transform = Transform()
    pixels = transform.pixels(image)
    assert pixels.dtype == np.uint8
    assert torch.equal(transform.normalized(torch.tensor(pixels)), expected)


@pytest.mark.parametrize(("resize", "crop"), [(224, 224), (37, 28), (512, 448)])
def test_other_sizes(resize: int, crop: int) -> None:
    image = noise((91, 60))
    expected = processor(resize, crop)(images=image, return_tensors="pt")["pixel_values"]
    transform = Transform(resize, crop)
    batch = torch.tensor(transform.pixels(image))[None]
    assert torch.equal(transform.normalized(batch), expected)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_images_of_16_bits_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match=f"8 bits per channel, got an image of mode {mode}"):
        Transform().pixels(Image.new(mode, (8, 8)))


def test_an_extremely_thin_image_is_refused() -> None:
    with pytest.raises(DataError, match="1 × 2000 pixels"):
        Transform().pixels(Image.new("L", (1, 2000)))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"crop": 300}, r"`crop` in \[1, resize = 256\]"),
        ({"crop": 0}, "`crop`"),
        ({"interpolation": "bicubik"}, "Did you mean 'bicubic'"),
        ({"std": (1.0, 0.0, 1.0)}, "`std` of three above 0"),
        ({"mean": (0.5,)}, "`mean` of three numbers"),
    ],
)
def test_arguments_are_checked(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Transform(**kwargs)  # type: ignore[arg-type]
