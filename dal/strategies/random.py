"""The baseline: uniform sampling."""

from typing import ClassVar

import torch
from torch import Tensor

from dal.strategies.query import Query
from dal.strategies.strategy import Need, Strategy


class Random(Strategy):
    """Uniform without replacement. Reads no features; takes the arguments of :class:`Strategy`."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    is_shared: ClassVar[bool] = True  # there is nothing to share

    def select(self, query: Query) -> Tensor:
        """The start of a permutation of the pool."""
        return torch.randperm(len(query.pool), generator=query.generator)[: query.num]
