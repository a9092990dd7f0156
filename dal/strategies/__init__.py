"""Selection strategies: which unlabeled examples to label next."""

from dal.errors import ConfigError, did_you_mean
from dal.strategies.badge import Badge
from dal.strategies.bait import Bait, BaitBinary, BaitDiagonal, BaitExp
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
    "Entropy",
    "LeastConfidence",
    "Margin",
    "Need",
    "Query",
    "Random",
    "Selection",
    "Strategy",
    "TypiClust",
]

# As in ``strategy=NAME``, where YAML files hold their arguments.
BY_NAME: dict[str, type[Strategy]] = {
    "badge": Badge,
    "bait": Bait,
    "bait_binary": BaitBinary,
    "bait_diagonal": BaitDiagonal,
    "bait_exp": BaitExp,
    "entropy": Entropy,
    "least_confidence": LeastConfidence,
    "margin": Margin,
    "random": Random,
    "typiclust": TypiClust,
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
