"""Selection strategies: which unlabeled examples to label next."""

from dal.errors import ConfigError, did_you_mean
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

# As in ``strategy=NAME``, where YAML files hold their arguments.
BY_NAME: dict[str, type[Strategy]] = {
    "alfa_mix": AlfaMix,
    "badge": Badge,
    "bait": Bait,
    "bait_binary": BaitBinary,
    "bait_diagonal": BaitDiagonal,
    "bait_exp": BaitExp,
    "bald": Bald,
    "batch_bald": BatchBald,
    "cluster_margin": ClusterMargin,
    "core_set": CoreSet,
    "drop_query": DropQuery,
    "entropy": Entropy,
    "falcun": Falcun,
    "k_means": KMeans,
    "least_confidence": LeastConfidence,
    "margin": Margin,
    "max_herding": MaxHerding,
    "prob_cover": ProbCover,
    "random": Random,
    "refine": Refine,
    "tcm": Tcm,
    "typiclust": TypiClust,
    "uherding": UHerding,
}


def by_name(name: str) -> Strategy:
    """The strategy that ``strategy=NAME`` chooses, with the defaults of its class.

    Raises:
        ConfigError: If there is none of that name.

    Example:
        >>> type(by_name("bait_binary")).__name__
        'BaitBinary'
    """
    if name not in BY_NAME:
        raise ConfigError(f"Unknown strategy '{name}'. {did_you_mean(name, BY_NAME)}")
    return BY_NAME[name]()
