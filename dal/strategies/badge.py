"""BADGE: uncertain and diverse, by k-means++ on gradients."""

from dal.functional import seeding
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy, floating_type


class Badge(Strategy):
    """Draws far-apart gradient embeddings, as k-means++ seeds its centres.

    Args:
        subset_size: As in :class:`Strategy`.
        dtype: ``"float32"``, or ``"float64"`` for checks.

    Memory: 4·U·(K + D) bytes.

    References:
        Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower
        bounds", algorithm 1.
    """

    def __init__(self, subset_size: int | None = None, dtype: str = "float32") -> None:
        super().__init__(subset_size)
        self.dtype = floating_type(dtype)

    def select(self, query: Query) -> Selection:
        """The first is the longest embedding.

        Scores are squared distances to the nearest earlier pick when each was drawn, and for the
        first its squared length.
        """
        embeddings = seeding.Embeddings(
            query.map_pool(lambda probs: seeding.gradient_factors(probs.to(self.dtype))),
            query.pool_embeddings.to(self.dtype),
        )
        drawn = seeding.k_means_plus_plus(embeddings, query.num, query.generator)
        return Selection(
            drawn.positions, drawn.squared_distances, {"num_uniform": drawn.num_uniform}
        )
