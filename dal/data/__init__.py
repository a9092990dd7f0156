"""Where examples come from, and which of them are labeled."""

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
]
