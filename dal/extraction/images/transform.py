"""Preprocessing of images: resize, centre crop, normalisation."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dal.errors import ConfigError, DataError, did_you_mean

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Of 16-bit and floating-point values it is unknown which one is white.
UNSCALED_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# With a shorter side of 256 pixels, the resized image then takes 200 MB.
MAX_ASPECT_RATIO = 1000


class Transform:
    """Resizes the image, crops the centre, and normalises: nothing is random.

    The same numbers, bit for bit, as transformers' ``BitImageProcessor``, with which DINOv2 is
    published. Processes that decode do the part that works on bytes (:meth:`pixels`), the network's
    device does the arithmetic (:meth:`normalized`).

    Args:
        resize: Length of the shorter side in pixels, at least ``crop``.
        crop: Side length of the square in pixels.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"`` or ``"lanczos"``.
        mean: Is subtracted from red, green and blue in [0, 1].
        std: They are divided by it afterwards.
        squash: Whether both sides become ``resize`` pixels, whatever the image's shape.

    Raises:
        ConfigError: If a number is out of range or ``interpolation`` unknown.
    """

    def __init__(
        self,
        resize: int = 256,
        crop: int = 224,
        interpolation: str = "bicubic",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        squash: bool = False,
    ) -> None:
        if not 1 <= crop <= resize:
            raise ConfigError(
                f"Expected `crop` in [1, resize = {resize}] pixels, got {crop}: a crop larger than "
                "the image would need padding."
            )
        if interpolation not in INTERPOLATIONS:
            raise ConfigError(
                f"Unknown `interpolation` '{interpolation}'. "
                f"{did_you_mean(interpolation, INTERPOLATIONS)}"
            )
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(
                "Expected a `mean` of three numbers and an `std` of three above 0, got "
                f"{list(mean)} and {list(std)}."
            )
        self.resize = resize
        self.crop = crop
        self.interpolation = interpolation
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.squash = squash

    def description(self) -> dict[str, object]:
        """Everything that the result depends on, in plain values."""
        return {
            "resize": self.resize,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
            **({"squash": True} if self.squash else {}),
        }

    def __str__(self) -> str:
        side = "both sides" if self.squash else "shorter side"
        return (
            f"{side} {self.resize} pixels ({self.interpolation}), centre "
            f"{self.crop} × {self.crop}, mean {list(self.mean)}, std {list(self.std)}"
        )

    def pixels(self, image: Image.Image) -> np.ndarray:
        """The cropped centre, ``(3, crop, crop)``, uint8.

        Args:
            image: An image of any 8-bit mode. Greyscale, palette and CMYK become RGB; transparency
                is dropped.

        Raises:
            DataError: If the image has 16 or 32 bits per channel, or is extremely long and thin.
        """
        if image.mode in UNSCALED_MODES:
            raise DataError(
                f"expected 8 bits per channel, got an image of mode {image.mode}; scale its values "
                "to 0 to 255 and convert it to mode L"
            )
        short, long = sorted(image.size)
        if long > MAX_ASPECT_RATIO * short:
            raise DataError(
                f"expected a ratio of the sides of at most {MAX_ASPECT_RATIO}, got {image.width} × "
                f"{image.height} pixels"
            )
        if image.mode != "RGB":
            image = image.convert("RGB")
        resized_long = self.resize * long // short
        if self.squash:
            size = self.resize, self.resize
        elif image.width <= image.height:
            size = self.resize, resized_long
        else:
            size = resized_long, self.resize
        image = image.resize(size, INTERPOLATIONS[self.interpolation])
        left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
        image = image.crop((left, top, left + self.crop, top + self.crop))
        return np.asarray(image).transpose(2, 0, 1)

    def normalized(self, pixels: Tensor) -> Tensor:
        """Normalised pixels, ``(..., 3, H, W)``, float32.

        Args:
            pixels: ``(..., 3, H, W)``, uint8, on any device.
        """
        # index_select, because general indexing takes ten times as long.
        channels = [
            values.index_select(0, channel.reshape(-1).int()).view(channel.shape)
            for values, channel in zip(
                self._table.to(pixels.device), pixels.unbind(-3), strict=True
            )
        ]
        return torch.stack(channels, -3)

    @cached_property
    def _table(self) -> Tensor:
        """The normalised value of each of the 256 bytes, by channel: ``(3, 256)``, float32."""
        # In this order and in these types, to round as the library does.
        scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
        mean = np.array(self.mean, np.float32)[:, None]
        std = np.array(self.std, np.float32)[:, None]
        return torch.from_numpy((scaled - mean) / std)
