"""One row for each cluster of candidates: the row nearest the centre.

References:
    [Gupte2024] Gupte et al. (2024), "Revisiting active learning in the era of vision foundation
    models", algorithm 1. Their code fails if a cluster is empty.
    [Parvaneh2022] Parvaneh et al. (2022), "Active learning by feature mixing", section 3, and their
    code.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import clustering, sampling
from dal.functional.clustering import Clusters
from dal.functional.rows import Rows

CHUNK_ROWS = 1 << 11  # 6 MiB of float64 at D = 384: near the cache
# The default of faiss.
MAX_POINTS_PER_CENTROID = 256


class Selection(NamedTuple):
    """A batch: one row for each cluster that has one, in the order of the clusters.

    Attributes:
        positions: ``(B,)``, int64, distinct, on the CPU.
        distances: Of each to the centre of its cluster, ``(B,)``, float32, on the CPU; NaN for
            those drawn uniformly.
        num_uniform: How many were drawn uniformly, the last ones.
    """

    positions: Tensor
    distances: Tensor
    num_uniform: int


def nearest_rows(features: Rows, clusters: Clusters) -> tuple[Tensor, Tensor]:
    """The row of each cluster that is nearest the centre of the cluster.

    Distances are direct differences, in float64: the expansion ‖x‖² + ‖c‖² − 2x·c could not tell
    near-duplicates apart.

    Args:
        features: ``(N, D)``; read once, in chunks.
        clusters: Of these rows.

    Returns:
        Rows, ``(C,)``, int64, of the clusters that are not empty, in the order of the clusters; of
        equally near ones the lower. And their distances, ``(C,)``, float64. Both on the CPU.

    Memory: N float64, and two float64 copies of a chunk.

    Example:
        >>> clusters = Clusters(torch.tensor([0, 2, 2]), torch.tensor([[0.0], [5.0], [8.0]]))
        >>> nearest_rows(torch.tensor([[1.0], [7.5], [9.0]]), clusters)
        (tensor([0, 1]), tensor([1.0000, 0.5000], dtype=torch.float64))
    """
    centres = clusters.centres.to(features.device)
    squares = torch.empty(len(features), dtype=torch.float64, device=features.device)
    for start in range(0, len(features), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        own_centres = centres[clusters.assignment[part].to(features.device)]
        squares[part] = (features[part].double() - own_centres).square().sum(1)
    squares = squares.cpu()  # (N,)
    best = squares.new_full((len(centres),), torch.inf)
    best.scatter_reduce_(0, clusters.assignment, squares, "amin")
    rows = (squares == best[clusters.assignment]).nonzero().flatten()
    # Of equally near rows the lowest.
    first = torch.full((len(centres),), len(features))
    first.scatter_reduce_(0, clusters.assignment[rows], rows, "amin")
    nearest = first[first < len(features)]  # (C,)
    return nearest, squares[nearest].sqrt()


def select(
    features: Rows,
    candidates: Tensor,
    num: int,
    num_rows: int,
    generator: torch.Generator,
    max_points_per_centroid: int | None = MAX_POINTS_PER_CENTROID,
) -> Selection:
    """The candidates nearest the centres of as many k-means clusters as rows are asked for.

    ``num`` candidates or fewer are all selected, each a cluster of its own. What is missing then,
    or because clusters are empty, is drawn uniformly from all other rows.

    Args:
        features: Of the candidates, ``(C, D)``, C >= 0; read as :func:`clustering.clusters` reads
            them, and once more.
        candidates: Which rows of the pool they are, ``(C,)``, int64, distinct, on the CPU.
        num: How many rows to select, in [1, U].
        num_rows: U.
        generator: Of the seed of k-means and of the uniform rest; on the CPU.
        max_points_per_centroid: As in :func:`clustering.clusters`.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: as :func:`clustering.clusters` and :func:`nearest_rows`.

    Example:
        >>> features = torch.tensor([[0.0], [1.0], [3.0], [90.0], [91.0], [93.0]])
        >>> generator = torch.Generator().manual_seed(0)
        >>> selection = select(features, torch.arange(10, 16), 2, 99, generator)
        >>> selection.positions.sort().values, selection.num_uniform
        (tensor([11, 14]), 0)
    """
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    distances = torch.full((num,), torch.nan)
    if len(candidates) <= num:
        chosen = candidates
        distances[: len(chosen)] = 0
    else:
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        clusters = clustering.clusters(features, num, seed, max_points_per_centroid)
        nearest, to_centres = nearest_rows(features, clusters)
        chosen = candidates[nearest]
        distances[: len(chosen)] = to_centres.float()
    positions = sampling.fill_uniformly(chosen.tolist(), num, num_rows, generator)
    return Selection(positions, distances, num - len(chosen))
