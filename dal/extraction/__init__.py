"""Items to features: a frozen network in front of the head, and the cache of its features."""

from dal.extraction.cache import FeatureCache
from dal.extraction.encoder import Encoder, LengthReader, Network, Reader
from dal.extraction.extractor import FeatureExtractor
from dal.extraction.images.backbone import Backbone
from dal.extraction.images.preprocessing import OwnTransform
from dal.extraction.images.transform import Transform
from dal.extraction.items import Items, ItemSplit
from dal.extraction.progress import ExtractionListener
from dal.extraction.texts.backbone import TextBackbone

__all__ = [
    "Backbone",
    "Encoder",
    "ExtractionListener",
    "FeatureCache",
    "FeatureExtractor",
    "ItemSplit",
    "Items",
    "LengthReader",
    "Network",
    "OwnTransform",
    "Reader",
    "TextBackbone",
    "Transform",
]
