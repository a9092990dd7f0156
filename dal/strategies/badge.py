"""BADGE: uncertain and diverse, by k-means++ on gradients."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dal.functional import seeding
from dal.functional.seeding import Embeddings
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy, floating_type


class Badge(Strategy):
    """Draws far-apart gradient embeddings, as k-means++ seeds its centres.

    For more than 131,072 rows it draws by rejection: by the same law, and other rows.

    Args:
        subset_size: As in :class:`Strategy`.
        dtype: ``"float32"``, or ``"float64"`` for checks.

    Memory: 4·U·(K + D) bytes for up to 131,072 rows; for more, 40·U bytes and what the query has
    loaded. Of several processes, each has its share of that.

    References:
        Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower
        bounds", algorithm 1.
    """

    is_shared: ClassVar[bool] = True

    def __init__(self, subset_size: int | None = None, dtype: str = "float32") -> None:
        super().__init__(subset_size)
        self.dtype = floating_type(dtype)

    def select(self, query: Query) -> Selection:
        """The first is the longest embedding.

        Scores are squared distances to the nearest earlier pick when each was drawn, and for the
        first its squared length.
        """
        how = (query.num, query.generator, query.shares)
        _, part = query.own_share()
        if len(query.pool) > seeding.SMALL_POOL:
            source = _PoolEmbeddings(query, part, self.dtype)
            drawn = seeding.k_means_plus_plus_by_rejection(source, *how)
        else:
            embeddings = Embeddings(
                part.map_pool(lambda probs: seeding.gradient_factors(probs.to(self.dtype))),
                part.pool_embeddings.to(self.dtype),
            )
            drawn = seeding.k_means_plus_plus(embeddings, *how)
        return Selection(
            drawn.positions, drawn.squared_distances, {"num_uniform": drawn.num_uniform}
        )


class _PoolEmbeddings(NamedTuple):
    """The embeddings of a pool, computed from its features whenever they are needed."""

    query: Query
    part: Query  # of this process's rows
    dtype: torch.dtype

    def take(self, rows: Tensor) -> Embeddings:
        return self._embeddings(self.query.pool.take(rows.cpu()).load())

    def map(self, function: Callable[[Embeddings], Tensor]) -> Tensor:
        return self.part.map_pool_features(lambda rows: function(self._embeddings(rows)))

    def _embeddings(self, features: Tensor) -> Embeddings:
        probs = self.query.logits(features).softmax(-1).to(self.dtype)
        h = self.query.embeddings(features).to(self.dtype)
        return Embeddings(seeding.gradient_factors(probs), h)
