"""TypiClust: typical points of clusters that have no labels yet."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dal.functional import typicality
from dal.strategies.query import Query
from dal.strategies.strategy import Strategy


class TypiClust(Strategy):
    """Clusters labeled and pool features together and takes the densest point of each.

    It looks at features alone, and always in float32.

    Args:
        subset_size: As in :class:`Strategy`.
        normalize: Whether features are scaled to unit length first, as the original does. The runs
            of Huseljic et al. (2024) took them as they are.

    Memory: 12·(L + U)·D bytes.

    References:
        Hacohen et al. (2022), "Active learning on a budget", algorithm 1.
    """

    def __init__(self, subset_size: int | None = None, normalize: bool = True) -> None:
        super().__init__(subset_size)
        self.normalize = normalize

    def select(self, query: Query) -> Tensor:
        """A point a cluster, those without labels and then the largest first."""
        features = torch.cat([query.labeled_features, query.pool_features])
        if self.normalize:
            features = F.normalize(features, out=features)
        num_labeled = len(query.labeled)
        return typicality.select(features, num_labeled, query.num, query.generator).positions
