"""The frozen network that turns images into features."""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import hub
from dal.extraction.transform import Transform
from dal.runtime.files import LocalFiles

OUTPUTS = ("pooler", "cls")
FILES = ("*.json", "*.safetensors")

# What a saved configuration says of itself and not of the network.
UNIMPORTANT = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


class Encoder(nn.Module):
    """Pixels to features.

    Args:
        model: A transformers model that takes ``pixel_values``.
        transform: What comes before it.
        output: As in :class:`Backbone`.
    """

    def __init__(self, model: nn.Module, transform: Transform, output: str) -> None:
        super().__init__()
        self.model = model
        self.transform = transform
        self.output = output

    def forward(self, pixels: Tensor) -> Tensor:
        """Features ``(N, D)``, float32, of pixels ``(N, 3, H, W)``, uint8.

        bf16 on GPUs that have it, float32 elsewhere.
        """
        device = pixels.device.type
        with torch.autocast(device, torch.bfloat16, enabled=precision(pixels.device) == "bf16"):
            outputs = self.model(pixel_values=self.transform.normalized(pixels))
            if self.output == "cls":
                return cast(Tensor, outputs.last_hidden_state[:, 0].float())
            return cast(Tensor, outputs.pooler_output.float())

    def content_hash(self) -> str:
        """SHA-256 of architecture and weights: alike for the same network under any name."""
        config = self.model.config.to_dict()  # type: ignore[operator, union-attr]
        kept = {key: value for key, value in config.items() if key not in UNIMPORTANT}
        digest = hashlib.sha256(type(self.model).__name__.encode())
        digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


class Backbone:
    """A frozen image encoder of the transformers library.

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
        if id is None and weights is None:
            raise ConfigError("Expected `id` or `weights` of a backbone, got neither.")
        if output not in OUTPUTS:
            raise ConfigError(f"Unknown `output` '{output}'. {did_you_mean(output, OUTPUTS)}")
        self.id = id
        self.revision = revision
        self.weights = None if weights is None else Path(weights).expanduser().absolute()
        self.output = output
        self.architecture = architecture
        self.transform = transform or Transform()

    def request(self) -> dict[str, object]:
        """What is asked for, in plain values, without looking whether it is there."""
        source: dict[str, object] = (
            {"id": self.id, "revision": self.revision}
            if self.weights is None
            else {"weights": str(self.weights)}
        )
        return {
            **source,
            "output": self.output,
            "architecture": self.architecture,
            "transform": self.transform.description(),
        }

    def local_files(self) -> list[LocalFiles]:
        """The files that the weights are read from, if they are the user's own and there."""
        if self.weights is None or not self.weights.is_dir():
            return []
        names = sorted(file.name for pattern in FILES for file in self.weights.glob(pattern))
        return [LocalFiles(self.weights, names)]

    def load(self) -> Encoder:
        """The network on the CPU, float32, in evaluation mode.

        Raises:
            DataError: If the weights cannot be had or are damaged, or give no such output.
            ConfigError: If transformers has no such architecture.
        """
        folder = self._folder()  # first: what is missing is said before seconds of imports
        import transformers

        architecture: Any = getattr(transformers, self.architecture, None)
        if not hasattr(architecture, "from_pretrained"):
            raise ConfigError(
                f"Unknown `architecture` '{self.architecture}': expected a model class of "
                f"transformers {transformers.__version__}, for example AutoModel."
            )
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            model = architecture.from_pretrained(
                str(folder), local_files_only=True, dtype=torch.float32
            )
        except Exception as error:  # of json, safetensors, torch and transformers
            first_line = str(error).strip().splitlines()[0] if str(error) else repr(error)
            raise DataError(
                f"Cannot load the backbone's weights from {folder}: {first_line}. Expected the "
                "config.json and *.safetensors of an image encoder, as save_pretrained writes them."
            ) from error
        encoder = Encoder(model.eval().requires_grad_(False), self.transform, self.output)
        self._check(encoder, folder)
        return encoder

    def _folder(self) -> Path:
        if self.weights is None:
            assert self.id is not None
            return hub.snapshot(
                self.id, self.revision, "model", FILES, local_hint="backbone.weights=DIR"
            )
        if not self.weights.is_dir():
            raise DataError(
                f"Expected backbone.weights to be a folder with config.json and *.safetensors, "
                f"found no {self.weights}."
            )
        return self.weights

    def _check(self, encoder: Encoder, folder: Path) -> None:
        crop = self.transform.crop
        try:
            with torch.no_grad():
                features = encoder(torch.zeros(1, 3, crop, crop, dtype=torch.uint8))
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"The model in {folder} gives no `{self.output}` output for images of {crop} × "
                f"{crop} pixels: {error}. Try the other backbone.output, another "
                "backbone.architecture, or another backbone.transform.crop."
            ) from error
        if features.ndim != 2:
            raise DataError(
                f"Expected a vector per image from the model in {folder}, got an output of shape "
                f"{tuple(features.shape)}. Try backbone.output=cls."
            )


def precision(device: torch.device) -> str:
    """What the network is computed in on a device, ``"bf16"`` or ``"float32"``."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_bf16 else "float32"
