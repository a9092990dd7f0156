"""Clusters and nearest neighbors of points, by faiss."""

import torch  # noqa: I001  # before faiss: the other order has hung worker processes
import faiss
import numpy as np
from torch import Tensor

NUM_ITERATIONS = 25  # of k-means; the default of faiss


def k_means(features: Tensor, num: int, seed: int) -> Tensor:
    """The cluster of every row, by k-means on all rows.

    Args:
        features: ``(N, D)``.
        num: Number of clusters, in [1, N]. Some may stay empty if there are duplicates.
        seed: Of the initial centres, in [0, 2³¹).

    Returns:
        ``(N,)``, int64 in [0, num), on the CPU.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: one float32 copy of the features if they are not float32 on the CPU already.

    Example:
        >>> assignment = k_means(torch.tensor([[0.0], [9.0], [0.1], [9.1]]), 2, seed=0)
        >>> assignment == assignment[0]
        tensor([ True, False,  True, False])
    """
    rows = _float32_rows(features)
    if not 1 <= num <= len(rows):
        raise ValueError(f"Expected `num` in [1, {len(rows)}], got {num}.")
    model = faiss.Kmeans(
        rows.shape[1],
        num,
        niter=NUM_ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,
        # Otherwise faiss takes a sample of 256 points for each centroid.
        max_points_per_centroid=len(rows),
    )
    model.train(rows)
    return torch.from_numpy(model.index.search(rows, 1)[1].ravel())  # (N, 1) -> (N,)


def neighbor_distances(features: Tensor, num: int) -> Tensor:
    """Euclidean distances of every row to the rows nearest to it, itself left out.

    Args:
        features: ``(N, D)``.
        num: Number of neighbors, in [1, N - 1].

    Returns:
        ``(N, num)``, float32, ascending, on the CPU.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: N·num entries, and one float32 copy as in :func:`k_means`.

    Example:
        >>> neighbor_distances(torch.tensor([[0.0], [1.0], [3.0]]), 2)
        tensor([[1., 3.],
                [1., 2.],
                [2., 3.]])
    """
    rows = _float32_rows(features)
    if not 1 <= num < len(rows):
        raise ValueError(f"Expected `num` in [1, {len(rows) - 1}], got {num}.")
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    squares = torch.from_numpy(index.search(rows, num + 1)[0])  # (N, num + 1)
    # The first column is the row itself, or a duplicate at the same distance. Rounding can push
    # the square of a small distance below zero.
    return squares[:, 1:].clamp_min(0).sqrt()


def _float32_rows(features: Tensor) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.ascontiguousarray(features.cpu().float().numpy())
