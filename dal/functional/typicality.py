"""Typical points of clusters, by faiss.

The typicality of a point among others is the inverse of its mean distance to its nearest ones, an
estimate of the density around it.

References:
    Hacohen et al. (2022), "Active learning on a budget: opposite strategies suit high and low
    budgets", equation 1, algorithm 1 and section 4.
"""

import torch  # noqa: I001  # before faiss: the other order has hung worker processes
import faiss
import numpy as np
from torch import Tensor

MAX_CLUSTERS = 500  # Hacohen et al. (2022), appendix, and their code
MIN_CLUSTER_SIZE = 5  # clusters of so many points or fewer are dropped; their code
NUM_NEIGHBORS = 20  # Hacohen et al. (2022), section 3.2
SMOOTHING = 1e-5  # keeps duplicates from infinite typicality; their code
NUM_ITERATIONS = 25  # of k-means; faiss's default


def clusters(features: Tensor, num: int, seed: int) -> Tensor:
    """The k-means cluster of every row, from all rows.

    Args:
        features: ``(N, D)``.
        num: Number of clusters, in [1, N]. Some may stay empty, if rows are duplicates.
        seed: Of the initial centres, in [0, 2³¹).

    Returns:
        ``(N,)``, int64 in [0, num), on the CPU.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: one float32 copy of the features if they are not float32 on the CPU already.
    """
    rows = _rows(features)
    if not 1 <= num <= len(rows):
        raise ValueError(f"Expected `num` in [1, {len(rows)}], got {num}.")
    k_means = faiss.Kmeans(
        rows.shape[1],
        num,
        niter=NUM_ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,
        # Otherwise faiss takes a sample of 256 points a centroid.
        max_points_per_centroid=len(rows),
    )
    k_means.train(rows)
    return torch.from_numpy(k_means.index.search(rows, 1)[1].ravel())


def typicality(features: Tensor) -> Tensor:
    """Inverse mean Euclidean distance of every row to its nearest neighbors among the rows.

    The neighbors are the 20 nearest, or half of the rows if that is fewer.

    Args:
        features: ``(N, D)`` with N >= 1.

    Returns:
        ``(N,)``, float32, on the CPU; the same for a row that is alone.

    Memory: N·20 entries, and one float32 copy as in :func:`clusters`.
    """
    rows = _rows(features)
    num_neighbors = min(NUM_NEIGHBORS, len(rows) // 2)
    if num_neighbors == 0:
        return torch.ones(len(rows))
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    # The first column is the row itself, or a duplicate at the same distance.
    squares = torch.from_numpy(index.search(rows, num_neighbors + 1)[0])[:, 1:]
    return 1 / (squares.clamp_min(0).sqrt().mean(1) + SMOOTHING)


def ranked_clusters(assignment: Tensor, is_labeled: Tensor) -> list[int]:
    """Clusters of more than 5 points, those with the fewest labeled points first, then by size.

    Args:
        assignment: Cluster of every point, ``(N,)``, int64.
        is_labeled: ``(N,)``.

    Returns:
        Cluster numbers; of equal ones the lower first.
    """
    sizes = assignment.bincount()
    num_labeled = assignment[is_labeled].bincount(minlength=len(sizes))
    kept = (sizes > MIN_CLUSTER_SIZE).nonzero().flatten().tolist()
    return sorted(kept, key=lambda cluster: (int(num_labeled[cluster]), -int(sizes[cluster])))


def select(features: Tensor, num_labeled: int, num: int, generator: torch.Generator) -> Tensor:
    """Positions in the pool of the most typical points of the clusters least covered by labels.

    Clusters are visited in the order of :func:`ranked_clusters`, round after round. A visit takes
    the most typical of the cluster's points that are neither labeled nor taken, typicality being
    among those. When no cluster has any left, the rest is drawn uniformly.

    Args:
        features: The labeled points and then the pool, ``(L + U, D)``.
        num_labeled: L, at least 0.
        num: How many positions to select, in [1, U].
        generator: Of the clustering's seed and the uniform rest; on the CPU.

    Returns:
        ``(num,)``, int64, distinct, in [0, U), on the CPU.

    Raises:
        ValueError: If ``num`` is out of range.
    """
    num_pool = len(features) - num_labeled
    if not 1 <= num <= num_pool:
        raise ValueError(f"Expected `num` in [1, {num_pool}], got {num}.")
    num_clusters = min(num_labeled + num, MAX_CLUSTERS)
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    assignment = clusters(features, num_clusters, seed)
    is_free = torch.ones(len(features), dtype=torch.bool)
    is_free[:num_labeled] = False

    queue = ranked_clusters(assignment, ~is_free)
    free_points = {
        cluster: ((assignment == cluster) & is_free).nonzero().flatten() for cluster in queue
    }
    selected: list[int] = []
    while len(selected) < num and queue:
        queue = [cluster for cluster in queue if len(free_points[cluster])]
        for cluster in queue[: num - len(selected)]:
            points = free_points[cluster]
            best = int(typicality(features[points]).argmax())
            selected.append(int(points[best]) - num_labeled)
            free_points[cluster] = torch.cat([points[:best], points[best + 1 :]])
    is_free[num_labeled:][selected] = False
    rest = is_free[num_labeled:].nonzero().flatten()
    order = torch.randperm(len(rest), generator=generator)[: num - len(selected)]
    return torch.cat([torch.tensor(selected, dtype=torch.int64), rest[order]])


def _rows(features: Tensor) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.ascontiguousarray(features.cpu().float().numpy())
