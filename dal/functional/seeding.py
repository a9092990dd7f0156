"""The seeding of k-means++ on the gradient embeddings of BADGE, which are never formed.

The embedding of an example is g = a ⊗ h, with a = e_ŷ − p for its most probable class ŷ. Inner
products factor, ⟨gᵢ, gⱼ⟩ = (aᵢ·aⱼ)(hᵢ·hⱼ), and distances follow from them.

References:
    [Ash2020] Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower
    bounds", algorithm 1.
    [Arthur2007] Arthur and Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dal.functional import sampling, sharding
from dal.functional.sharding import Shares

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
        return torch.cat([a.square().sum(1) * h.square().sum(1) for a, h in self.chunks()])

    def take(self, rows: Tensor) -> "Embeddings":
        """A copy of some of them."""
        return Embeddings(self.a[rows], self.h[rows])

    def chunks(self) -> Iterator["Embeddings"]:
        """Consecutive ones, as many as are computed together."""
        size = sharding.CHUNK_ROWS
        for a, h in zip(self.a.split(size), self.h.split(size), strict=True):
            yield Embeddings(a, h)


class EmbeddingSource(Protocol):
    """Embeddings of N rows that are computed whenever they are needed."""

    def take(self, rows: Tensor) -> Embeddings:
        """Those of some rows, ``(M,)``, int64, of whichever process."""

    def map(self, function: Callable[[Embeddings], Tensor]) -> Tensor:
        """``function`` of those of this process, in chunks of rows: ``(n,)``; N of one process.

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


