"""From an image to the pixels that a network takes."""

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

# Of one 16-bit or floating-point value nobody knows what white is.
UNSCALED_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# At 256 pixels a side this is an intermediate image of 200 MB.
MAX_ASPECT_RATIO = 1000


class Transform:
    """Shorter side to ``resize``, centre crop of ``crop``, normalisation: no randomness.

    The same numbers, bit for bit, as transformers' ``BitImageProcessor``, with which DINOv2 is
    published. The part that works on bytes (:meth:`pixels`) is for the processes that decode, the
    arithmetic (:meth:`normalized`) for the network's device.

    Args:
        resize: Length of the shorter side in pixels, at least ``crop``.
        crop: Side of the square in pixels.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"`` or ``"lanczos"``.
        mean: Subtracted from red, green and blue in [0, 1].
        std: What they are divided by then.

    Raises:
        ConfigError: If a number is out of range or the interpolation unknown.
    """

    def __init__(
        self,
        resize: int = 256,
        crop: int = 224,
        interpolation: str = "bicubic",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
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

    def description(self) -> dict[str, object]:
        """Everything that its result depends on, in plain values."""
        return {
            "resize": self.resize,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def pixels(self, image: Image.Image) -> np.ndarray:
        """The crop, ``(3, crop, crop)``, uint8.

        Args:
            image: Of any 8-bit mode; greyscale, palette and CMYK become RGB, transparency is
                dropped.

        Raises:
            DataError: If the image is of 16 or 32 bits a channel, or extremely long and thin.
        """
        if image.mode in UNSCALED_MODES:
            raise DataError(
                f"expected 8 bits a channel, got an image of mode {image.mode}; scale it to 8 bits"
            )
        short, long = sorted(image.size)
        if long > MAX_ASPECT_RATIO * short:
            raise DataError(
                f"expected sides in a ratio below {MAX_ASPECT_RATIO}, got {image.width} × "
                f"{image.height} pixels"
            )
        if image.mode != "RGB":
            image = image.convert("RGB")
        resized_long = self.resize * long // short
        if image.width <= image.height:
            size = self.resize, resized_long
        else:
            size = resized_long, self.resize
        image = image.resize(size, INTERPOLATIONS[self.interpolation])
        left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
        image = image.crop((left, top, left + self.crop, top + self.crop))
        return np.asarray(image).transpose(2, 0, 1)

    def normalized(self, pixels: Tensor) -> Tensor:
        """What the network takes, ``(..., 3, H, W)``, float32.

        Args:
            pixels: ``(..., 3, H, W)``, uint8, on any device.
        """
        # Not table[...][pixels]: general indexing takes ten times as long.
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
        # In this order and these types, since it is how the library rounds.
        scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
        mean = np.array(self.mean, np.float32)[:, None]
        std = np.array(self.std, np.float32)[:, None]
        return torch.from_numpy((scaled - mean) / std)
