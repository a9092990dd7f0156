"""The seeding of k-means++ on the gradient embeddings of BADGE, which are never formed.

The embedding of an example is g = a ⊗ h, with a = e_ŷ − p for its most probable class ŷ. Inner
products factor, ⟨gᵢ, gⱼ⟩ = (aᵢ·aⱼ)(hᵢ·hⱼ), and distances follow from them.

References:
    [Ash2020] Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower
    bounds", algorithm 1.
    [Arthur2007] Arthur and Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dal.functional import sampling

CHUNK_ROWS = 1 << 13

# Squared distances below this many roundings of the norms cannot be told from 0.
NUM_ROUNDINGS = 32

# Up to this many rows their factors are kept, and all distances are updated after every draw.
SMALL_POOL = 1 << 17

# Of rejection sampling: rows that are proposed together, and the share of all rows that may be
# rejected until all bounds are updated. One proposal costs as much as several rows of an update
# do, since it is compared with all centres.
NUM_PROPOSALS = 1 << 8
MAX_REJECTED_SHARE = 1 / 8


class Embeddings(NamedTuple):
    """The factors of g = a ⊗ h.

    Attributes:
        a: e_ŷ − p, ``(N, K)``.
        h: Features, ``(N, D)``.
    """

    a: Tensor
    h: Tensor

    def squared_norms(self) -> Tensor:
        """‖g‖² = ‖a‖² ‖h‖², ``(N,)``.

        Example:
            >>> Embeddings(torch.tensor([[0.5, -0.5]]), torch.tensor([[3.0, 4.0]])).squared_norms()
            tensor([12.5000])
        """
        chunks = zip(self.a.split(CHUNK_ROWS), self.h.split(CHUNK_ROWS), strict=True)
        return torch.cat([a.square().sum(1) * h.square().sum(1) for a, h in chunks])

    def take(self, rows: Tensor) -> "Embeddings":
        """A copy of some of them."""
        return Embeddings(self.a[rows], self.h[rows])


class EmbeddingSource(Protocol):
    """Embeddings of N rows that are computed whenever they are needed."""

    def take(self, rows: Tensor) -> Embeddings:
        """Those of some rows, ``(M,)``, int64, of any device."""

    def map(self, function: Callable[[Embeddings], Tensor]) -> Tensor:
        """``function`` of all of them, in chunks of rows: ``(N,)``.

        Args:
            function: Maps embeddings of M rows to ``(M,)`` without mixing rows.
        """


class Seeding(NamedTuple):
    """Rows drawn as centres, in the order of the draws.

    Attributes:
        positions: ``(B,)``, int64, distinct.
        squared_distances: Of each to its nearest centre when it was drawn, ``(B,)``, in the dtype
            of the embeddings. For the first its squared norm, and 0 for those drawn uniformly: they
            coincide with a centre.
        num_uniform: How many were drawn uniformly, the last ones.
    """

    positions: Tensor
    squared_distances: Tensor
    num_uniform: int


def gradient_factors(probs: Tensor) -> Tensor:
    """The factor a = e_ŷ − p: the gradient in logit space, for the most probable class.

    Args:
        probs: Class probabilities, ``(N, K)``.

    Returns:
        ``(N, K)``.

    Example:
        >>> gradient_factors(torch.tensor([[0.25, 0.75]]))
        tensor([[-0.2500,  0.2500]])
    """
    highest = probs.argmax(-1, keepdim=True)  # (N, 1)
    return (-probs).scatter_add_(-1, highest, torch.ones_like(probs[:, :1]))


def squared_distances(
    embeddings: Embeddings, norms: Tensor, centres: Embeddings, centre_norms: Tensor
) -> Tensor:
    """‖g − c‖² = ‖g‖² + ‖c‖² − 2 (a·a_c)(h·h_c), ``(N, C)``; 0 where it is rounding alone.

    Args:
        embeddings: Of N rows.
        norms: Squared, ``(N,)``.
        centres: C of them.
        centre_norms: Squared, ``(C,)``.

    Example:
        >>> g = Embeddings(torch.tensor([[0.5, -0.5]]), torch.tensor([[3.0, 4.0]]))
        >>> c = Embeddings(torch.tensor([[0.5, -0.5]]), torch.tensor([[3.0, 0.0]]))
        >>> squared_distances(g, g.squared_norms(), c, c.squared_norms())
        tensor([[8.]])
    """
    both = norms[:, None] + centre_norms  # (N, 1) + (C,) -> (N, C)
    squares = both - 2 * (embeddings.a @ centres.a.mT) * (embeddings.h @ centres.h.mT)
    # The difference of almost equal numbers: what is left is rounding.
    squares[squares <= NUM_ROUNDINGS * torch.finfo(norms.dtype).eps * both] = 0
    return squares


def k_means_plus_plus(embeddings: Embeddings, num: int, generator: torch.Generator) -> Seeding:
    """Rows drawn one after the other, each with probability ∝ its squared distance to the nearest.

    The first is the row of the largest norm, as [Ash2020] has it. Rows that coincide with a drawn
    one are not drawn while others are left; after that they are drawn uniformly.

    Args:
        embeddings: Of N rows.
        num: How many rows to draw, in [1, N].
        generator: The randomness; on the CPU.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: N·(K + D) entries, two float64 per row, and the products of a chunk.

    Example:
        The second row is a copy of the first, so the third is drawn before it:

        >>> a, h = torch.tensor([[0.5, -0.5]] * 3), torch.tensor([[2.0], [2.0], [1.0]])
        >>> seeding = k_means_plus_plus(Embeddings(a, h), 3, torch.Generator().manual_seed(0))
        >>> seeding.positions, seeding.squared_distances, seeding.num_uniform
        (tensor([0, 2, 1]), tensor([2.0000, 0.5000, 0.0000]), 1)
    """
    _check(num, len(embeddings.h))
    norms = embeddings.squared_norms()  # (N,)
    drawn = [int(norms.argmax())]
    at_draw = norms.new_zeros(num)
    at_draw[0] = norms[drawn[0]]
    # Float64, since a float32 sum over a million rows loses the small ones.
    distances = torch.full_like(norms, torch.inf, dtype=torch.float64)  # (N,)
    while len(drawn) < num:
        centre, centre_norm = embeddings.take(torch.tensor(drawn[-1:])), norms[drawn[-1:]]
        for first in range(0, len(norms), CHUNK_ROWS):
            part = slice(first, first + CHUNK_ROWS)
            chunk = Embeddings(embeddings.a[part], embeddings.h[part])
            squares = squared_distances(chunk, norms[part], centre, centre_norm)[:, 0]
            distances[part] = torch.minimum(distances[part], squares.double())
        distances[drawn] = 0
        cumulative = distances.cumsum(0)
        if cumulative[-1] == 0:
            return _filled(drawn, at_draw, len(norms), generator)
        row = sampling.draw_proportionally(cumulative, generator)
        at_draw[len(drawn)] = distances[row]
        drawn.append(row)
    return Seeding(torch.tensor(drawn, device=norms.device), at_draw, 0)


def k_means_plus_plus_by_rejection(
    source: EmbeddingSource, num: int, generator: torch.Generator
) -> Seeding:
    """What :func:`k_means_plus_plus` draws, by the same law, for pools of any size.

    Every row has an upper bound of its squared distance to the nearest centre. A row that is drawn
    with probability ∝ its bound, and kept with probability distance / bound, follows the law of the
    distances exactly. At first, with the shortest centre c, the bound is (‖g‖ + ‖c‖)². That is less
    than twice the distance for rows that are orthogonal to all centres. A row that is proposed has
    its distance as its bound from then on. All bounds become distances when too many rows have been
    rejected, for which all rows are read.

    Args:
        source: The embeddings of N rows. They are read once, and again when all bounds are updated.
        num: How many rows to draw, in [1, N].
        generator: The randomness; on the CPU. Draws differ from those of the other function.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: five float64 per row, ``num``·(K + D) entries, and a chunk of rows.

    Example:
        >>> class Source:
        ...     a, h = torch.tensor([[0.5, -0.5]] * 3), torch.tensor([[2.0], [2.0], [1.0]])
        ...     def take(self, rows): return Embeddings(self.a[rows], self.h[rows])
        ...     def map(self, function): return function(Embeddings(self.a, self.h))
        >>> seeding = k_means_plus_plus_by_rejection(Source(), 3, torch.Generator().manual_seed(0))
        >>> seeding.positions, seeding.squared_distances, seeding.num_uniform
        (tensor([0, 2, 1]), tensor([2.0000, 0.5000, 0.0000]), 1)
    """
    norms = source.map(Embeddings.squared_norms)  # (N,)
    _check(num, len(norms))
    search = _Rejection(source, norms, num)
    while search.num_drawn < num:
        if not search.propose(generator):
            return _filled(search.drawn, search.at_draw, len(norms), generator)
    return Seeding(torch.tensor(search.drawn, device=norms.device), search.at_draw, 0)


class _Rejection:
    """Centres drawn by rejection, and bounds of the squared distances to them.

    Attributes:
        drawn: Rows of the centres.
        at_draw: Their squared distances when they were drawn, ``(num,)``.
    """

    def __init__(self, source: EmbeddingSource, norms: Tensor, num: int) -> None:
        self.source = source
        self.norms = norms
        self.drawn: list[int] = []
        self.at_draw = norms.new_zeros(num)
        self.bounds = torch.full_like(norms, torch.inf, dtype=torch.float64)  # (N,)
        self.shortest = torch.inf
        first = norms.argmax(keepdim=True)
        centre = source.take(first)
        self.centres = Embeddings(
            centre.a.new_empty(num, centre.a.shape[1]), centre.h.new_empty(num, centre.h.shape[1])
        )
        self.num_updated = 0  # centres that all bounds take into account
        self.num_rejected = 0
        self._append(int(first), centre, float(norms[first]))

    @property
    def num_drawn(self) -> int:
        """How many centres there are."""
        return len(self.drawn)

    def propose(self, generator: torch.Generator) -> bool:
        """Draws from some proposals as many centres as they give; False if no row has any mass."""
        if self.num_rejected > MAX_REJECTED_SHARE * len(self.norms):
            self._update_all()
        self._update_by_length()
        cumulative = self.bounds.cumsum(0)
        if cumulative[-1] == 0:
            return False
        shares, chances = torch.rand(2, NUM_PROPOSALS, generator=generator, dtype=torch.float64)
        # As `sampling.draw_proportionally`.
        targets = shares.to(cumulative.device) * cumulative[-1]
        rows = torch.searchsorted(cumulative, targets, right=True)
        proposed, norms, bounds = self.source.take(rows), self.norms[rows], self.bounds[rows]
        to_centres = self._distances(proposed, norms, slice(0, self.num_drawn))
        distances = torch.minimum(to_centres.amin(1).double(), bounds).cpu()  # (M,)
        between = squared_distances(proposed, norms, proposed, norms).double().cpu()  # (M, M)
        between[rows[:, None].cpu() == rows.cpu()] = 0
        thresholds = chances * bounds.cpu()
        for i in range(len(rows)):
            if thresholds[i] < distances[i]:
                self._append(int(rows[i]), proposed.take(torch.tensor([i])), float(distances[i]))
                distances = torch.minimum(distances, between[i])
                if self.num_drawn == len(self.at_draw):
                    break
            else:
                self.num_rejected += 1
        self.bounds[rows] = distances.to(self.bounds.device)
        return True

    def _append(self, row: int, centre: Embeddings, squared_distance: float) -> None:
        self.centres.a[self.num_drawn], self.centres.h[self.num_drawn] = centre.a[0], centre.h[0]
        self.at_draw[self.num_drawn] = squared_distance
        self.drawn.append(row)

    def _update_by_length(self) -> None:
        """Takes the shortest centre into account, for whose direction no row must be read."""
        shortest = float(self.norms[self.drawn].amin()) ** 0.5
        if shortest < self.shortest:
            self.shortest = shortest
            lengths = self.norms.double().sqrt()
            torch.minimum(self.bounds, lengths.add_(shortest).square_(), out=self.bounds)
        self.bounds[self.drawn] = 0

    def _update_all(self) -> None:
        """Makes every bound a distance."""
        new = slice(self.num_updated, self.num_drawn)
        nearest = self.source.map(
            lambda rows: self._distances(rows, rows.squared_norms(), new).amin(1)
        )
        torch.minimum(self.bounds, nearest.double(), out=self.bounds)
        self.num_updated, self.num_rejected = self.num_drawn, 0

    def _distances(self, embeddings: Embeddings, norms: Tensor, which: slice) -> Tensor:
        centres = Embeddings(self.centres.a[which], self.centres.h[which])
        return squared_distances(embeddings, norms, centres, self.norms[self.drawn[which]])


def _check(num: int, num_rows: int) -> None:
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")


def _filled(
    drawn: list[int], at_draw: Tensor, num_rows: int, generator: torch.Generator
) -> Seeding:
    positions = sampling.fill_uniformly(drawn, len(at_draw), num_rows, generator)
    return Seeding(positions.to(at_draw.device), at_draw, len(at_draw) - len(drawn))
