"""Falcun: uncertain examples whose class probabilities differ from each other."""

from typing import ClassVar

from dal.errors import ConfigError
from dal.functional import falcun
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy


class Falcun(Strategy):
    """Draws by uncertainty and by the distance of class probabilities to what was drawn.

    Args:
        subset_size: As in :class:`Strategy`.
        gamma: Exponent of the relevance, above 0; Gilhuber et al. (2024) take 10.

    Memory: 4·U·K bytes, and 48 for each example.

    References:
        Gilhuber et al. (2024), "Falcun: A simple and efficient deep active learning strategy".
    """

    is_shared: ClassVar[bool] = True

    def __init__(self, subset_size: int | None = None, gamma: float = 10.0) -> None:
        super().__init__(subset_size)
        if gamma <= 0:
            raise ConfigError(f"Expected `gamma` above 0, got {gamma}.")
        self.gamma = gamma

    def select(self, query: Query) -> Selection:
        """In the order of the draws; scores are relevances, NaN for what was drawn uniformly."""
        _, part = query.own_share()
        selected = falcun.select(
            part.pool_probs_by_class, query.num, query.generator, self.gamma, query.shares
        )
        derived = {"num_uniform": selected.num_uniform}
        return Selection(selected.positions, selected.relevances, derived)
