"""Items to features: a frozen network in front of the head, and the cache of its features."""

from dal.extraction.backbone import Backbone
from dal.extraction.cache import FeatureCache
from dal.extraction.encoder import Encoder, Network, Reader
from dal.extraction.extractor import FeatureExtractor
from dal.extraction.items import Items, ItemSplit
from dal.extraction.preprocessing import OwnTransform
from dal.extraction.progress import ExtractionListener
from dal.extraction.transform import Transform

__all__ = [
    "Backbone",
    "Encoder",
    "ExtractionListener",
    "FeatureCache",
    "FeatureExtractor",
    "ItemSplit",
    "Items",
    "Network",
    "OwnTransform",
    "Reader",
    "Transform",
]
