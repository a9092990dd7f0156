"""BADGE: uncertain and diverse, by k-means++ on gradients."""

from torch import Tensor

from dal.functional import seeding
from dal.strategies.query import Query
from dal.strategies.strategy import Strategy, floating_type


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

    def select(self, query: Query) -> Tensor:
        """The first is the longest embedding."""
        embeddings = seeding.Embeddings(
            query.pool_scores(lambda probs: seeding.gradient_factors(probs.to(self.dtype))),
            query.pool_features.to(self.dtype),
        )
        return seeding.k_means_plus_plus(embeddings, query.num, query.generator).positions
