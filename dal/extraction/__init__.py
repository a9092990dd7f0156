"""Items to features: a frozen network in front of the head, and the cache of what it computed."""

from dal.extraction.backbone import Backbone
from dal.extraction.cache import FeatureCache
from dal.extraction.extractor import FeatureExtractor
from dal.extraction.progress import Reporter
from dal.extraction.transform import Transform

__all__ = ["Backbone", "FeatureCache", "FeatureExtractor", "Reporter", "Transform"]
