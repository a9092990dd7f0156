"""Clusters and nearest neighbors of points, by faiss."""

from typing import NamedTuple  # noqa: I001  # torch is first

import torch  # before faiss: the other order has hung worker processes
import faiss
import numpy as np
from torch import Tensor

from dal.functional.rows import Rows

# Of rows that are assigned at a time: a multiple of the 4096 that faiss takes at a time itself, so
# that the chunks are the same to the last digit.
CHUNK_ROWS = 1 << 14

NUM_ITERATIONS = 25  # of k-means; the default of faiss


class Clusters(NamedTuple):
    """The clusters of N rows; some may be empty.

    Attributes:
        assignment: Cluster of every row, ``(N,)``, int64, on the CPU.
        centres: Of every cluster, ``(num, D)``, float32, on the CPU.
    """

    assignment: Tensor
    centres: Tensor


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
    return clusters(features, num, seed, max_points_per_centroid=None).assignment


def clusters(features: Rows, num: int, seed: int, max_points_per_centroid: int | None) -> Clusters:
    """Clusters by k-means, whose centres are those of a sample if there are many rows.

    Args:
        features: ``(N, D)``; read in chunks, and the sample before that.
        num: Number of clusters, in [1, N].
        seed: Of the sample and of the initial centres, in [0, 2³¹).
        max_points_per_centroid: The centres are fitted to a random sample of this many rows for
            each cluster if there are more; to all rows if None.

    Returns:
        Every row, of the sample or not, is in the cluster whose centre is nearest to it.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: a float32 copy of the sample, or, without one, as :func:`k_means`.

    Example:
        >>> features = torch.tensor([[0.0], [9.0], [1.0], [10.0]])
        >>> clusters(features, 2, seed=0, max_points_per_centroid=None).centres.sort(0).values
        tensor([[0.5000],
                [9.5000]])
    """
    num_rows = len(features)
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    num_points = min(num * (max_points_per_centroid or num_rows), num_rows)
    model = faiss.Kmeans(
        features.shape[1],
        num,
        niter=NUM_ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,
        # Not given, faiss takes a sample of 256 points for each centroid.
        max_points_per_centroid=num_points,
    )
    model.train(_float32_rows(features[_sample(num_rows, num_points, seed)]))
    assignment = torch.empty(num_rows, dtype=torch.int64)
    for start in range(0, num_rows, CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        nearest = model.index.search(_float32_rows(features[part]), 1)[1]  # (n, 1)
        assignment[part] = torch.from_numpy(nearest.ravel())
    return Clusters(assignment, torch.from_numpy(model.centroids))


def _sample(num_rows: int, num: int, seed: int) -> Tensor | slice:
    """The rows that faiss would draw itself, from a matrix that is in memory as a whole."""
    if num == num_rows:
        return slice(None)
    order = np.empty(num_rows, dtype=np.int32)
    faiss.rand_perm(faiss.swig_ptr(order), num_rows, seed)  # type: ignore[attr-defined]
    return torch.from_numpy(order[:num]).long()


class Neighbors(NamedTuple):
    """The nearest neighbors of N rows, nearest first.

    Attributes:
        distances: Euclidean, ``(N, num)``, float32, ascending, on the CPU.
        rows: Which rows they are, ``(N, num)``, int64, on the CPU.
    """

    distances: Tensor
    rows: Tensor


def nearest_neighbors(features: Tensor, num: int) -> Neighbors:
    """The rows that are nearest to each row, itself left out.

    Args:
        features: ``(N, D)``.
        num: Number of neighbors, in [1, N - 1].

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: 2·N·num entries, and one float32 copy as in :func:`k_means`.

    Example:
        >>> nearest_neighbors(torch.tensor([[0.0], [1.0], [3.0]]), 2).distances
        tensor([[1., 3.],
                [1., 2.],
                [2., 3.]])
    """
    rows = _float32_rows(features)
    if not 1 <= num < len(rows):
        raise ValueError(f"Expected `num` in [1, {len(rows) - 1}], got {num}.")
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    found = index.search(rows, num + 1)
    squares, neighbors = torch.from_numpy(found[0]), torch.from_numpy(found[1])  # (N, num + 1)
    # The row itself is the first, or behind duplicates of it. If it is behind too many of them to
    # be found, the first of them is left out instead.
    is_self = neighbors == torch.arange(len(rows))[:, None]
    is_self[:, 0] |= ~is_self.any(1)
    shape = (len(rows), num)
    # Rounding can push the square of a small distance below zero.
    distances = squares[~is_self].view(shape).clamp_min_(0).sqrt_()
    return Neighbors(distances, neighbors[~is_self].view(shape))


def _float32_rows(features: Tensor) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.ascontiguousarray(features.cpu().float().numpy())
