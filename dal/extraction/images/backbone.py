"""A frozen image network: pixels of an image, read in worker processes, to features."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import encoder, weights
from dal.extraction.encoder import Encoder
from dal.extraction.images import preprocessing
from dal.extraction.images.preprocessing import OwnTransform
from dal.extraction.images.transform import Transform
from dal.extraction.weights import Weights
from dal.runtime.files import LocalFiles

OUTPUTS = ("pooler", "cls")
CLASS_TOKENS = ("cls_token", "class_embedding")  # what transformers calls a class token's weights


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
        origin: Where the transform is from, in words, if the user has not given it.
        unused: Names of weights that no feature depends on.
    """

    def __init__(
        self,
        model: nn.Module,
        transform: Transform,
        output: str,
        origin: str = "",
        unused: Collection[str] = (),
    ) -> None:
        super().__init__(ImageReader(transform))
        self.model = model
        self.transform = transform
        self.output = output
        self.origin = origin
        self.unused = unused

    def forward(self, batch: Tensor) -> Tensor:
        """Features ``(N, D)``, float32, of pixels ``(N, 3, H, W)``, uint8."""
        with encoder.autocast(batch.device):
            outputs = self.model(pixel_values=self.transform.normalized(batch))
            if self.output == "cls":
                return cast(Tensor, outputs.last_hidden_state[:, 0].float())
            pooled = cast(Tensor, outputs.pooler_output.float())
            # Convolutional networks keep the two axes that they have averaged over.
            return pooled.flatten(1) if pooled[0].numel() == pooled.shape[1] else pooled

    def description(self) -> dict[str, Any]:
        """A hash of the weights, the output and the transform."""
        return {
            "weights": weights.content_hash(self.model, self.unused),
            "output": self.output,
            "transform": self.transform.description(),
        }

    def summary(self) -> str:
        """The transform, in a sentence."""
        origin = f" ({self.origin})" if self.origin else ""
        return f"transform{origin}: {self.transform}."


class Backbone:
    """A frozen image network of the transformers library.

    Args:
        id: Its name on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        weights: A folder that ``save_pretrained`` or ``hf download`` has written, instead.
        output: ``"pooler"`` takes ``pooler_output``, for DINOv2 the class token after the last
            layer norm; ``"cls"`` the first token of ``last_hidden_state``.
        architecture: The class of transformers that loads it.
        transform: What happens to an image before, for example an :class:`OwnTransform`; DINOv2's
            evaluation transform if not given.

    Raises:
        ConfigError: If neither ``id`` nor ``weights`` is given, or ``output`` is unknown.

    References:
        Oquab et al. (2024), "DINOv2: Learning robust visual features without supervision".
    """

    noun = "image"

    def __init__(
        self,
        id: str | None = None,  # noqa: A002
        revision: str = "main",
        weights: str | Path | None = None,
        output: str = "pooler",
        architecture: str = "AutoModel",
        transform: Transform | OwnTransform | None = None,
    ) -> None:
        if output not in OUTPUTS:
            raise ConfigError(f"Unknown `output` '{output}'. {did_you_mean(output, OUTPUTS)}")
        self.output = output
        self.transform = transform or Transform()
        is_own = isinstance(self.transform, OwnTransform)
        others = [preprocessing.FILE] if is_own else []
        self.weights = Weights(id, revision, weights, architecture, others)

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
        model, missing = self.weights.load()
        self._check_kind(model)
        self._check_weights(model, missing)
        transform, origin = self.transform, ""
        if isinstance(transform, OwnTransform):
            transform, origin = transform.resolve(self.weights.find())
        loaded = ImageEncoder(model, transform, self.output, origin, missing)
        self._check_output(loaded)
        return loaded

    def _check_kind(self, model: nn.Module) -> None:
        if encoder.reads(model) == {"text"}:
            raise DataError(
                f"Expected a network for images, got {self.weights.name} "
                f"({type(model).__name__}), which reads texts. For texts choose for example "
                "backbone=text_transformers."
            )

    def _check_weights(self, model: nn.Module, missing: list[str]) -> None:
        """Checks that no weight that matters is random, and that there is the token asked for."""
        has_token = "Its class token may do: backbone.output=cls."
        weights.check_complete(
            self.weights.name, model, missing, "" if self.output == "cls" else has_token
        )
        names = [name.rpartition(".")[2] for name, _ in model.named_parameters()]
        if self.output == "cls" and not set(CLASS_TOKENS) & set(names):
            raise DataError(
                f"The network {self.weights.name} ({type(model).__name__}) has no class token. Use "
                "its pooled output: backbone.output=pooler."
            )

    def _check_output(self, loaded: ImageEncoder) -> None:
        crop = loaded.transform.crop
        try:
            with torch.no_grad():
                features = loaded(torch.zeros(1, 3, crop, crop, dtype=torch.uint8))
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"The network {self.weights.name} has no `{self.output}` output for images of "
                f"{crop} × {crop} pixels: {str(error).rstrip('.')}. {_advice(loaded.model, crop)}"
            ) from error
        if features.ndim != 2:
            raise DataError(
                f"Expected a vector for each image from the network {self.weights.name}, got an "
                f"output of shape {tuple(features.shape)}. Try another backbone.output or "
                "backbone.architecture."
            )


def _advice(model: nn.Module, crop: int) -> str:
    """What to try when a network does not give the output that was asked for."""
    config: Any = model.config
    if hasattr(config, "vision_config"):
        kind = type(config).__name__.removesuffix("Config")
        return (
            "It has a part for images and one for texts: take the first with "
            f"backbone.architecture={kind}VisionModel."
        )
    size = getattr(config, "image_size", None)
    if isinstance(size, int) and size != crop:
        return (
            f"It was made for images of {size} × {size} pixels: try backbone.transform.resize="
            f"{size} backbone.transform.crop={size}."
        )
    return (
        "Try the other backbone.output, another backbone.architecture, or another "
        "backbone.transform.crop."
    )
