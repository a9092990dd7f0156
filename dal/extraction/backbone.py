"""A frozen image network: pixels of an image, read in worker processes, to features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import encoder, weights
from dal.extraction.encoder import Encoder
from dal.extraction.transform import Transform
from dal.extraction.weights import Weights
from dal.runtime.files import LocalFiles

OUTPUTS = ("pooler", "cls")


class ImageReader:
    """Decodes images to pixels.

    Args:
        transform: Resizes and crops them.
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def read(self, item: dict[str, Any] | None) -> np.ndarray:
        """Pixels ``(3, H, W)``, uint8, upright where the camera noted how it was held.

        Args:
            item: The path or the bytes of an image file, as ``datasets.Image(decode=False)`` gives
                them.

        Raises:
            DataError: If there is no image, or one that the transform refuses.
        """
        from datasets import Image

        if not item or (item.get("bytes") is None and item.get("path") is None):
            raise DataError("the row is empty")
        return self.transform.pixels(Image().decode_example(item))

    def collate(self, arrays: Sequence[np.ndarray]) -> Tensor:
        """A batch ``(N, 3, H, W)``, uint8."""
        # Into an array of its own: left to itself, stack would keep the order of a decoder's bytes,
        # and a network may round differently on pixels in another order.
        batch = np.empty((len(arrays), *arrays[0].shape), np.uint8)
        return torch.from_numpy(np.stack(arrays, out=batch))


class ImageEncoder(Encoder):
    """Pixels to features.

    Args:
        model: A transformers model that takes ``pixel_values``.
        transform: What comes before it.
        output: As in :class:`Backbone`.
    """

    def __init__(self, model: nn.Module, transform: Transform, output: str) -> None:
        super().__init__(ImageReader(transform))
        self.model = model
        self.transform = transform
        self.output = output

    def forward(self, batch: Tensor) -> Tensor:
        """Features ``(N, D)``, float32, of pixels ``(N, 3, H, W)``, uint8."""
        with encoder.autocast(batch.device):
            outputs = self.model(pixel_values=self.transform.normalized(batch))
            if self.output == "cls":
                return cast(Tensor, outputs.last_hidden_state[:, 0].float())
            return cast(Tensor, outputs.pooler_output.float())

    def description(self) -> dict[str, Any]:
        """A hash of the weights, the output and the transform."""
        return {
            "weights": weights.content_hash(self.model),
            "output": self.output,
            "transform": self.transform.description(),
        }


class Backbone:
    """A frozen image network of the transformers library.

    Args:
        id: Its name on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        weights: A folder that ``save_pretrained`` or ``hf download`` has written, instead.
        output: ``"pooler"`` takes ``pooler_output``, for DINOv2 the class token after the last
            layer norm; ``"cls"`` the first token of ``last_hidden_state``.
        architecture: The class of transformers that loads it.
        transform: What happens to an image before; DINOv2's evaluation transform if not given.

    Raises:
        ConfigError: If neither ``id`` nor ``weights`` is given, or ``output`` is unknown.

    References:
        Oquab et al. (2024), "DINOv2: Learning robust visual features without supervision".
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002
        revision: str = "main",
        weights: str | Path | None = None,
        output: str = "pooler",
        architecture: str = "AutoModel",
        transform: Transform | None = None,
    ) -> None:
        if output not in OUTPUTS:
            raise ConfigError(f"Unknown `output` '{output}'. {did_you_mean(output, OUTPUTS)}")
        self.weights = Weights(id, revision, weights, architecture)
        self.output = output
        self.transform = transform or Transform()

    def request(self) -> dict[str, Any]:
        """The names on the hub or the path, the output and the transform."""
        return {
            **self.weights.request(),
            "output": self.output,
            "architecture": self.weights.architecture,
            "transform": self.transform.description(),
        }

    def local_files(self) -> list[LocalFiles]:
        """The weights' files, if they are the user's own and exist."""
        return self.weights.local_files()

    def load(self) -> ImageEncoder:
        """The network on the CPU, float32, in evaluation mode.

        Raises:
            DataError: If the weights are neither on this machine nor can be downloaded, are
                damaged, or have no such output.
            ConfigError: If transformers has no such architecture.
        """
        loaded = ImageEncoder(self.weights.load(), self.transform, self.output)
        self._check(loaded)
        return loaded

    def _check(self, loaded: ImageEncoder) -> None:
        crop = self.transform.crop
        name = self.weights.folder or self.weights.id
        try:
            with torch.no_grad():
                features = loaded(torch.zeros(1, 3, crop, crop, dtype=torch.uint8))
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"The network {name} has no `{self.output}` output for images of {crop} × {crop} "
                f"pixels: {error}. Try the other backbone.output, another backbone.architecture, "
                "or another backbone.transform.crop."
            ) from error
        if features.ndim != 2:
            raise DataError(
                f"Expected a vector for each image from the network {name}, got an output of shape "
                f"{tuple(features.shape)}. Try backbone.output=cls."
            )
