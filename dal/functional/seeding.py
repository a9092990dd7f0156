"""The seeding of k-means++ on BADGE's gradient embeddings, which are never formed.

The embedding of an example is g = a ⊗ h, with a = e_ŷ − p for its most probable class ŷ. Inner
products factor, ⟨gᵢ, gⱼ⟩ = (aᵢ·aⱼ)(hᵢ·hⱼ), and distances follow from them.

References:
    Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower bounds".
    Arthur and Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK_ROWS = 1 << 13

# Squared distances below so many roundings of the norms cannot be told from 0.
NUM_ROUNDINGS = 32

# Draws from distances that are up to so many centres old (see k_means_plus_plus). In a small pool
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

    def square_norms(self) -> Tensor:
        """‖g‖², ``(N,)``."""
        chunks = zip(self.a.split(CHUNK_ROWS), self.h.split(CHUNK_ROWS), strict=True)
        return torch.cat([a.square().sum(1) * h.square().sum(1) for a, h in chunks])


def gradient_factors(probs: Tensor) -> Tensor:
    """The factor a = e_ŷ − p: the gradient in logit space, of the most probable class.

    Args:
        probs: Class probabilities, ``(N, K)``.

    Returns:
        ``(N, K)``.
    """
    highest = probs.argmax(-1, keepdim=True)
    return (-probs).scatter_add_(-1, highest, torch.ones_like(probs[:, :1]))


def k_means_plus_plus(
    embeddings: Embeddings,
    num: int,
    generator: torch.Generator,
    max_stale: int | None = None,
) -> Tensor:
    """Rows drawn one after the other, each with probability ∝ its squared distance to the nearest.

    The first is the row of the largest norm. Rows that coincide with a drawn one are not drawn
    while others are left; after that, uniformly.

    A distance only shrinks as rows are drawn. So a row drawn by distances that are some centres
    old, and kept with probability (distance now) / (distance then), follows the law exactly, and
    all distances need be brought up to date only now and then, for many centres in one product.

    Args:
        embeddings: Of N rows.
        num: How many rows to draw, in [1, N].
        generator: The randomness; on the CPU.
        max_stale: Draws after which all distances are renewed; 1 is the textbook's algorithm, and
            the default for small pools.

    Returns:
        ``(num,)``, int64, distinct, in the order in which they were drawn.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: N·(K + D) entries, two float64 a row, and a chunk's products.
    """
    num_rows = len(embeddings.h)
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    if max_stale is None:
        max_stale = 1 if num_rows <= SMALL_POOL else MAX_STALE_DRAWS
    norms = embeddings.square_norms()
    drawn = [int(norms.argmax())]
    num_seen = 0  # centres that `distances` knows of
    # Float64, since a float32 sum over a million rows loses the small ones.
    distances = torch.full_like(norms, torch.inf, dtype=torch.float64)
    everything = slice(None)
    while len(drawn) < num:
        distances = _shrunk(distances, embeddings, norms, everything, drawn[num_seen:])
        distances[drawn] = 0
        num_seen = len(drawn)
        cumulative = distances.cumsum(0)
        if cumulative[-1] == 0:
            return _filled_uniformly(drawn, num, num_rows, generator).to(norms.device)
        num_rejected = 0
        while (
            len(drawn) < min(num, num_seen + max_stale)
            # As many rejections as that, and the old distances are far from the truth.
            and num_rejected < max_stale
        ):
            row = _drawn(cumulative, generator)
            fresh = drawn[num_seen:]
            if fresh:
                now = _shrunk(distances[row, None], embeddings, norms, slice(row, row + 1), fresh)
                chance = torch.rand((), generator=generator, dtype=torch.float64).item()
                if row in fresh or chance * distances[row] >= now[0]:
                    num_rejected += 1
                    continue
            drawn.append(row)
    return torch.tensor(drawn, device=norms.device)


def _shrunk(
    distances: Tensor, embeddings: Embeddings, norms: Tensor, rows: slice, centres: list[int]
) -> Tensor:
    """Squared distances of ``rows`` to their nearest centre, some more of which have been drawn."""
    a, h, own = embeddings.a[rows], embeddings.h[rows], norms[rows]
    to_a, to_h = embeddings.a[centres].mT.contiguous(), embeddings.h[centres].mT.contiguous()
    negligible = NUM_ROUNDINGS * torch.finfo(norms.dtype).eps
    shrunk = torch.empty_like(distances)
    for first in range(0, len(distances), CHUNK_ROWS):
        part = slice(first, first + CHUNK_ROWS)
        both = own[part, None] + norms[centres]
        squares = both - 2 * (a[part] @ to_a) * (h[part] @ to_h)
        squares[squares <= negligible * both] = 0
        shrunk[part] = torch.minimum(distances[part], squares.amin(1).double())
    return shrunk


def _drawn(cumulative: Tensor, generator: torch.Generator) -> int:
    """A row drawn with the probabilities whose cumulative sum is given; never one of mass 0."""
    target = torch.rand((), generator=generator, dtype=torch.float64).to(cumulative.device)
    # From the right, and below the total: where the sum has just risen.
    return int(torch.searchsorted(cumulative, target * cumulative[-1], right=True))


def _filled_uniformly(
    drawn: list[int], num: int, num_rows: int, generator: torch.Generator
) -> Tensor:
    is_left = torch.ones(num_rows, dtype=torch.bool)
    is_left[drawn] = False
    rest = is_left.nonzero().flatten()
    order = torch.randperm(len(rest), generator=generator)[: num - len(drawn)]
    return torch.cat([torch.tensor(drawn), rest[order]])
