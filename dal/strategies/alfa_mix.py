"""ALFA-Mix: diverse examples whose predicted class changes on the way to labeled ones."""

from typing import ClassVar

from torch import Tensor

from dal.errors import ConfigError
from dal.functional import mixing, representatives
from dal.strategies.k_means import ClusterStrategy
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection


class AlfaMix(ClusterStrategy):
    """One example of each of B clusters of those that a step towards labeled ones reclassifies.

    The input of the last layer is mixed with the mean of each class, in the closed form of the
    paper: see :mod:`dal.functional.mixing`. The bound ε of what is mixed in grows until more than B
    examples change their predicted class. These are clustered by the same inputs, scaled to unit
    length.

    Args:
        subset_size: As in :class:`Strategy`.
        max_points_per_centroid: As in :class:`ClusterStrategy`.
        epsilon_step: ε is ``epsilon_step``, then twice that, and so on up to 1.

    Raises:
        ConfigError: If an argument is out of range.

    Memory: 4·E bytes for each point of the sample, and for each candidate if the pool is in memory.

    References:
        Parvaneh et al. (2022), "Active learning by feature mixing", algorithm 1, and their code.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.HEAD, Need.LABELS})
    is_shared: ClassVar[bool] = True  # every process clusters all candidates

    def __init__(
        self,
        subset_size: int | None = None,
        max_points_per_centroid: int | None = representatives.MAX_POINTS_PER_CENTROID,
        epsilon_step: float = 0.2,
    ) -> None:
        super().__init__(subset_size, max_points_per_centroid)
        if not 0 < epsilon_step <= 1:
            raise ConfigError(f"Expected `epsilon_step` in (0, 1], got {epsilon_step}.")
        self.epsilon_step = epsilon_step

    def select(self, query: Query) -> Selection:
        """Scores are distances to the centre, NaN for examples that were drawn uniformly."""
        weight = query.last_layer.weight
        anchors = mixing.anchors(query.labeled_embeddings, query.labels, query.num_classes)

        def strengths(features: Tensor) -> Tensor:
            embeddings, logits = query.embeddings(features), query.logits(features)
            return mixing.flip_strengths(embeddings, logits, weight, anchors)

        _, share = query.own_share()
        candidates, epsilon = mixing.candidates(
            share.map_pool_features(strengths), query.num, self.epsilon_step, query.shares
        )
        candidates = candidates.cpu()
        part = query.restricted_to(candidates)
        rows = part.pool_embeddings if self.clusters_all else part.embedding_rows
        selected = self.select_representatives(query, rows, candidates)
        derived = {
            "epsilon": epsilon,
            "num_candidates": len(candidates),
            "num_uniform": selected.num_uniform,
        }
        return Selection(selected.positions, selected.distances, derived)
