"""Strategies that take the examples of which the head is least sure, each by itself.

Memory: one chunk of probabilities at a time.
"""

from dal.functional import ranking, uncertainty
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy


class Margin(Strategy):
    """The smallest differences of the two highest probabilities.

    Takes the arguments of :class:`Strategy`.

    References:
        Bahri et al. (2022), "Is margin all you need?", section 2.
    """

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position; the scores are the margins."""
        margins = query.map_pool(uncertainty.margin)
        positions = ranking.lowest(margins, query.num)
        return Selection(positions, margins[positions])


class Entropy(Strategy):
    """The highest entropies of the class distribution.

    Takes the arguments of :class:`Strategy`.

    References:
        Settles (2009), "Active learning literature survey", section 3.1.
    """

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position; the scores are the entropies."""
        entropies = query.map_pool(uncertainty.entropy)
        positions = ranking.highest(entropies, query.num)
        return Selection(positions, entropies[positions])


class LeastConfidence(Strategy):
    """The lowest maximal probabilities.

    Takes the arguments of :class:`Strategy`.

    References:
        Settles (2009), "Active learning literature survey", section 3.1.
    """

    def select(self, query: Query) -> Selection:
        """Ties go to the lower position; the scores are the least confidences."""
        doubts = query.map_pool(uncertainty.least_confidence)
        positions = ranking.highest(doubts, query.num)
        return Selection(positions, doubts[positions])
