"""TypiClust: typical points of clusters that have no labels yet."""

from typing import ClassVar

import torch
import torch.nn.functional as F

from dal.errors import ConfigError
from dal.functional import typicality
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy


class TypiClust(Strategy):
    """Clusters labeled and pool features together and takes the densest point of each.

    It looks at features alone, and always in float32. Typicality is computed from distances, as in
    the paper; the code of its authors squares them.

    Args:
        subset_size: As in :class:`Strategy`.
        normalize: Whether features are scaled to unit length first, as the original does. The runs
            of Huseljic et al. (2024) took them as they are.
        max_clusters: There are ``|L| + B`` clusters, but at most this many; the original takes 500.
            With more labels than that, a cluster gives several points, and the selection is closer
            to a random one.

    Raises:
        ConfigError: If ``max_clusters`` is below 1.

    Memory: 12·(L + U)·D bytes.

    References:
        Hacohen et al. (2022), "Active learning on a budget", algorithm 1.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(
        self,
        subset_size: int | None = None,
        normalize: bool = True,
        max_clusters: int = typicality.MAX_CLUSTERS,
    ) -> None:
        super().__init__(subset_size)
        if max_clusters < 1:
            raise ConfigError(f"Expected `max_clusters` of at least 1, got {max_clusters}.")
        self.normalize = normalize
        self.max_clusters = max_clusters

    def select(self, query: Query) -> Selection:
        """One point of each cluster in turns: clusters without labels first, then the largest.

        Scores are typicalities, NaN for points that were drawn uniformly.
        """
        features = torch.cat([query.labeled_features, query.pool_features])
        if self.normalize:
            features = F.normalize(features, out=features)
        num_labeled = len(query.labeled)
        selected = typicality.select(
            features, num_labeled, query.num, query.generator, self.max_clusters
        )
        derived = {"num_clusters": selected.num_clusters, "num_uniform": selected.num_uniform}
        return Selection(selected.positions, selected.typicality, derived)
