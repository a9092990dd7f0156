"""Selection strategies: which unlabeled examples to label next."""

from dal.strategies.badge import Badge
from dal.strategies.bait import Bait, BaitBinary, BaitDiagonal, BaitExp
from dal.strategies.core_set import CoreSet
from dal.strategies.prob_cover import ProbCover
from dal.strategies.query import Query
from dal.strategies.random import Random
from dal.strategies.strategy import Need, Selection, Strategy
from dal.strategies.typiclust import TypiClust
from dal.strategies.uncertainty import Entropy, LeastConfidence, Margin

__all__ = [
    "Badge",
    "Bait",
    "BaitBinary",
    "BaitDiagonal",
    "BaitExp",
    "CoreSet",
    "Entropy",
    "LeastConfidence",
    "Margin",
    "Need",
    "ProbCover",
    "Query",
    "Random",
    "Selection",
    "Strategy",
    "TypiClust",
]
