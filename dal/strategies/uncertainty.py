"""Strategies that take the examples of which the head is least sure, each by itself.

Memory: one chunk of probabilities at a time.
"""

from torch import Tensor

from dal.functional import ranking, uncertainty
from dal.strategies.query import Query
from dal.strategies.strategy import Strategy


class Margin(Strategy):
    """The smallest differences of the two highest probabilities.

    Takes the arguments of :class:`Strategy`.

    References:
        Bahri et al. (2022), "Is margin all you need?", section 2.
    """

    def select(self, query: Query) -> Tensor:
        """Ties go to the lower position."""
        return ranking.lowest(query.pool_scores(uncertainty.margin), query.num)


class Entropy(Strategy):
    """The highest entropies of the class distribution.

    Takes the arguments of :class:`Strategy`.

    References:
        Settles (2009), "Active learning literature survey", section 3.1.
    """

    def select(self, query: Query) -> Tensor:
        """Ties go to the lower position."""
        return ranking.highest(query.pool_scores(uncertainty.entropy), query.num)


class LeastConfidence(Strategy):
    """The lowest maximal probabilities.

    Takes the arguments of :class:`Strategy`.

    References:
        Settles (2009), "Active learning literature survey", section 3.1.
    """

    def select(self, query: Query) -> Tensor:
        """Ties go to the lower position."""
        return ranking.highest(query.pool_scores(uncertainty.least_confidence), query.num)
