"""Weights of a model of the transformers library, on the hub or in a folder."""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dal.errors import ConfigError, DataError
from dal.extraction import hub
from dal.runtime.files import LocalFiles

FILES = ("*.json", "*.safetensors")  # that are downloaded
# That a model is loaded from; in a folder of one's own, also as older versions have written it.
LOADED_FILES = ("config.json", "*.safetensors", "*.bin", "*.index.json")

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
        others: Patterns of the names of further files that are read.

    Raises:
        ConfigError: If neither ``id`` nor ``folder`` is given.
    """

    def __init__(
        self,
        id: str | None,  # noqa: A002
        revision: str,
        folder: str | Path | None,
        architecture: str,
        others: Sequence[str] = (),
    ) -> None:
        if id is None and folder is None:
            raise ConfigError("Expected `id` or `weights` of a backbone, got neither.")
        self.id = id
        self.revision = revision
        self.folder = None if folder is None else Path(folder).expanduser().absolute()
        self.architecture = architecture
        self.others = tuple(others)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.folder or self.id)

    def request(self) -> dict[str, Any]:
        """The names on the hub, or the path, in plain values."""
        if self.folder is None:
            return {"id": self.id, "revision": self.revision}
        return {"weights": str(self.folder)}

    def local_files(self) -> list[LocalFiles]:
        """The files in the folder that it is loaded from, if one was given and exists."""
        if self.folder is None or not self.folder.is_dir():
            return []
        found = (file for pattern in self._patterns for file in self.folder.glob(pattern))
        names = {file.relative_to(self.folder).as_posix() for file in found if not file.is_dir()}
        return [LocalFiles(self.folder, sorted(names))] if names else []

    def find(self) -> Path:
        """The folder with the files, downloaded if need be.

        Raises:
            DataError: If they are neither on this machine nor can be downloaded.
        """
        if self.folder is None:
            assert self.id is not None
            return hub.snapshot(
                self.id,
                self.revision,
                "model",
                (*FILES, *self.others),
                local_hint="backbone.weights=DIR",
            )
        if not self.folder.is_dir():
            found = f"the file {self.folder}" if self.folder.exists() else f"no {self.folder}"
            raise DataError(
                "Expected backbone.weights to be a folder with config.json and *.safetensors, "
                f"found {found}."
            )
        return self.folder

    @property
    def _patterns(self) -> tuple[str, ...]:
        return (*LOADED_FILES, *self.others)

    def load(self, subfolder: str = "") -> tuple[nn.Module, list[str]]:
        """The model on the CPU, float32, in evaluation mode, without gradients.

        Args:
            subfolder: Where it is in the folder.

        Returns:
            The model, and the names of those of its weights that the files do not have: they are
            random.

        Raises:
            DataError: As :meth:`find`, or if the files are damaged or of another model.
            ConfigError: If transformers has no such architecture.
        """
        top = self.find()  # before the import, so that missing files are reported at once
        _check_readable(top, self._patterns)
        folder = top / subfolder
        import transformers

        architecture: Any = getattr(transformers, self.architecture, None)
        if not hasattr(architecture, "from_pretrained"):
            raise ConfigError(
                f"Unknown `architecture` '{self.architecture}': expected a model class of "
                f"transformers {transformers.__version__}, for example AutoModel."
            )
        try:
            with quiet_library():  # its table of missing weights: see below
                model, report = architecture.from_pretrained(
                    str(folder),
                    local_files_only=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # they are in the report
                )
        except Exception as error:  # of json, safetensors, torch and transformers
            first_line = str(error).strip().splitlines()[0] if str(error) else repr(error)
            raise DataError(
                f"Cannot load the backbone's weights from {folder}: {first_line}. Expected the "
                "config.json and *.safetensors of a network, as save_pretrained writes them."
            ) from error
        missing = {*report["missing_keys"], *(str(key[0]) for key in report["mismatched_keys"])}
        loaded: nn.Module = model.eval().requires_grad_(False)
        return loaded, sorted(missing)


@contextmanager
def quiet_library() -> Iterator[None]:
    """Lets transformers print nothing but errors."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def check_complete(name: str, model: nn.Module, missing: Collection[str], instead: str) -> None:
    """Checks that no weight that a feature depends on is random.

    Args:
        name: What to call the checkpoint.
        model: The model.
        missing: The weights that the checkpoint does not have.
        instead: What to take if all of them are of the pooler; if empty, they do not matter then.

    Raises:
        DataError: If such a weight is missing.
    """
    others = [key for key in missing if ".pooler." not in f".{key}"]
    used = list(missing) if instead else others
    if others:
        raise DataError(
            f"The checkpoint {name} lacks {len(used):,} of {len(model.state_dict()):,} weights "
            f"of a {type(model).__name__} (or has them in another shape), for example {used[0]}. "
            "Expected the config.json and the weights of one model; try another "
            "backbone.architecture."
        )
    if used:
        raise DataError(f"The checkpoint {name} has no pooler. {instead}")


def _check_readable(folder: Path, patterns: Sequence[str]) -> None:
    """Checks what the library would take for missing: it may be there, but not for this user."""
    for file in sorted(file for pattern in patterns for file in folder.glob(pattern)):
        if not os.access(file, os.R_OK):
            raise DataError(
                f"Cannot read the weights {file}. Permit reading the file, or, if it is a link, "
                "copy what it leads to."
            )


def content_hash(model: nn.Module, unused: Collection[str] = ()) -> str:
    """SHA-256 of a model's architecture and weights: the same for the same model by any name.

    Args:
        model: The model.
        unused: Names of weights that no feature depends on.
    """
    config = model.config.to_dict()  # type: ignore[operator, union-attr]
    kept = {key: value for key, value in config.items() if key not in IGNORED_CONFIG_KEYS}
    digest = hashlib.sha256(type(model).__name__.encode())
    digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
    kept_weights = {key: one for key, one in model.state_dict().items() if key not in unused}
    _update(digest, kept_weights)
    return digest.hexdigest()


def state_hash(module: nn.Module) -> str:
    """SHA-256 of the weights of a module of torch."""
    digest = hashlib.sha256()
    _update(digest, module.state_dict())
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", state: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
