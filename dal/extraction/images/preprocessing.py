"""The transform that a network was published with, from its ``preprocessor_config.json``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dal.errors import DataError
from dal.extraction import weights
from dal.extraction.images.transform import INTERPOLATIONS, Transform

FILE = "preprocessor_config.json"
RESCALE = 1 / 255

# Steps that Transform does not have, by what they are called in the file.
OTHER_STEPS = ("do_flip_channel_order", "do_pad", "do_thumbnail", "rescale_offset")


class OwnTransform:
    """The transform that a network was published with. What is given here takes its place.

    Without the file, what is not given is as DINOv2's evaluation transform, and is said to be.

    Args:
        resize: As in :class:`Transform`, and so are the others.
        crop: Side length of the square.
        interpolation: How pixels are interpolated.
        mean: Of red, green and blue.
        std: Of red, green and blue.
        squash: Whether the image becomes a square as a whole.
    """

    def __init__(
        self,
        resize: int | None = None,
        crop: int | None = None,
        interpolation: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        squash: bool | None = None,
    ) -> None:
        given = {
            "resize": resize,
            "crop": crop,
            "interpolation": interpolation,
            "mean": mean,
            "std": std,
            "squash": squash,
        }
        self.given: dict[str, Any] = {
            key: value for key, value in given.items() if value is not None
        }
        self.resize = resize
        self.crop = crop

    def description(self) -> dict[str, Any]:
        """What is given, in plain values."""
        return {"own": True, **{key: _plain(value) for key, value in self.given.items()}}

    def resolve(self, folder: Path) -> tuple[Transform, str]:
        """The transform of the network in a folder, and where it is from, in words.

        Raises:
            DataError: If the file asks for a step that :class:`Transform` does not have.
            ConfigError: If what is given is out of range, or does not fit.
        """
        file = folder / FILE
        if not file.is_file():
            return Transform(**self.given), f"no {FILE} there, so as for DINOv2"
        return Transform(**{**read(file), **self.given}), f"as in its {FILE}"


def read(file: Path) -> dict[str, Any]:
    """The arguments of :class:`Transform` that a ``preprocessor_config.json`` amounts to.

    Raises:
        DataError: If it cannot be read, or asks for a step that there is no argument for.
    """
    try:
        steps = _complete(file)
        return _arguments(steps)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"Cannot use {file}: {error}. Give all of the transform instead, with "
            "backbone.transform._target_=dal.extraction.Transform and backbone.transform.resize, "
            "crop, interpolation, mean, std and squash."
        ) from error


def _complete(file: Path) -> dict[str, Any]:
    """The steps in the file, with the defaults of the class that it names."""
    steps: dict[str, Any] = json.loads(file.read_text("utf-8"))
    import transformers

    try:
        with weights.quiet_library():
            processor = transformers.AutoImageProcessor.from_pretrained(
                str(file.parent), local_files_only=True
            )
    except (ImportError, OSError, ValueError):
        return steps  # an old or very new name, or one that needs torchvision: the file may do
    return dict(processor.to_dict())


def _arguments(steps: Mapping[str, Any]) -> dict[str, Any]:
    for name in OTHER_STEPS:
        if steps.get(name):
            raise ValueError(f"it asks for {name}, which is not supported")
    if steps.get("do_rescale", True) and abs(steps.get("rescale_factor", RESCALE) - RESCALE) > 1e-9:
        raise ValueError(f"it asks for a rescale_factor of {steps['rescale_factor']}, not 1/255")
    if not steps.get("do_rescale", True):
        raise ValueError("it asks for pixels in [0, 255]")
    if not steps.get("do_resize", True):
        raise ValueError("it asks for no resizing, and the network for images of one size")
    resize, crop, is_squashed = _sizes(steps)
    normalizes = steps.get("do_normalize", "image_mean" in steps)
    names = {int(filter_): name for name, filter_ in INTERPOLATIONS.items()}
    return {
        "resize": resize,
        "crop": crop,
        "interpolation": names[int(steps.get("resample", 2))],
        "mean": tuple(steps["image_mean"]) if normalizes else (0.0, 0.0, 0.0),
        "std": tuple(steps["image_std"]) if normalizes else (1.0, 1.0, 1.0),
        "squash": is_squashed,
    }


def _sizes(steps: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Size after resizing, size after cropping, and whether the shape is given up."""
    size = steps["size"]
    if isinstance(size, int):
        size = {"shortest_edge": size}
    crops = steps.get("do_center_crop", steps.get("crop_size") is not None)
    if "shortest_edge" in size and size.get("longest_edge") is None:
        resize, is_squashed = int(size["shortest_edge"]), False
        share = steps.get("crop_pct")
        if share is not None:  # ConvNeXt: up to 384 pixels, a part of a larger image
            if resize >= 384:
                return resize, resize, True
            return int(resize / share), resize, False
    else:
        resize, is_squashed = _square(size), True
    if not crops:
        if not is_squashed:
            raise ValueError("it asks for images of any shape, which do not make a batch")
        return resize, resize, True
    crop = steps["crop_size"]
    return resize, crop if isinstance(crop, int) else _square(crop), is_squashed


def _square(size: Mapping[str, int]) -> int:
    if size["height"] != size["width"]:
        raise ValueError(f"it asks for {size['height']} × {size['width']} pixels, not for a square")
    return int(size["height"])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
