"""Where examples come from, and which of them are labeled."""

from dal.data.backbone import Backbone
from dal.data.batches import Chunks, EpochBatches
from dal.data.cache import FeatureCache
from dal.data.datamodule import INITIAL_DRAWS, ALDataModule
from dal.data.digits import Digits
from dal.data.examples import Examples
from dal.data.extraction import FeatureExtractor
from dal.data.features import Features
from dal.data.images import HubImageFolder, ImageDataset, ImageFolder, Images
from dal.data.reporting import Reporter
from dal.data.rows import FeatureRows
from dal.data.tensors import Tensors
from dal.data.transform import Transform

__all__ = [
    "INITIAL_DRAWS",
    "ALDataModule",
    "Backbone",
    "Chunks",
    "Digits",
    "EpochBatches",
    "Examples",
    "FeatureCache",
    "FeatureExtractor",
    "FeatureRows",
    "Features",
    "HubImageFolder",
    "ImageDataset",
    "ImageFolder",
    "Images",
    "Reporter",
    "Tensors",
    "Transform",
]
