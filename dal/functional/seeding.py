"""The seeding of k-means++ on the gradient embeddings of BADGE, which are never formed.

The embedding of an example is g = a ⊗ h, with a = e_ŷ − p for its most probable class ŷ. Inner
products factor, ⟨gᵢ, gⱼ⟩ = (aᵢ·aⱼ)(hᵢ·hⱼ), and distances follow from them.

References:
    [Ash2020] Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower
    bounds", algorithm 1.
    [Arthur2007] Arthur and Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import sampling

CHUNK_ROWS = 1 << 13

# Squared distances below this many roundings of the norms cannot be told from 0.
NUM_ROUNDINGS = 32

# Draws from distances that are up to this many centres old (see k_means_plus_plus). In a small pool
# the bookkeeping would cost more than the passes it saves.
MAX_STALE_DRAWS = 64
SMALL_POOL = 1 << 17


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


def k_means_plus_plus(
    embeddings: Embeddings,
    num: int,
    generator: torch.Generator,
    max_stale: int | None = None,
) -> Seeding:
    """Rows drawn one after the other, each with probability ∝ its squared distance to the nearest.

    The first is the row of the largest norm, as [Ash2020] has it. Rows that coincide with a drawn
    one are not drawn while others are left; after that they are drawn uniformly.

    A distance only shrinks as rows are drawn. So a row drawn by distances that are some centres
    old, and kept with probability (distance now) / (distance then), follows the law exactly. All
    distances need an update only now and then, for many centres in one product.

    Args:
        embeddings: Of N rows.
        num: How many rows to draw, in [1, N].
        generator: The randomness; on the CPU.
        max_stale: Draws after which all distances are updated; 1 is the algorithm of [Arthur2007],
            and the default for small pools.

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
    num_rows = len(embeddings.h)
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    if max_stale is None:
        max_stale = 1 if num_rows <= SMALL_POOL else MAX_STALE_DRAWS
    norms = embeddings.squared_norms()  # (N,)
    drawn = [int(norms.argmax())]
    at_draw = norms.new_zeros(num)
    at_draw[0] = norms[drawn[0]]
    num_seen = 0  # centres that `distances` takes into account
    # Float64, since a float32 sum over a million rows loses the small ones.
    distances = torch.full_like(norms, torch.inf, dtype=torch.float64)  # (N,)
    all_rows = slice(None)
    while len(drawn) < num:
        distances = _shrink(distances, embeddings, norms, all_rows, drawn[num_seen:])
        distances[drawn] = 0
        num_seen = len(drawn)
        cumulative = distances.cumsum(0)
        if cumulative[-1] == 0:
            positions = sampling.fill_uniformly(drawn, num, num_rows, generator)
            return Seeding(positions.to(norms.device), at_draw, num - len(drawn))
        num_rejected = 0
        while (
            len(drawn) < min(num, num_seen + max_stale)
            # After this many rejections the old distances are far from the present ones.
            and num_rejected < max_stale
        ):
            row = sampling.draw_proportionally(cumulative, generator)
            distance, new_centres = distances[row], drawn[num_seen:]
            if new_centres:
                one_row = slice(row, row + 1)
                present = _shrink(distances[one_row], embeddings, norms, one_row, new_centres)[0]
                chance = torch.rand((), generator=generator, dtype=torch.float64).item()
                if row in new_centres or chance * distance >= present:
                    num_rejected += 1
                    continue
                distance = present
            at_draw[len(drawn)] = distance
            drawn.append(row)
    return Seeding(torch.tensor(drawn, device=norms.device), at_draw, 0)


def _shrink(
    distances: Tensor, embeddings: Embeddings, norms: Tensor, rows: slice, new_centres: list[int]
) -> Tensor:
    """Squared distances to the nearest centre, once there are some more centres.

    ‖g − c‖² = ‖g‖² + ‖c‖² − 2 (a·a_c)(h·h_c).

    Args:
        distances: Of n rows so far, ``(n,)``.
        embeddings: Of all N rows.
        norms: Squared, of all N rows.
        rows: Which rows those n are.
        new_centres: C further rows.

    Returns:
        ``(n,)``.
    """
    a, h, own = embeddings.a[rows], embeddings.h[rows], norms[rows]
    to_a = embeddings.a[new_centres].mT.contiguous()  # (K, C)
    to_h = embeddings.h[new_centres].mT.contiguous()  # (D, C)
    negligible = NUM_ROUNDINGS * torch.finfo(norms.dtype).eps
    nearest = torch.empty_like(distances)
    for first in range(0, len(distances), CHUNK_ROWS):
        part = slice(first, first + CHUNK_ROWS)
        both = own[part, None] + norms[new_centres]  # (chunk, 1) + (C,) -> (chunk, C)
        squares = both - 2 * (a[part] @ to_a) * (h[part] @ to_h)
        # The difference of almost equal numbers: what is left is rounding.
        squares[squares <= negligible * both] = 0
        nearest[part] = torch.minimum(distances[part], squares.amin(1).double())
    return nearest
