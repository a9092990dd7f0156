"""DropQuery: diverse examples whose predicted class changes when features are dropped."""

from functools import partial
from typing import ClassVar

from torch import Tensor

from dal.errors import ConfigError
from dal.functional import dropout as feature_dropout
from dal.functional import representatives
from dal.strategies.k_means import ClusterStrategy, KMeans
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, offered


class DropQuery(ClusterStrategy):
    """One example of each of B clusters of those whose predicted class depends on few features.

    Candidates are the examples whose predicted class changes in more than half of the passes with
    dropped features; or in any pass, if those are fewer than 25·B. They are clustered by their
    features, scaled to unit length. Without a head, or without labels that it was fitted to, it is
    :class:`KMeans`.

    Args:
        subset_size: As in :class:`Strategy`.
        max_points_per_centroid: As in :class:`ClusterStrategy`.
        num_passes: Passes with dropped features; the paper takes 3.
        dropout: Probability that a feature is dropped in a pass; the paper takes 0.75. Rounded to a
            multiple of 1/256.

    Raises:
        ConfigError: If an argument is out of range.

    Memory: 4·D bytes for each point of the sample, and for each candidate if the pool is in memory.

    References:
        Gupte et al. (2024), "Revisiting active learning in the era of vision foundation models",
        algorithm 1.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    is_shared: ClassVar[bool] = True  # every process clusters all candidates

    def __init__(
        self,
        subset_size: int | None = None,
        max_points_per_centroid: int | None = representatives.MAX_POINTS_PER_CENTROID,
        num_passes: int = 3,
        dropout: float = 0.75,
    ) -> None:
        super().__init__(subset_size, max_points_per_centroid)
        if num_passes < 1:
            raise ConfigError(f"Expected `num_passes` of at least 1, got {num_passes}.")
        try:
            feature_dropout.num_kept_levels(dropout)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.num_passes = num_passes
        self.dropout = dropout

    def select(self, query: Query) -> Selection:
        """Scores are distances to the centre, NaN for examples that were drawn uniformly."""
        if not {Need.HEAD, Need.LABELS} <= offered(query):
            return KMeans(None, self.max_points_per_centroid).select(query)
        candidates, least = feature_dropout.candidates(
            self._num_mismatches(query), self.num_passes, query.num, query.shares
        )
        part = query.restricted_to(candidates)
        rows = part.pool_features if self.clusters_all else part.feature_rows
        selected = self.select_representatives(query, rows, candidates)
        derived = {
            "num_candidates": len(candidates),
            "min_mismatches": least,
            "num_uniform": selected.num_uniform,
        }
        return Selection(selected.positions, selected.distances, derived)

    def _num_mismatches(self, query: Query) -> Tensor:
        """Of this process's rows, in how many passes the predicted class changes, on the CPU."""
        own, part = query.own_share()
        num_bytes = self.num_passes * query.pool.num_features
        # Every process draws all random numbers, and uses those of its rows.
        feature_dropout.skip(own.start, num_bytes, query.generator)
        num_mismatches = part.map_pool_features(
            partial(
                feature_dropout.num_mismatches,
                logits=query.logits,
                num_passes=self.num_passes,
                dropout=self.dropout,
                generator=query.generator,
            )
        )
        feature_dropout.skip(len(query.pool) - own.stop, num_bytes, query.generator)
        return num_mismatches.cpu()
