"""Small JPEGs of images, for people to look at."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from dal.errors import DataError
from dal.extraction.images.transform import UNSCALED_MODES

QUALITIES = (85, 75, 65, 50, 35, 20)  # below, a smaller image shows more


@dataclass(frozen=True)
class Size:
    """How large a JPEG may be.

    Attributes:
        side: The longer side, in pixels.
        num_bytes: Of the file.
    """

    side: int
    num_bytes: int


THUMBNAIL = Size(side=320, num_bytes=30_000)
# In base64, which Label Studio needs and writes into cells of CSV, it stays below 131,072
# characters: that many Python's reader of CSV takes in a cell.
PICTURE = Size(side=1024, num_bytes=98_000)


def read(item: Mapping[str, Any], size: Size = THUMBNAIL) -> bytes:
    """A JPEG of an image file. A large JPEG is decoded at a fraction of its size.

    Args:
        item: The ``path`` or the ``bytes`` of the file, as ``ItemSplit.items`` have them.
        size: How large the result may be.

    Raises:
        DataError: If there is no image.
        OSError: If it cannot be read.
    """
    content, path = item.get("bytes"), item.get("path")
    source = path if content is None else io.BytesIO(content)
    if source is None:
        raise DataError("the row is empty")
    with Image.open(source) as image:
        scale = 1.5 * size.side / max(image.size)
        image.draft(None, (round(scale * image.width), round(scale * image.height)))
        return jpeg(image, size)


def jpeg(image: Image.Image, size: Size = THUMBNAIL) -> bytes:
    """An image as a JPEG that is upright, fits a size, and says nothing about the original.

    The image is made smaller, never larger, and its quality lower until the file fits. Equal pixels
    give equal bytes. What is transparent becomes white. Of values with more than 8 bits, where
    nobody knows which one is white, the lowest becomes black and the highest white.

    Args:
        image: Of any mode; of an animation, the frame it is at. It stays as it is.
        size: How large the result may be.

    Example:
        >>> small = jpeg(Image.new("RGBA", (4000, 3000)), Size(side=100, num_bytes=2_000))
        >>> len(small) <= 2_000, Image.open(io.BytesIO(small)).size
        (True, (100, 75))
    """
    upright = _in_eight_bits(ImageOps.exif_transpose(image))
    side = size.side
    while True:
        scale = min(1.0, side / max(upright.size))
        width, height = (max(1, round(scale * length)) for length in upright.size)
        shown = upright.resize((width, height), Image.Resampling.LANCZOS)
        for quality in QUALITIES:
            content = io.BytesIO()
            # Pillow would copy the original's comment, which may be long.
            shown.save(content, "JPEG", quality=quality, optimize=True, comment=b"")
            if content.tell() <= size.num_bytes or side == 1:
                return content.getvalue()
        side = max(1, side // 2)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB."""
    if image.mode in UNSCALED_MODES:
        return _stretched(image)
    if image.has_transparency_data:
        opaque = Image.new("RGB", image.size, "white")
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        opaque.paste(image, mask=image.getchannel("A"))
        return opaque
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, rgb, "LAB", "RGB")
        return ImageCms.applyTransform(image, transform) or image
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.float64)
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (high - low or 1)
    return Image.fromarray((255 * scaled).round().astype(np.uint8))
