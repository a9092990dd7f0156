"""Where examples come from, and which of them are labeled.

Its names are loaded when they are first asked for: strategies need rows of features, and neither
Lightning nor what reads images.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dal.data.arrays import Arrays
    from dal.data.batches import Chunks, EpochBatches
    from dal.data.datamodule import INITIAL_DRAWS, ALDataModule
    from dal.data.digits import Digits
    from dal.data.embedded import Embedded
    from dal.data.examples import UNKNOWN, Examples
    from dal.data.image_dataset import ImageDataset
    from dal.data.image_folder import HubImageFolder, ImageFolder
    from dal.data.pool import Pool
    from dal.data.rows import FeatureRows
    from dal.data.source import Source
    from dal.data.tensors import Tensors
    from dal.data.text_dataset import TextDataset
    from dal.data.text_file import TextFile

__all__ = [
    "INITIAL_DRAWS",
    "UNKNOWN",
    "ALDataModule",
    "Arrays",
    "Chunks",
    "Digits",
    "Embedded",
    "EpochBatches",
    "Examples",
    "FeatureRows",
    "HubImageFolder",
    "ImageDataset",
    "ImageFolder",
    "Pool",
    "Source",
    "Tensors",
    "TextDataset",
    "TextFile",
]

_MODULES = {
    "ALDataModule": "datamodule",
    "Arrays": "arrays",
    "Chunks": "batches",
    "Digits": "digits",
    "Embedded": "embedded",
    "EpochBatches": "batches",
    "Examples": "examples",
    "FeatureRows": "rows",
    "HubImageFolder": "image_folder",
    "INITIAL_DRAWS": "datamodule",
    "ImageDataset": "image_dataset",
    "ImageFolder": "image_folder",
    "Pool": "pool",
    "Source": "source",
    "Tensors": "tensors",
    "TextDataset": "text_dataset",
    "TextFile": "text_file",
    "UNKNOWN": "examples",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
