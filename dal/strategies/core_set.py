"""CoreSet: every example of the pool near a labeled one."""

from typing import ClassVar

from dal.functional import k_centers
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy


class CoreSet(Strategy):
    """Takes the example farthest from all labeled and chosen ones, again and again.

    Takes the arguments of :class:`Strategy`. It looks at features alone, as they are, and compares
    distances as float64 has them.

    Memory: 17·U bytes beside the features, which are read in chunks if they do not fit.

    References:
        Sener and Savarese (2018), "Active learning for convolutional neural networks: a core-set
        approach", algorithm 1.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    is_shared: ClassVar[bool] = True

    def select(self, query: Query) -> Selection:
        """Without labels the first is the example nearest to the mean of the pool.

        Scores are distances to the nearest centre when each was chosen; to the mean for that first
        one; NaN for those drawn uniformly, once all that is left coincides with a centre.
        """
        _, part = query.own_share()
        selected = k_centers.select(
            part.feature_rows,
            query.labeled_features,
            query.num,
            query.generator,
            query.report,
            query.shares,
        )
        derived = {"num_uniform": selected.num_uniform}
        return Selection(selected.positions, selected.distances, derived)
