"""Weights of a model of the transformers library, on the hub or in a folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dal.errors import ConfigError, DataError
from dal.extraction import hub
from dal.runtime.files import LocalFiles

FILES = ("*.json", "*.safetensors")

# Keys of a saved configuration that say nothing about what the model computes.
IGNORED_CONFIG_KEYS = (
    *("_name_or_path", "architectures", "dtype"),
    *("torch_dtype", "transformers_version"),
)


class Weights:
    """A pretrained model of the transformers library that is not loaded yet.

    Args:
        id: Its name on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        folder: A folder that ``save_pretrained`` or ``hf download`` has written, instead.
        architecture: The class of transformers that loads it.

    Raises:
        ConfigError: If neither ``id`` nor ``folder`` is given.
    """

    def __init__(
        self,
        id: str | None,  # noqa: A002
        revision: str,
        folder: str | Path | None,
        architecture: str,
    ) -> None:
        if id is None and folder is None:
            raise ConfigError("Expected `id` or `weights` of a backbone, got neither.")
        self.id = id
        self.revision = revision
        self.folder = None if folder is None else Path(folder).expanduser().absolute()
        self.architecture = architecture

    def request(self) -> dict[str, Any]:
        """The names on the hub, or the path, in plain values."""
        if self.folder is None:
            return {"id": self.id, "revision": self.revision}
        return {"weights": str(self.folder)}

    def local_files(self) -> list[LocalFiles]:
        """The files in the folder, if one was given and exists."""
        if self.folder is None or not self.folder.is_dir():
            return []
        names = sorted(file.name for pattern in FILES for file in self.folder.glob(pattern))
        return [LocalFiles(self.folder, names)]

    def find(self) -> Path:
        """The folder with the files, downloaded if need be.

        Raises:
            DataError: If they are neither on this machine nor can be downloaded.
        """
        if self.folder is None:
            assert self.id is not None
            return hub.snapshot(
                self.id, self.revision, "model", FILES, local_hint="backbone.weights=DIR"
            )
        if not self.folder.is_dir():
            raise DataError(
                "Expected backbone.weights to be a folder with config.json and *.safetensors, "
                f"found no {self.folder}."
            )
        return self.folder

    def load(self) -> nn.Module:
        """The model on the CPU, float32, in evaluation mode, without gradients.

        Raises:
            DataError: As :meth:`find`, or if the files are damaged.
            ConfigError: If transformers has no such architecture.
        """
        folder = self.find()  # before the import, so that missing files are reported at once
        import transformers

        architecture: Any = getattr(transformers, self.architecture, None)
        if not hasattr(architecture, "from_pretrained"):
            raise ConfigError(
                f"Unknown `architecture` '{self.architecture}': expected a model class of "
                f"transformers {transformers.__version__}, for example AutoModel."
            )
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            model: nn.Module = architecture.from_pretrained(
                str(folder), local_files_only=True, dtype=torch.float32
            )
        except Exception as error:  # of json, safetensors, torch and transformers
            first_line = str(error).strip().splitlines()[0] if str(error) else repr(error)
            raise DataError(
                f"Cannot load the backbone's weights from {folder}: {first_line}. Expected the "
                "config.json and *.safetensors of a network, as save_pretrained writes them."
            ) from error
        return model.eval().requires_grad_(False)


def content_hash(model: nn.Module) -> str:
    """SHA-256 of a model's architecture and weights: the same for the same model by any name."""
    config = model.config.to_dict()  # type: ignore[operator, union-attr]
    kept = {key: value for key, value in config.items() if key not in IGNORED_CONFIG_KEYS}
    digest = hashlib.sha256(type(model).__name__.encode())
    digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