def k_means_plus_plus(
    embeddings: Embeddings,
    num: int,
    generator: torch.Generator,
    shares: Shares = sharding.ALONE,
) -> Seeding:
    """Rows drawn one after the other, each with probability ∝ its squared distance to the nearest.

    The first is the row of the largest norm, as [Ash2020] has it. Rows that coincide with a drawn
    one are not drawn while others are left; after that they are drawn uniformly.

    Args:
        embeddings: Of N rows. Of several processes, each has those of its own share.
        num: How many rows to draw, in [1, N].
        generator: The randomness; on the CPU.
        shares: The processes that draw together, each with whole chunks of CHUNK_ROWS rows.

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
    num_rows, offset = shares.placed(len(embeddings.h))
    _check(num, num_rows)
    norms = embeddings.squared_norms()  # (N,)
    at_draw = norms.new_zeros(num)
    row, at_draw[0] = _longest(norms, offset, shares)
    drawn = [row]
    # Float64, since a float32 sum over a million rows loses the small ones.
    distances = torch.full_like(norms, torch.inf, dtype=torch.float64)  # (N,)
    draws = sampling.Draws(len(norms), norms.device, shares)
    while len(drawn) < num:
        centre = Embeddings(*(_row(factor, row - offset, shares) for factor in embeddings))
        centre_norm = _row(norms, row - offset, shares)
        parts = (whole.split(sharding.CHUNK_ROWS) for whole in (norms, distances))
        for chunk, chunk_norms, nearest in zip(embeddings.chunks(), *parts, strict=True):
            squares = squared_distances(chunk, chunk_norms, centre, centre_norm)[:, 0]
            torch.minimum(nearest, squares.double(), out=nearest)
        if 0 <= row - offset < len(norms):
            distances[row - offset] = 0
        if draws.update(distances) == 0:
            return _filled(drawn, at_draw, num_rows, generator)
        row = draws.row(generator)
        at_draw[len(drawn)] = _row(distances, row - offset, shares)
        drawn.append(row)
    return Seeding(torch.tensor(drawn, device=norms.device), at_draw, 0)


def k_means_plus_plus_by_rejection(
    source: EmbeddingSource,
    num: int,
    generator: torch.Generator,
    shares: Shares = sharding.ALONE,
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
        shares: The processes that draw together, each with whole chunks of CHUNK_ROWS rows. What is
            proposed is read by all of them.

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
    num_rows, _ = shares.placed(len(norms))
    _check(num, num_rows)
    search = _Rejection(source, norms, num, shares)
    while search.num_drawn < num:
        if not search.propose(generator):
            return _filled(search.drawn, search.at_draw, num_rows, generator)
    return Seeding(torch.tensor(search.drawn, device=norms.device), search.at_draw, 0)


class _Rejection:
    """Centres drawn by rejection, and bounds of the squared distances to them.

    Attributes:
        drawn: Rows of the centres.
        at_draw: Their squared distances when they were drawn, ``(num,)``.
    """

    def __init__(self, source: EmbeddingSource, norms: Tensor, num: int, shares: Shares) -> None:
        self.source = source
        self.norms = norms
        self.shares = shares
        self.num_rows, self.offset = shares.placed(len(norms))
        self.draws = sampling.Draws(len(norms), norms.device, shares)
        self.drawn: list[int] = []
        self.at_draw = norms.new_zeros(num)
        self.bounds = torch.full_like(norms, torch.inf, dtype=torch.float64)  # (N,)
        self.shortest = torch.inf
        first, norm = _longest(norms, self.offset, shares)
        centre = source.take(torch.tensor([first]))
        self.centres = Embeddings(
            centre.a.new_empty(num, centre.a.shape[1]), centre.h.new_empty(num, centre.h.shape[1])
        )
        self.centre_norms = norms.new_empty(num)
        self.num_updated = 0  # centres that all bounds take into account
        self.num_rejected = 0
        self._append(first, centre, norm, norm)
        self._set_bounds(torch.tensor([first]), torch.zeros(1, dtype=torch.float64))

    @property
    def num_drawn(self) -> int:
        """How many centres there are."""
        return len(self.drawn)

    def propose(self, generator: torch.Generator) -> bool:
        """Draws from some proposals as many centres as they give; False if no row has any mass."""
        if self.num_rejected > MAX_REJECTED_SHARE * self.num_rows:
            self._update_all()
        self._update_by_length()
        if self.draws.update(self.bounds) == 0:
            return False
        uniforms, chances = torch.rand(2, NUM_PROPOSALS, generator=generator, dtype=torch.float64)
        rows = self.draws.rows(uniforms)
        proposed = self.source.take(rows)
        norms, bounds = (
            sharding.taken(whole, rows, self.offset, self.shares)
            for whole in (self.norms, self.bounds)
        )
        to_centres = self._distances(proposed, norms, slice(0, self.num_drawn))
        distances = torch.minimum(to_centres.amin(1).double(), bounds).cpu()  # (M,)
        between = squared_distances(proposed, norms, proposed, norms).double().cpu()  # (M, M)
        between[rows[:, None] == rows] = 0
        thresholds = chances * bounds.cpu()
        for i in range(len(rows)):
            if thresholds[i] < distances[i]:
                centre = proposed.take(torch.tensor([i]))
                self._append(int(rows[i]), centre, float(norms[i]), float(distances[i]))
                distances = torch.minimum(distances, between[i])
                if self.num_drawn == len(self.at_draw):
                    break
            else:
                self.num_rejected += 1
        self._set_bounds(rows, distances)
        return True

    def _append(
        self, row: int, centre: Embeddings, squared_norm: float, squared_distance: float
    ) -> None:
        self.centres.a[self.num_drawn], self.centres.h[self.num_drawn] = centre.a[0], centre.h[0]
        self.centre_norms[self.num_drawn] = squared_norm
        self.at_draw[self.num_drawn] = squared_distance
        self.drawn.append(row)

    def _set_bounds(self, rows: Tensor, bounds: Tensor) -> None:
        """Those of rows among all that this process has."""
        own = rows - self.offset
        is_own = (own >= 0) & (own < len(self.bounds))
        device = self.bounds.device
        self.bounds[own[is_own].to(device)] = bounds[is_own].to(device)

    def _update_by_length(self) -> None:
        """Takes the shortest centre into account, for whose direction no row must be read."""
        shortest = float(self.centre_norms[: self.num_drawn].amin()) ** 0.5
        if shortest < self.shortest:
            self.shortest = shortest
            lengths = self.norms.double().sqrt()
            torch.minimum(self.bounds, lengths.add_(shortest).square_(), out=self.bounds)

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
        return squared_distances(embeddings, norms, centres, self.centre_norms[which])


def _longest(norms: Tensor, offset: int, shares: Shares) -> tuple[int, float]:
    """The row of the largest norm among those of all processes, the first of equals, and it."""
    own = int(norms.argmax()) if len(norms) else 0
    norm = float(norms[own]) if len(norms) else -torch.inf
    _, row, norm = shares.highest(own + offset, norm)
    return row, norm


def _row(values: Tensor, row: int, shares: Shares) -> Tensor:
    """One row, ``(1, ...)``, in every process: the number ``row`` in that which has it."""
    is_own = 0 <= row < len(values)
    own = values[row : row + 1] if is_own else values.new_zeros(1, *values.shape[1:])
    return shares.combined(own)


def _check(num: int, num_rows: int) -> None:
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")


def _filled(
    drawn: list[int], at_draw: Tensor, num_rows: int, generator: torch.Generator
) -> Seeding:
    positions = sampling.fill_uniformly(drawn, len(at_draw), num_rows, generator)
    return Seeding(positions.to(at_draw.device), at_draw, len(at_draw) - len(drawn))
