"""TCM: typical examples while there are few labels, and uncertain ones after that."""

from dataclasses import replace
from typing import ClassVar

from dal.errors import ConfigError
from dal.functional import typicality
from dal.strategies import typiclust
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy
from dal.strategies.typiclust import TypiClust
from dal.strategies.uncertainty import Margin


class Tcm(Strategy):
    """:class:`TypiClust` while there are few labels, then :class:`Margin`.

    Which of them selects depends on the number of labels alone, so that a resumed run agrees. Only
    a query without a head, which has no margins, is always answered by TypiClust.

    Args:
        subset_size: As in :class:`Strategy`.
        switch_after: Number of labels from which on Margin selects; 4·B if None.
        normalize: As in :class:`TypiClust`.
        max_clusters: As in :class:`TypiClust`.
        max_points_per_centroid: As in :class:`TypiClust`.

    Raises:
        ConfigError: If an argument is out of range.

    Memory: as TypiClust, then as Margin.

    References:
        Doucet et al. (2024), "Bridging diversity and uncertainty in active learning with
        self-supervised pre-training".
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(
        self,
        subset_size: int | None = None,
        switch_after: int | None = None,
        normalize: bool = True,
        max_clusters: int = typicality.MAX_CLUSTERS,
        max_points_per_centroid: int | None = typiclust.MAX_POINTS_PER_CENTROID,
    ) -> None:
        super().__init__(subset_size)
        if switch_after is not None and switch_after < 1:
            raise ConfigError(
                f"Expected `switch_after` of at least 1, or null for four acquisition sizes, got "
                f"{switch_after}."
            )
        self.switch_after = switch_after
        self.typiclust = TypiClust(None, normalize, max_clusters, max_points_per_centroid)
        self.margin = Margin()

    def select(self, query: Query) -> Selection:
        """Scores are those of the strategy that selects, which ``derived`` names."""
        switch_after = 4 * query.num if self.switch_after is None else self.switch_after
        is_typical = query.head is None or len(query.labeled) < switch_after
        strategy: Strategy = self.typiclust if is_typical else self.margin
        selection = strategy(query)
        return replace(
            selection, derived={**selection.derived, "selected_by": type(strategy).__name__}
        )
