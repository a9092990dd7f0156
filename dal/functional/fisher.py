"""Fisher information of a softmax classifier's last layer, never formed row by row.

For features h in R^D and class probabilities p in R^K, the information of one example about the
weights of a linear layer (its bias takes no part) is a Kronecker product,

    I(x) = E_y[ ∇ log p(y|x) ∇ᵀ log p(y|x) ] = A Aᵀ ⊗ h hᵀ,

where column y of the *factor* A in R^{K×r} is the gradient in logit space, e_y − p, times the root
of the weight that the expectation gives it. BAIT and its approximations differ in that factor
alone: :func:`full_factors`, :func:`top_factors` and :func:`binary_factors`.

A matrix of size KD × KD is indexed class first: entry (k D + d, l D + e). Its *blocks* are the K²
matrices of size D × D.

References:
    Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    Huseljic et al. (2024), "Fast Fishing", equations 2 to 6.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Scratch of the chunked passes: large enough for full-speed products, and on a CPU small enough
# to stay near the cache between the product and the sum that reads it.
SCRATCH_BYTES = {"cpu": 1 << 23, "cuda": 1 << 28}
MIN_CHUNK_ROWS = 256


def full_factors(probs: Tensor) -> Tensor:
    """Factors of the information itself: √p_y (e_y − p) for every class y.

    Args:
        probs: Class probabilities, ``(N, K)``.

    Returns:
        ``(N, K, K)``; the last axis counts the columns.

    References:
        Huseljic et al. (2024), equation 3.
    """
    return top_factors(probs, probs.shape[-1])


def top_factors(probs: Tensor, num_top: int) -> Tensor:
    """Factors with the expectation over the most probable classes: √p̂_y (e_y − p).

    The weights p̂ are renormalised over those classes; the gradients keep p.

    Args:
        probs: Class probabilities, ``(N, K)``.
        num_top: Number of classes c, in [1, K]; K gives :func:`full_factors`, up to the order of
            columns, which no information depends on.

    Returns:
        ``(N, K, c)``, most probable class first.

    Raises:
        ValueError: If ``num_top`` is outside [1, K].

    References:
        Huseljic et al. (2024), equation 4.
    """
    num_classes = probs.shape[-1]
    if not 1 <= num_top <= num_classes:
        raise ValueError(f"Expected `num_top` in [1, {num_classes}], got {num_top}.")
    weights, classes = probs.topk(num_top, dim=-1)
    gradients = -probs[..., None].expand(*probs.shape, num_top).clone()
    gradients.scatter_add_(-2, classes[..., None, :], torch.ones_like(weights)[..., None, :])
    return gradients * (weights / weights.sum(-1, keepdim=True)).sqrt()[..., None, :]


def binary_factors(probs: Tensor) -> Tensor:
    """Factors of the binary task whose positive class is the most probable one: √(p̂ (1 − p̂)).

    Args:
        probs: Class probabilities, ``(N, K)``.

    Returns:
        ``(N, 1, 1)``: to this task there is one row of weights.

    References:
        Huseljic et al. (2024), equation 6.
    """
    highest = probs.amax(-1)
    return (highest * (1 - highest)).clamp_min(0).sqrt()[:, None, None]


def embeddings(features: Tensor, factors: Tensor) -> Tensor:
    """The columns V = A ⊗ h, whose products V Vᵀ are the information.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.

    Returns:
        ``(N, KD, r)``. Memory: N·K·D·r entries; for few rows only.
    """
    return (factors[:, :, None] * features[:, None, :, None]).flatten(1, 2)


def information(*parts: tuple[Tensor, Tensor]) -> Tensor:
    """Sum of the information of all rows of all parts.

    Block (k, l) is Σ (A Aᵀ)_{kl} h hᵀ: symmetric in itself, and equal to block (l, k). So of the
    blocks the upper half is computed, and of each block, cut in four, all but one quarter:
    ¾·N·K(K+1)·D² flops.

    Args:
        parts: Features ``(N, D)`` and factors ``(N, K, r)`` of each, at least one.

    Returns:
        ``(KD, KD)``, symmetric. Memory: that, as much as half of it, and the scratch of a chunk.
    """
    features, factors = parts[0]
    num_features, num_classes = features.shape[1], factors.shape[1]
    bands = _bands(num_features)
    sums = [
        [
            features.new_zeros(
                band.stop - band.start, (num_classes - k) * (num_features - band.start)
            )
            for band in bands
        ]
        for k in range(num_classes)
    ]
    for features, factors in parts:
        for rows in chunks(features, num_classes * num_features):
            h = features[rows]
            weights = factors[rows] @ factors[rows].mT
            for k in range(num_classes):
                # Band after band, so that the columns from any band on are together.
                weighted = torch.cat(
                    [(weights[:, k, k:, None] * h[:, None, band]).flatten(1) for band in bands], 1
                )
                for band, partial in zip(bands, sums[k], strict=True):
                    first = (num_classes - k) * band.start
                    partial.addmm_(h[:, band].mT, weighted[:, first:])

    total = features.new_empty(num_classes, num_features, num_classes, num_features)
    for k in range(num_classes):
        for band, partial in zip(bands, sums[k], strict=True):
            first = 0
            for other in bands[bands.index(band) :]:
                width = (num_classes - k) * (other.stop - other.start)
                part = partial[:, first : first + width].unflatten(1, (num_classes - k, -1))
                total[k, band, k:, other] = part
                total[k, other, k:, band] = part.permute(2, 1, 0)
                first += width
        sums[k].clear()
        total[k + 1 :, :, k] = total[k, :, k + 1 :].transpose(0, 1)
    return total.view(num_classes * num_features, -1)


def quadratic_forms(features: Tensor, factors: Tensor, matrix: Tensor) -> Tensor:
    """Vᵀ M V of every row's embedding V = A ⊗ h, without forming V.

    With R_{kl} = hᵀ M_{kl} h from the blocks of M, it is Aᵀ R A. R is symmetric, and a block enters
    it by its symmetric part only; so of the blocks the upper half is used, and of each block, cut
    in four, all but one quarter: ¾·N·K(K+1)·D² flops.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.
        matrix: ``(KD, KD)``, symmetric.

    Returns:
        ``(N, r, r)``, symmetric. Memory: that, as much as half the matrix, and a chunk's scratch.
    """
    num_rows, num_features = features.shape
    num_classes, rank = factors.shape[1:]
    bands = _bands(num_features)
    upper = [_upper_bands(matrix, k, num_classes, bands) for k in range(num_classes)]
    forms = features.new_empty(num_rows, rank, rank)
    for rows in chunks(features, num_classes * num_features):
        h = features[rows]
        r = h.new_zeros(len(h), num_classes, num_classes)
        for k in range(num_classes):
            for band, weights in zip(bands, upper[k], strict=True):
                products = (h[:, band] @ weights).unflatten(1, (num_classes - k, -1))
                r[:, k, k:] += torch.bmm(products, h[:, band.start :, None]).squeeze(-1)
        r.diagonal(dim1=1, dim2=2).mul_(0.5)
        half = factors[rows].mT @ (r @ factors[rows])
        forms[rows] = half + half.mT
    return forms


def quadratic_forms_of_root(features: Tensor, factors: Tensor, root: Tensor) -> Tensor:
    """Vᵀ E Eᵀ V of every row's embedding V = A ⊗ h: 2·N·D·K·m flops.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.
        root: E, ``(KD, m)``.

    Returns:
        ``(N, r, r)``, symmetric. Memory: that, and the scratch of a chunk.
    """
    (num_rows, num_features), (num_classes, rank) = features.shape, factors.shape[1:]
    if root.shape[1] == 0:
        return features.new_zeros(num_rows, rank, rank)
    by_feature = root.view(num_classes, num_features, -1).transpose(0, 1).flatten(1)
    forms = features.new_empty(num_rows, rank, rank)
    for rows in chunks(features, by_feature.shape[1]):
        products = (features[rows] @ by_feature).unflatten(1, (num_classes, -1))
        projections = torch.bmm(factors[rows].mT, products)
        forms[rows] = torch.bmm(projections, projections.mT)
    return forms


def _bands(num_features: int) -> list[slice]:
    """The two halves of the features; halving them again saves flops, but no time."""
    middle = num_features // 2
    return [slice(0, middle), slice(middle, num_features)] if middle else [slice(0, num_features)]


def _upper_bands(matrix: Tensor, k: int, num_classes: int, bands: list[slice]) -> list[Tensor]:
    """Of the blocks (k, l >= k), the rows of each band from its own columns on.

    One matrix ``(w, (K − k)·(D − start))`` a band. What is left out, below the bands on the
    diagonal, is added above them.
    """
    num_features = bands[-1].stop
    blocks = matrix.view(num_classes, num_features, num_classes, num_features)[k, :, k:]
    upper = []
    for band in bands:
        rows = blocks[band, :, band.start :].clone(memory_format=torch.contiguous_format)
        rows[..., band.stop - band.start :] += blocks[band.stop :, :, band].permute(2, 1, 0)
        upper.append(rows.flatten(1))
    return upper


def scratch_bytes(device: torch.device) -> int:
    """Bytes of a chunk's largest tensor; a pass holds a few of that size."""
    return SCRATCH_BYTES.get(device.type, SCRATCH_BYTES["cpu"])


def chunks(features: Tensor, row_width: int) -> Iterator[slice]:
    """Consecutive rows, so many that ``row_width`` entries for each make up the scratch.

    Args:
        features: ``(N, ...)``, whose rows are meant.
        row_width: Entries that a pass makes of a row.
    """
    size = max(
        MIN_CHUNK_ROWS, scratch_bytes(features.device) // (row_width * features.element_size())
    )
    for start in range(0, len(features), size):
        yield slice(start, start + size)
