"""Typical points of the clusters that have the fewest labels.

The typicality of a point among others is the inverse of its mean distance to its nearest ones, an
estimate of the density around it. Distances are Euclidean, as in the paper; the code of its authors
takes their squares, which sometimes prefers another point.

References:
    [Hacohen2022] Hacohen et al. (2022), "Active learning on a budget: opposite strategies suit high
    and low budgets", equation 1, algorithm 1 and section 4.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import clustering, sampling
from dal.functional.rows import Rows

MAX_CLUSTERS = 500  # [Hacohen2022], appendix, and their code
MIN_CLUSTER_SIZE = 5  # clusters of this size or smaller are dropped; their code
NUM_NEIGHBORS = 20  # [Hacohen2022], section 3.2
SMOOTHING = 1e-5  # keeps the typicality of duplicates finite; their code

MAX_VISITS = 16  # of a cluster, for which its neighbors are searched together


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
    num_neighbors = _num_neighbors(len(features))
    if num_neighbors == 0:
        return torch.ones(len(features))
    return _inverse_means(clustering.nearest_neighbors(features, num_neighbors).distances)


def most_typical(features: Tensor, num: int) -> list[tuple[int, float]]:
    """Rows taken one after the other, each the most typical one of those that are left.

    The neighbors of all rows are searched once: when a row is taken, the next nearest one takes its
    place among the neighbors of others.

    Args:
        features: ``(N, D)``.
        num: How many rows to take, in [1, N]; fewer are taken if the number of neighbors changes.

    Returns:
        Each row that was taken, at least one, with its typicality among those that were left then.

    Memory: as :func:`typicality`, with N·(20 + num) entries.

    Example:
        >>> [row for row, score in most_typical(torch.tensor([[0.0], [1.0], [1.9], [9.0]]), 1)]
        [1]
    """
    num_neighbors = _num_neighbors(len(features))
    # Half of the rows, when there are few, become fewer.
    while num > 1 and _num_neighbors(len(features) - num + 1) < num_neighbors:
        num -= 1
    if num == 1:
        scores = typicality(features)
        return [(int(scores.argmax()), float(scores.max()))]
    distances, neighbors = clustering.nearest_neighbors(features, num_neighbors + num - 1)
    is_taken = torch.zeros_like(neighbors, dtype=torch.int8)
    taken: list[tuple[int, float]] = []
    scores = _inverse_means(distances[:, :num_neighbors])
    while True:
        scores[[row for row, _ in taken]] = -torch.inf
        best = int(scores.argmax())
        taken.append((best, float(scores[best])))
        if len(taken) == num:
            return taken
        is_taken |= neighbors == best
        nearest_left = is_taken.argsort(dim=1, stable=True)[:, :num_neighbors]
        scores = _inverse_means(distances.gather(1, nearest_left))


def _num_neighbors(num_rows: int) -> int:
    return min(NUM_NEIGHBORS, num_rows // 2)


def _inverse_means(distances: Tensor) -> Tensor:
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
    features: Rows,
    num_labeled: int,
    num: int,
    generator: torch.Generator,
    max_clusters: int = MAX_CLUSTERS,
    max_points_per_centroid: int | None = None,
) -> Selection:
    """The most typical points of the clusters that have the fewest labels.

    Clusters are visited in the order of :func:`ranked_clusters`, round after round. A visit takes
    the most typical one of the *free* points of the cluster, those neither labeled nor taken;
    typicality is computed among them. When no cluster has a free point left, the rest is drawn
    uniformly.

    Args:
        features: The labeled points and then the pool, ``(L + U, D)``. Read as
            :func:`clustering.clusters` reads them, and then one cluster at a time.
        num_labeled: L, at least 0.
        num: How many points to select, in [1, U].
        generator: Of the seed of k-means and of the uniform rest; on the CPU.
        max_clusters: There are L + ``num`` clusters, but at most this many.
        max_points_per_centroid: As in :func:`clustering.clusters`.

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
    assignment = clustering.clusters(
        features, num_clusters, seed, max_points_per_centroid
    ).assignment
    is_labeled = torch.arange(len(features)) < num_labeled

    queue = ranked_clusters(assignment, is_labeled)
    free_points = {
        cluster: ((assignment == cluster) & ~is_labeled).nonzero().flatten() for cluster in queue
    }
    selected: list[int] = []
    typicalities = torch.full((num,), torch.nan)
    next_points: dict[int, list[tuple[int, float]]] = {cluster: [] for cluster in queue}
    while len(selected) < num and queue:
        queue = [cluster for cluster in queue if len(free_points[cluster])]
        for cluster in queue[: num - len(selected)]:
            if not next_points[cluster]:
                points = free_points[cluster]
                num_visits = min(math.ceil((num - len(selected)) / len(queue)), MAX_VISITS)
                found = most_typical(features[points], min(num_visits, len(points)))
                next_points[cluster] = [(int(points[row]), score) for row, score in found]
            point, typicalities[len(selected)] = next_points[cluster].pop(0)
            selected.append(point - num_labeled)
            free_points[cluster] = free_points[cluster][free_points[cluster] != point]
    positions = sampling.fill_uniformly(selected, num, num_pool, generator)
    return Selection(positions, typicalities, num_clusters, num - len(selected))
