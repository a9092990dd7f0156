"""REFINE: strategies filter the pool together, and uncertain coverage selects from what is left."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dal.errors import ConfigError
from dal.functional import sampling
from dal.strategies.badge import Badge
from dal.strategies.bait import BaitBinary
from dal.strategies.drop_query import DropQuery
from dal.strategies.herding import MaxHerding, UHerding
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy
from dal.strategies.typiclust import TypiClust
from dal.strategies.uncertainty import Margin

DEFAULT_STRATEGIES = (Margin, Badge, BaitBinary, TypiClust, DropQuery, MaxHerding)


class Refine(Strategy):
    """Narrows the pool to what any of several strategies would select, and covers that.

    In every round each strategy selects B examples from each of several random subsets of the
    candidates, and all that were selected are the candidates of the next round. Where they are
    more than ``max_candidates``, that many of them are kept, drawn uniformly: each was selected
    by some strategy, and there is no common score to rank them by.

    The last strategy sees the candidates in the place of the pool: UHerding covers the candidates
    and not the whole pool, whose filtering would be undone otherwise.

    Args:
        strategies: What selects in every round; if not given, Margin, BADGE, BAIT (Binary),
            TypiClust, DropQuery and MaxHerding.
        subset_size: As in :class:`Strategy`.
        final: What selects from the last candidates; :class:`UHerding` by default.
        num_rounds: Rounds of filtering.
        num_subsets: Random subsets of a round.
        first_size: Rows of a subset in the first round; B if that is more.
        share: Of the candidates that is in a subset of the later rounds, in (0, 1]; B rows if that
            is more.
        max_candidates: Candidates that a round keeps at most; B if that is more.

    Attributes:
        needs: What any of the strategies needs.

    Memory: of a strategy on a subset, and of the final one on the candidates.

    Raises:
        ConfigError: If there is no strategy, or a number is out of range.

    References:
        Huseljic et al. (2025), "Cleaning the pool: progressive filtering of unlabeled pools in deep
        active learning".
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.HEAD, Need.REFIT})

    def __init__(
        self,
        strategies: Sequence[Strategy] | None = None,
        subset_size: int | None = None,
        final: Strategy | None = None,
        num_rounds: int = 5,
        num_subsets: int = 10,
        first_size: int = 5000,
        share: float = 0.4,
        max_candidates: int = 10_000,
    ) -> None:
        super().__init__(subset_size)
        if strategies is None:
            strategies = [make() for make in DEFAULT_STRATEGIES]
        if not strategies:
            raise ConfigError("Expected at least one strategy in `strategies`, got none.")
        for name, value in (
            ("num_rounds", num_rounds),
            ("num_subsets", num_subsets),
            ("first_size", first_size),
            ("max_candidates", max_candidates),
        ):
            if value < 1:
                raise ConfigError(f"Expected `{name}` of at least 1, got {value}.")
        if not 0 < share <= 1:
            raise ConfigError(f"Expected `share` in (0, 1], got {share}.")
        self.strategies = list(strategies)
        self.final = UHerding() if final is None else final
        self.num_rounds = num_rounds
        self.num_subsets = num_subsets
        self.first_size = first_size
        self.share = share
        self.max_candidates = max_candidates
        parts = (*self.strategies, self.final)
        self.needs = frozenset().union(*(part.needs for part in parts))  # type: ignore[misc]

    def select(self, query: Query) -> Selection:
        """In the order of the final strategy, with its scores and what it derived."""
        candidates = torch.arange(len(query.pool))
        for number in range(self.num_rounds):
            size = self.first_size if number == 0 else int(self.share * len(candidates))
            size = min(max(size, query.num), len(candidates))
            candidates = self._filtered(query, candidates, size)
        selection = self.final(query.restricted_to(candidates))
        derived = {**selection.derived, "num_candidates": len(candidates)}
        return Selection(candidates[selection.positions], selection.scores, derived)

    def _filtered(self, query: Query, candidates: Tensor, size: int) -> Tensor:
        """What any strategy selects from any of the subsets, ascending."""
        is_selected = torch.zeros(len(candidates), dtype=torch.bool)
        _ = query.labeled_features  # loaded once for all subsets
        for _ in range(self.num_subsets):
            order = torch.randperm(len(candidates), generator=query.generator)
            subset = order[:size].sort().values
            part = query.restricted_to(candidates[subset])
            _ = part.pool_features  # read once for all strategies
            for strategy in self.strategies:
                is_selected[subset[strategy(part).positions]] = True
        rows = is_selected.nonzero().flatten()
        num_kept = max(self.max_candidates, query.num)
        if len(rows) > num_kept:
            kept = sampling.fill_uniformly([], num_kept, len(rows), query.generator)
            rows = rows[kept.sort().values]
        return candidates[rows]
