"""Average-linkage clusters, by scipy, and a few rows of each in turns.

References:
    [Citovsky2021] Citovsky et al. (2021), "Batch active learning at scale", algorithm 1.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# A float32 distance of each pair, its float64 copy, and the one that scipy works on.
BYTES_PER_PAIR = 4 + 8 + 8


class Clusters(NamedTuple):
    """Clusters of N rows, none empty.

    Attributes:
        assignment: Cluster of every row, ``(N,)``, int64, on the CPU; numbered from 0, in the order
            of their first rows.
        max_distance: The mean distance up to which clusters were merged.
    """

    assignment: Tensor
    max_distance: float


def peak_bytes(num_rows: int) -> int:
    """The memory that :func:`average_linkage` takes for the distances of so many rows.

    Example:
        >>> peak_bytes(10_000) / 1e9
        0.9999
    """
    return BYTES_PER_PAIR * num_rows * (num_rows - 1) // 2


def average_linkage(features: Tensor, cut: float) -> Clusters:
    """Clusters merged by the mean distance of their rows, up to a share of the median distance.

    Args:
        features: ``(N, D)``, N >= 1.
        cut: The share: the two closest clusters are merged as long as the mean distance of a row of
            one to a row of the other is at most ``cut`` times the median distance of two rows.

    Raises:
        ValueError: If there are no rows.

    Memory: see :func:`peak_bytes`.

    Example:
        >>> average_linkage(torch.tensor([[0.0], [9.0], [1.0], [8.0]]), cut=0.5)
        Clusters(assignment=tensor([0, 1, 0, 1]), max_distance=3.75)
    """
    # Half a second, which other strategies need not wait for.
    from scipy.cluster import hierarchy

    if len(features) == 0:
        raise ValueError("Expected `features` of at least one row, got none.")
    if len(features) == 1:
        return Clusters(torch.zeros(1, dtype=torch.int64), 0.0)
    distances = F.pdist(features).cpu().numpy()  # direct differences, (N (N - 1) / 2,)
    max_distance = cut * float(np.median(distances))
    merges = hierarchy.linkage(distances.astype(np.float64), "average")
    numbers = hierarchy.fcluster(merges, max_distance, "distance")  # (N,)
    _, first_rows, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    order = torch.from_numpy(first_rows).argsort().argsort()  # numbers by first rows
    return Clusters(order[torch.from_numpy(inverse)], max_distance)


def round_robin(assignment: Tensor, num: int, generator: torch.Generator) -> list[int]:
    """Rows drawn from clusters in turns, one of each, the smallest clusters first.

    Args:
        assignment: Cluster of every row, ``(N,)``, int64, on the CPU.
        num: How many rows to draw, in [0, N].
        generator: The randomness, of which every row drawn takes one integer; on the CPU.

    Returns:
        Distinct rows. Of clusters of equal size the lower number is first; one whose rows are all
        drawn is left out.

    Raises:
        ValueError: If ``num`` is out of range.

    Example:
        >>> rows = round_robin(torch.tensor([0, 0, 0, 1]), 3, torch.Generator().manual_seed(0))
        >>> rows[0], sorted(rows[1:])
        (3, [0, 2])
    """
    if not 0 <= num <= len(assignment):
        raise ValueError(f"Expected `num` in [0, {len(assignment)}], got {num}.")
    sizes = assignment.bincount()
    members = assignment.argsort(stable=True).split(sizes.tolist())
    queue = [members[cluster].tolist() for cluster in sizes.argsort(stable=True).tolist()]
    drawn: list[int] = []
    while len(drawn) < num:
        drawn += [
            rows.pop(int(torch.randint(len(rows), (), generator=generator)))
            for rows in queue[: num - len(drawn)]
        ]
        queue = [rows for rows in queue if rows]
    return drawn
