"""Selection strategies: which unlabeled examples to label next."""

from dal.strategies.badge import Badge
from dal.strategies.bait import Bait, BaitBinary, BaitDiagonal, BaitExp
from dal.strategies.herding import MaxHerding, UHerding
from dal.strategies.query import Query
from dal.strategies.random import Random
from dal.strategies.refine import Refine
from dal.strategies.strategy import Need, Selection, Strategy
from dal.strategies.typiclust import TypiClust
from dal.strategies.uncertainty import Entropy, LeastConfidence, Margin

__all__ = [
    "Badge",
    "Bait",
    "BaitBinary",
    "BaitDiagonal",
    "BaitExp",
    "Entropy",
    "LeastConfidence",
    "Margin",
    "MaxHerding",
    "Need",
    "Query",
    "Random",
    "Refine",
    "Selection",
    "Strategy",
    "TypiClust",
    "UHerding",
]
