"""The baseline."""

import torch
from torch import Tensor

from dal.strategies.query import Query
from dal.strategies.strategy import Strategy


class Random(Strategy):
    """Uniform without replacement. Reads no features; takes the arguments of :class:`Strategy`."""

    def select(self, query: Query) -> Tensor:
        """The head of a permutation of the pool."""
        return torch.randperm(len(query.pool), generator=query.generator)[: query.num]
