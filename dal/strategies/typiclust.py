"""TypiClust: typical points of clusters that have no labels yet."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dal.errors import ConfigError
from dal.functional import typicality
from dal.functional.rows import Rows
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy

# From more points than that, the centres are fitted to a sample.
MAX_CLUSTERED_POINTS = 200_000
MAX_POINTS_PER_CENTROID = 256  # the default of faiss


class TypiClust(Strategy):
    """Clusters labeled and pool features together and takes the densest point of each.

    It looks at features alone, and always in float32. Typicality is computed from distances, as in
    the paper; the code of its authors squares them.

    Args:
        subset_size: As in :class:`Strategy`.
        normalize: Whether features are scaled to unit length first, as the original does. The runs
            of Huseljic et al. (2024) took them as they are.
        max_clusters: There are |L| + B clusters, but at most this many; the original takes 500.
            With more labels than that, a cluster gives several points, and the selection is closer
            to a random one.
        max_points_per_centroid: With more than 200,000 points, the centres of the clusters are
            fitted to a random sample of this many for each; to all points if None. Every point is
            in the cluster of the nearest centre. The original takes mini-batches for large pools.

    Raises:
        ConfigError: If ``max_clusters`` or ``max_points_per_centroid`` is below 1.

    Memory: 12·(L + U)·D bytes; with a sample 4·D for each of its points, 24·(L + U) and one
    cluster.

    References:
        Hacohen et al. (2022), "Active learning on a budget", algorithm 1.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(
        self,
        subset_size: int | None = None,
        normalize: bool = True,
        max_clusters: int = typicality.MAX_CLUSTERS,
        max_points_per_centroid: int | None = MAX_POINTS_PER_CENTROID,
    ) -> None:
        super().__init__(subset_size)
        if max_clusters < 1:
            raise ConfigError(f"Expected `max_clusters` of at least 1, got {max_clusters}.")
        if max_points_per_centroid is not None and max_points_per_centroid < 1:
            raise ConfigError(
                f"Expected `max_points_per_centroid` of at least 1, or null for all points, got "
                f"{max_points_per_centroid}."
            )
        self.normalize = normalize
        self.max_points_per_centroid = max_points_per_centroid
        self.max_clusters = max_clusters

    def select(self, query: Query) -> Selection:
        """One point of each cluster in turns: clusters without labels first, then the largest.

        Scores are typicalities, NaN for points that were drawn uniformly.
        """
        num_labeled = len(query.labeled)
        max_points = self.max_points_per_centroid
        if num_labeled + len(query.pool) <= MAX_CLUSTERED_POINTS:
            max_points = None
        features: Rows = _JoinedRows(query, self.normalize)
        if max_points is None:
            features = features[slice(None)]  # k-means needs them in memory
        selected = typicality.select(
            features, num_labeled, query.num, query.generator, self.max_clusters, max_points
        )
        derived = {"num_clusters": selected.num_clusters, "num_uniform": selected.num_uniform}
        return Selection(selected.positions, selected.typicality, derived)


class _JoinedRows:
    """The labeled features and then those of the pool, ``(L + U, D)``, read when needed."""

    def __init__(self, query: Query, normalize: bool) -> None:
        self.query = query
        self.normalize = normalize
        self.dtype = torch.float32
        self.device = query.device
        self.shape = torch.Size([len(query.labeled) + len(query.pool), query.pool.num_features])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        numbers = torch.arange(len(self))[rows] if isinstance(rows, slice) else rows.cpu()
        num_labeled = len(self.query.labeled)
        is_labeled = numbers < num_labeled
        found = torch.empty(len(numbers), self.shape[1], device=self.device)
        found[is_labeled] = self.query.labeled.take(numbers[is_labeled]).load()
        found[~is_labeled] = self.query.pool.take(numbers[~is_labeled] - num_labeled).load()
        return F.normalize(found, out=found) if self.normalize else found
