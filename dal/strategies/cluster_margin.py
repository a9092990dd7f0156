"""Cluster-Margin: uncertain examples of clusters large and small."""

from typing import ClassVar

from dal.errors import ConfigError, ResourceError
from dal.functional import linkage, sharding, uncertainty
from dal.runtime import devices
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy


class ClusterMargin(Strategy):
    """Random examples of clusters of those with the smallest margins, the smallest clusters first.

    The inputs of the last layer are clustered by average linkage. Only the candidates are
    clustered, which departs from the paper: there it is the whole pool, once.

    Args:
        subset_size: As in :class:`Strategy`.
        candidates_per_pick: Candidates for each example that is selected; the paper takes 10.
        cut: Clusters are merged up to this mean distance, as a share of the median distance of two
            candidates.

    Raises:
        ConfigError: If an argument is out of range.

    Memory: 20 bytes for each pair of candidates; whether the machine has it is checked before it is
    taken.

    References:
        Citovsky et al. (2021), "Batch active learning at scale", algorithm 1.
    """

    is_shared: ClassVar[bool] = True  # every process clusters all candidates

    def __init__(
        self, subset_size: int | None = None, candidates_per_pick: int = 10, cut: float = 0.5
    ) -> None:
        super().__init__(subset_size)
        if candidates_per_pick < 1:
            raise ConfigError(
                f"Expected `candidates_per_pick` of at least 1, got {candidates_per_pick}."
            )
        if cut < 0:
            raise ConfigError(f"Expected `cut` of at least 0, got {cut}.")
        self.candidates_per_pick = candidates_per_pick
        self.cut = cut

    def select(self, query: Query) -> Selection:
        """Scores are margins.

        Raises:
            ResourceError: If the machine has too little memory for the distances.
        """
        num_candidates = min(self.candidates_per_pick * query.num, len(query.pool))
        _check_memory(query, num_candidates)
        own, part = query.own_share()
        candidates, margins = sharding.lowest(
            part.map_pool(uncertainty.margin), num_candidates, own.start, query.shares
        )
        candidates = candidates.cpu()
        clusters = linkage.average_linkage(
            query.restricted_to(candidates).pool_embeddings, self.cut
        )
        drawn = linkage.round_robin(clusters.assignment, query.num, query.generator)
        derived = {
            "num_candidates": num_candidates,
            "num_clusters": int(clusters.assignment.max()) + 1,
            "max_distance": clusters.max_distance,
        }
        return Selection(candidates[drawn], margins[drawn], derived)


def _check_memory(query: Query, num_candidates: int) -> None:
    needed = linkage.peak_bytes(num_candidates)
    available = devices.available_bytes(query.device)
    if needed > available:
        raise ResourceError(
            f"ClusterMargin needs {devices.shown(needed)} for the distances of {num_candidates} "
            f"candidates, and {query.device} has {devices.shown(available)}. Lower "
            "strategy.candidates_per_pick, or select fewer examples at a time (al.acq_size)."
        )
