"""Falcun: draws by uncertainty and by the distance of class probabilities to what was drawn.

The uncertainty of a row is u = 1 − (p₁ − p₂), and its distance starts there, d = u. For each draw
the relevance of a row is r = u + (d − min d) / (max d − min d), with the extremes over the rows
that are left; one is drawn with probability ∝ r^gamma; then d ← min(d, ‖p − q‖₁), where q are the
probabilities of the row that was drawn.

Few rows come nearer with a draw, and which ones may do so is seen from a few classes. With
``|a − b| = a + b − 2 min(a, b)``, and since probabilities sum to 1,

    ‖p − q‖₁ = 2 (1 − Σ_k min(p_k, q_k)).

For a set T of classes outside of which q has the mass t, Σ_k min(p_k, q_k) is at most
t + Σ_{k∈T} min(p_k, q_k), hence

    ‖p − q‖₁ ≥ 2 (1 − t − Σ_{k∈T} min(p_k, q_k)).

Where this bound is not below d, d stays as it is; for the other rows the distance is computed from
all classes. T is the smallest set with t <= 0.35, by classes of descending q. For that the
probabilities are stored by class.

References:
    Gilhuber et al. (2024), "Falcun: A simple and efficient deep active learning strategy",
    algorithm 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import sampling, sharding
from dal.functional.sharding import Shares

# Distances that all differ by less differ by the rounding of the probabilities, which would decide
# the draws once it is scaled to [0, 1].
NEGLIGIBLE = 1e-6
MAX_TAIL = 0.35  # t: with less there are more classes to read, with more the bound is too low
CHUNK_ENTRIES = 1 << 21


class Selection(NamedTuple):
    """Rows in the order in which they were drawn.

    Attributes:
        positions: ``(B,)``, int64, distinct.
        relevances: Of each when it was drawn, ``(B,)``, float64; NaN for those drawn uniformly.
        num_uniform: How many were drawn uniformly, the last ones.
    """

    positions: Tensor
    relevances: Tensor
    num_uniform: int


def uncertainty(probs_by_class: Tensor) -> Tensor:
    """Of each row, u = 1 − (p₁ − p₂), in [0, 1], float64.

    Args:
        probs_by_class: ``(K, N)`` with K >= 2.

    Example:
        >>> uncertainty(torch.tensor([[0.5, 1.0], [0.25, 0.0], [0.25, 0.0]]))
        tensor([0.7500, 0.0000], dtype=torch.float64)
    """
    unsure = probs_by_class.new_empty(probs_by_class.shape[1], dtype=torch.float64)
    size = sharding.CHUNK_ROWS
    chunks = zip(probs_by_class.split(size, 1), unsure.split(size), strict=True)
    for probs, found in chunks:
        highest, classes = probs.max(0, keepdim=True)  # (1, n)
        second = probs.scatter(0, classes, -1).amax(0)
        found.copy_(1 - (highest[0].double() - second.double()))
    return unsure


def select(
    probs_by_class: Tensor,
    num: int,
    generator: torch.Generator,
    gamma: float = 10.0,
    shares: Shares = sharding.ALONE,
) -> Selection:
    """Rows drawn by relevance.

    Where all distances are equal, the relevance is the uncertainty alone. A row of relevance 0 is
    not drawn while there are others; after that the rest is drawn uniformly.

    Args:
        probs_by_class: Class probabilities of N rows, ``(K, N)`` with K >= 2, contiguous. Of
            several processes, each has those of its own share.
        num: How many rows to draw, in [1, N].
        generator: The randomness; on the CPU.
        gamma: The exponent, above 0.
        shares: The processes that draw together, each with whole chunks of CHUNK_ROWS rows.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: that of ``probs_by_class``, six float64 per row, and chunks.

    Example:
        Of two equal rows, one comes last:

        >>> probs = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.2], [0.0, 0.0, 0.8]])
        >>> selected = select(probs, 3, torch.Generator().manual_seed(0), gamma=40.0)
        >>> selected.positions, selected.relevances
        (tensor([1, 2, 0]), tensor([2.0000, 1.4000, 1.0000], dtype=torch.float64))
    """
    num_own = probs_by_class.shape[1]
    num_rows, offset = shares.placed(num_own)
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    unsure = uncertainty(probs_by_class)
    distances = unsure.clone()
    relevance, masses = torch.empty_like(unsure), torch.empty_like(unsure)
    draws = sampling.Draws(num_own, unsure.device, shares)
    relevances = torch.full((num,), torch.nan, dtype=torch.float64, device=unsure.device)
    drawn: list[int] = []
    own_drawn: list[int] = []
    left = 0  # the lowest own row that is left
    while len(drawn) < num:
        bounds = distances.new_full((2,), -torch.inf)  # −min d and max d
        if left < num_own:
            # No extremum of the others: a drawn row takes the distance of one that is left.
            distances[own_drawn] = distances[left].item()
            bounds = torch.stack([-distances.amin(), distances.amax()])
        negated, highest = shares.gathered(bounds[None]).amax(0)
        lowest = -negated
        relevance.copy_(unsure)
        if highest - lowest > NEGLIGIBLE:
            torch.sub(distances, lowest, out=masses)
            relevance.add_(masses.div_(highest - lowest))
        relevance[own_drawn] = 0
        most = relevance.amax() if num_own else relevance.new_zeros(())
        most = shares.gathered(most[None]).amax()
        if most == 0:
            break
        # Relative to the highest one, so that no exponent leaves the range of float64.
        torch.div(relevance, most, out=masses)
        for part in masses.split(sharding.CHUNK_ROWS):  # the last digit depends on the place
            part.pow_(gamma)
        draws.update(masses)
        row = draws.row(generator)
        found = relevance.new_zeros(1 + len(probs_by_class))
        if 0 <= row - offset < num_own:
            own_drawn.append(row - offset)
            found[0], found[1:] = relevance[row - offset], probs_by_class[:, row - offset]
        found = shares.combined(found)
        relevances[len(drawn)] = found[0]
        drawn.append(row)
        while left in own_drawn:
            left += 1
        _update_distances(distances, probs_by_class, found[1:].to(probs_by_class.dtype))
    positions = sampling.fill_uniformly(drawn, num, num_rows, generator)
    return Selection(positions.to(unsure.device), relevances, num - len(drawn))


def _update_distances(distances: Tensor, probs_by_class: Tensor, q: Tensor) -> None:
    """Updates d ← min(d, ‖p − q‖₁) in place, for the probabilities q of one row, ``(K,)``."""
    descending, order = q.sort(descending=True)
    masses = descending.double().cumsum(0)
    num_classes = 1 + int((masses[:-1] < masses[-1] - MAX_TAIL).sum())
    classes, heaviest = order[:num_classes], descending[:num_classes, None]
    tail = float(masses[-1] - masses[num_classes - 1])
    # Float32 probabilities sum to 1 but for K roundings, and so do the sums of minima.
    error = 8 * len(q) * torch.finfo(q.dtype).eps
    for first in range(0, len(distances), sharding.CHUNK_ROWS):
        part = slice(first, first + sharding.CHUNK_ROWS)
        probs = probs_by_class[:, part].index_select(0, classes)  # faster than an index
        shared = torch.minimum(probs, heaviest).sum(0)  # (|T|, n) -> (n,)
        near = (2 * (1 - tail - shared) - error < distances[part]).nonzero().ravel() + first
        for rows in near.split(max(1, CHUNK_ENTRIES // len(q))):
            probs = probs_by_class.index_select(1, rows)
            exact = probs.double().sub_(q[:, None]).abs_().sum(0)
            distances[rows] = torch.minimum(distances[rows], exact)
