"""Selection strategies: which unlabeled examples to label next."""

from dal.strategies.alfa_mix import AlfaMix
from dal.strategies.badge import Badge
from dal.strategies.bait import Bait, BaitBinary, BaitDiagonal, BaitExp
from dal.strategies.bald import Bald, BatchBald
from dal.strategies.cluster_margin import ClusterMargin
from dal.strategies.core_set import CoreSet
from dal.strategies.drop_query import DropQuery
from dal.strategies.falcun import Falcun
from dal.strategies.herding import MaxHerding, UHerding
from dal.strategies.k_means import KMeans
from dal.strategies.prob_cover import ProbCover
from dal.strategies.query import Query
from dal.strategies.random import Random
from dal.strategies.refine import Refine
from dal.strategies.strategy import Need, Selection, Strategy
from dal.strategies.tcm import Tcm
from dal.strategies.typiclust import TypiClust
from dal.strategies.uncertainty import Entropy, LeastConfidence, Margin

__all__ = [
    "AlfaMix",
    "Badge",
    "Bait",
    "BaitBinary",
    "BaitDiagonal",
    "BaitExp",
    "Bald",
    "BatchBald",
    "ClusterMargin",
    "CoreSet",
    "DropQuery",
    "Entropy",
    "Falcun",
    "KMeans",
    "LeastConfidence",
    "Margin",
    "MaxHerding",
    "Need",
    "ProbCover",
    "Query",
    "Random",
    "Refine",
    "Selection",
    "Strategy",
    "Tcm",
    "TypiClust",
    "UHerding",
]
