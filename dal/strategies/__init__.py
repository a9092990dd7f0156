"""Selection strategies: which unlabeled examples to label next."""

from dal.strategies.query import Query
from dal.strategies.random import Random
from dal.strategies.strategy import Selection, Strategy
from dal.strategies.uncertainty import Entropy, LeastConfidence, Margin

__all__ = [
    "Entropy",
    "LeastConfidence",
    "Margin",
    "Query",
    "Random",
    "Selection",
    "Strategy",
]
