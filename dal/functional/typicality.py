"""Typical points of the clusters that have the fewest labels.

The typicality of a point among others is the inverse of its mean distance to its nearest ones, an
estimate of the density around it. Distances are Euclidean, as in the paper; the code of its authors
takes their squares, which sometimes prefers another point.

References:
    [Hacohen2022] Hacohen et al. (2022), "Active learning on a budget: opposite strategies suit high
    and low budgets", equation 1, algorithm 1 and section 4.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import clustering, sampling

MAX_CLUSTERS = 500  # [Hacohen2022], appendix, and their code
MIN_CLUSTER_SIZE = 5  # clusters of this size or smaller are dropped; their code
NUM_NEIGHBORS = 20  # [Hacohen2022], section 3.2
SMOOTHING = 1e-5  # keeps the typicality of duplicates finite; their code


class Selection(NamedTuple):
    """A batch, in the order in which it was chosen.

    Attributes:
        positions: ``(B,)``, int64, distinct, on the CPU.
        typicality: Of each among the points of its cluster that were free then, ``(B,)``, float32;
            NaN for those drawn uniformly.
        num_clusters: How many clusters k-means was asked for; small ones were dropped.
        num_uniform: How many were drawn uniformly, the last ones.
    """

    positions: Tensor
    typicality: Tensor
    num_clusters: int
    num_uniform: int


def typicality(features: Tensor) -> Tensor:
    """Inverse mean Euclidean distance of every row to its nearest neighbors among the rows.

    The neighbors are the 20 nearest, or half of the rows if that is fewer.

    Args:
        features: ``(N, D)`` with N >= 1.

    Returns:
        ``(N,)``, float32, on the CPU; 1 for a row that is alone.

    Memory: N·20 entries, and one float32 copy as in :func:`clustering.k_means`.

    Example:
        >>> typicality(torch.tensor([[0.0], [2.0], [6.0]]))
        tensor([0.5000, 0.5000, 0.2500])
    """
    num_neighbors = min(NUM_NEIGHBORS, len(features) // 2)
    if num_neighbors == 0:
        return torch.ones(len(features))
    distances = clustering.neighbor_distances(features, num_neighbors)
    return 1 / (distances.mean(1) + SMOOTHING)


def ranked_clusters(assignment: Tensor, is_labeled: Tensor) -> list[int]:
    """Clusters of more than 5 points: first those with the fewest labeled points, then the largest.

    Args:
        assignment: Cluster of every point, ``(N,)``, int64.
        is_labeled: ``(N,)``.

    Returns:
        Cluster numbers; of equal ones the lower first.

    Example:
        >>> assignment = torch.tensor([0] * 6 + [1] * 7 + [2] * 8 + [3] * 5)
        >>> is_labeled = torch.arange(26) == 20  # in cluster 2
        >>> ranked_clusters(assignment, is_labeled)
        [1, 0, 2]
    """
    sizes = assignment.bincount()
    num_labeled = assignment[is_labeled].bincount(minlength=len(sizes))
    kept = (sizes > MIN_CLUSTER_SIZE).nonzero().flatten().tolist()
    return sorted(kept, key=lambda cluster: (int(num_labeled[cluster]), -int(sizes[cluster])))


def select(
    features: Tensor,
    num_labeled: int,
    num: int,
    generator: torch.Generator,
    max_clusters: int = MAX_CLUSTERS,
) -> Selection:
    """The most typical points of the clusters that have the fewest labels.

    Clusters are visited in the order of :func:`ranked_clusters`, round after round. A visit takes
    the most typical one of the *free* points of the cluster, those neither labeled nor taken;
    typicality is computed among them. When no cluster has a free point left, the rest is drawn
    uniformly.

    Args:
        features: The labeled points and then the pool, ``(L + U, D)``.
        num_labeled: L, at least 0.
        num: How many points to select, in [1, U].
        generator: Of the seed of k-means and of the uniform rest; on the CPU.
        max_clusters: There are L + ``num`` clusters, but at most this many.

    Returns:
        Positions in the pool, in [0, U), and how they came about.

    Raises:
        ValueError: If ``num`` is out of range.

    Example:
        Two clusters, with the first point labeled:

        >>> far = torch.tensor([90.0, 91.0, 92.0, 94.0, 97.0, 99.0])
        >>> features = torch.cat([torch.arange(9.0), far])[:, None]
        >>> select(features, num_labeled=1, num=1, generator=torch.Generator().manual_seed(0))
        Selection(positions=tensor([9]), typicality=tensor([0.6000]), num_clusters=2, num_uniform=0)
    """
    num_pool = len(features) - num_labeled
    if not 1 <= num <= num_pool:
        raise ValueError(f"Expected `num` in [1, {num_pool}], got {num}.")
    num_clusters = min(num_labeled + num, max_clusters)
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    assignment = clustering.k_means(features, num_clusters, seed)
    is_labeled = torch.arange(len(features)) < num_labeled

    queue = ranked_clusters(assignment, is_labeled)
    free_points = {
        cluster: ((assignment == cluster) & ~is_labeled).nonzero().flatten() for cluster in queue
    }
    selected: list[int] = []
    typicalities = torch.full((num,), torch.nan)
    while len(selected) < num and queue:
        queue = [cluster for cluster in queue if len(free_points[cluster])]
        for cluster in queue[: num - len(selected)]:
            points = free_points[cluster]
            scores = typicality(features[points])
            best = int(scores.argmax())
            typicalities[len(selected)] = scores[best]
            selected.append(int(points[best]) - num_labeled)
            free_points[cluster] = torch.cat([points[:best], points[best + 1 :]])
    positions = sampling.fill_uniformly(selected, num, num_pool, generator)
    return Selection(positions, typicalities, num_clusters, num - len(selected))
