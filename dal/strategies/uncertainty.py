"""Strategies that take the examples of which the head is least sure, each by itself.

Memory: one chunk of probabilities at a time.
"""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from dal.functional import sharding, uncertainty
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy


class Margin(Strategy):
    """The smallest differences of the two highest probabilities.

    Takes the arguments of :class:`Strategy`.

    References:
        Bahri et al. (2022), "Is margin all you need?", section 2.
    """

    is_shared: ClassVar[bool] = True

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position; the scores are the margins."""
        own, margins = _own_scores(query, uncertainty.margin)
        return Selection(*sharding.lowest(margins, query.num, own.start, query.shares))


class Entropy(Strategy):
    """The highest entropies of the class distribution.

    Takes the arguments of :class:`Strategy`.

    References:
        Settles (2009), "Active learning literature survey", section 3.1.
    """

    is_shared: ClassVar[bool] = True

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position; the scores are the entropies."""
        return _highest(query, uncertainty.entropy)


class LeastConfidence(Strategy):
    """The lowest maximal probabilities.

    Takes the arguments of :class:`Strategy`.

    References:
        Settles (2009), "Active learning literature survey", section 3.1.
    """

    is_shared: ClassVar[bool] = True

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position; the scores are the least confidences."""
        return _highest(query, uncertainty.least_confidence)


def _highest(query: Query, function: Callable[[Tensor], Tensor]) -> Selection:
    own, scores = _own_scores(query, function)
    return Selection(*sharding.highest(scores, query.num, own.start, query.shares))


def _own_scores(query: Query, function: Callable[[Tensor], Tensor]) -> tuple[slice, Tensor]:
    """The rows of this process, and what a function gives of their probabilities."""
    own, part = query.own_share()
    return own, part.map_pool(function)
