"""Where examples come from, and which of them are labeled."""

from dal.data.arrays import Features
from dal.data.batches import Chunks, EpochBatches
from dal.data.datamodule import INITIAL_DRAWS, ALDataModule
from dal.data.digits import Digits
from dal.data.examples import Examples
from dal.data.images import HubImageFolder, ImageDataset, ImageFolder, Images
from dal.data.rows import FeatureRows
from dal.data.tensors import Tensors

__all__ = [
    "INITIAL_DRAWS",
    "ALDataModule",
    "Chunks",
    "Digits",
    "EpochBatches",
    "Examples",
    "FeatureRows",
    "Features",
    "HubImageFolder",
    "ImageDataset",
    "ImageFolder",
    "Images",
    "Tensors",
]
