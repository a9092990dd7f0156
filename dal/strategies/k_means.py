"""k-means as a strategy, and the strategies that cluster candidates as it clusters the pool."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dal.data.rows import MappedRows
from dal.errors import ConfigError
from dal.functional import representatives
from dal.functional.rows import Rows
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy


class ClusterStrategy(Strategy):
    """What strategies have in common that take one example of each k-means cluster of candidates.

    Args:
        subset_size: As in :class:`Strategy`.
        max_points_per_centroid: The centres are fitted to a random sample of this many candidates
            for each cluster if there are more; to all of them if None.

    Raises:
        ConfigError: If ``max_points_per_centroid`` is below 1.
    """

    def __init__(
        self,
        subset_size: int | None = None,
        max_points_per_centroid: int | None = representatives.MAX_POINTS_PER_CENTROID,
    ) -> None:
        super().__init__(subset_size)
        if max_points_per_centroid is not None and max_points_per_centroid < 1:
            raise ConfigError(
                f"Expected `max_points_per_centroid` of at least 1, or null for all points, got "
                f"{max_points_per_centroid}."
            )
        self.max_points_per_centroid = max_points_per_centroid

    @property
    def clusters_all(self) -> bool:
        """Whether k-means needs all candidates in memory, and not a sample."""
        return self.max_points_per_centroid is None

    def select_representatives(
        self, query: Query, rows: Rows, candidates: Tensor
    ) -> representatives.Selection:
        """The candidates nearest the centres of B clusters, on the unit sphere.

        Args:
            query: The query to answer.
            rows: What the candidates are clustered by, ``(C, D)``; overwritten if a tensor.
            candidates: Their positions in the pool, ``(C,)``, int64, on the CPU.
        """
        normalized: Rows
        if isinstance(rows, Tensor):
            normalized = F.normalize(rows, out=rows)
        else:
            normalized = MappedRows(rows, F.normalize)
        return representatives.select(
            normalized,
            candidates,
            query.num,
            len(query.pool),
            query.generator,
            self.max_points_per_centroid,
        )


class KMeans(ClusterStrategy):
    """The example nearest the centre of each of B clusters of the pool, by its features alone.

    Features are scaled to unit length. It knows neither head nor labels: a cluster that holds
    labeled examples counts like any other. Takes the arguments of :class:`ClusterStrategy`.

    Memory: 4·D bytes for each point of the sample, and 4·U·D if the pool is in memory.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    def select(self, query: Query) -> Selection:
        """Scores are distances to the centre, NaN for examples that were drawn uniformly."""
        candidates = torch.arange(len(query.pool))
        # Of a query of its own: others may see query.pool_features, and this is overwritten.
        part = query.restricted_to(candidates)
        rows = part.pool_features if self.clusters_all else part.feature_rows
        selected = self.select_representatives(query, rows, candidates)
        derived = {"num_uniform": selected.num_uniform}
        return Selection(selected.positions, selected.distances, derived)
