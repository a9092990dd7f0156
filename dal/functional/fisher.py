"""Fisher information of the last layer of a softmax classifier, never formed row by row.

For features h in R^D and class probabilities p in R^K, the information of one example about the
weights of a linear layer (its bias takes no part) is a Kronecker product,

    I(x) = E_y[ ∇ log p(y|x) ∇ᵀ log p(y|x) ] = A Aᵀ ⊗ h hᵀ,

where column y of the *factor* A in R^{K×r} is the gradient in logit space, e_y − p, times the
square root of its weight in the expectation. BAIT and its approximations differ in that factor
alone: :func:`full_factors`, :func:`top_factors` and :func:`binary_factors`.

A matrix of size KD × KD is indexed class first: entry (k D + d, l D + e). Its *blocks* are the K²
matrices of size D × D.

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", equations 2 to 6.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dal.functional import fisher_bands, fisher_pairs
from dal.functional.rows import Rows, size_on

# Scratch of the passes in chunks: large enough for products at full speed, and on a CPU small
# enough to stay near the cache between a product and the sum that reads it.
SCRATCH_BYTES = {"cpu": 1 << 23, "cuda": 1 << 28}
MIN_CHUNK_ROWS = 256


def full_factors(probs: Tensor) -> Tensor:
    """Factors of the information itself, A Aᵀ = Σ_y p_y (e_y − p)(e_y − p)ᵀ = diag(p) − p pᵀ.

    [Huseljic2024], equation 3.

    Args:
        probs: Class probabilities, ``(N, K)``.

    Returns:
        ``(N, K, K − 1)``, as :func:`top_factors` of all classes.

    Example:
        >>> full_factors(torch.tensor([[0.36, 0.64]]))
        tensor([[[ 0.4800],
                 [-0.4800]]])
    """
    return top_factors(probs, probs.shape[-1])


def top_factors(probs: Tensor, num_top: int) -> Tensor:
    """Factors with the expectation over the most probable classes.

    A Aᵀ = Σ_y p̂_y (e_y − p)(e_y − p)ᵀ over those classes y, [Huseljic2024], equation 4. The weights
    p̂ are renormalised over them; the gradients keep p.

    The columns √p̂_y (e_y − p) themselves would depend on each other: with weights √p̂_y they add up
    to p̂ − p, which is small when those classes are nearly certain, and 0 for all classes. In
    float32 P and Q would keep no digit of that direction. So the columns are rotated, by the
    Householder reflection that takes √p̂ to the most probable class, whose column becomes p̂ − p.
    A Aᵀ stays as it is.

    Args:
        probs: Class probabilities, ``(N, K)``.
        num_top: Number of classes c, in [1, K]; K gives :func:`full_factors`.

    Returns:
        ``(N, K, c)``, and ``(N, K, K − 1)`` for c = K, where p̂ − p is left out. Columns add up to 0
        over the classes.

    Raises:
        ValueError: If ``num_top`` is outside [1, K].

    Example:
        >>> top_factors(torch.tensor([[0.25, 0.50, 0.25]]), 1)
        tensor([[[-0.2500],
                 [ 0.5000],
                 [-0.2500]]])
    """
    num_classes = probs.shape[-1]
    if not 1 <= num_top <= num_classes:
        raise ValueError(f"Expected `num_top` in [1, {num_classes}], got {num_top}.")
    highest, top = probs.topk(num_top, dim=-1)  # (N, c)
    mass = highest.sum(-1, keepdim=True)  # (N, 1)
    roots = (highest / mass).sqrt()  # √p̂, (N, c)

    # Column y > 0: √p̂_y (e_y − p) − √p̂_y / (1 + √p̂_0) · (√p̂_0 (e_0 − p) + p̂ − p).
    difference = probs.scatter(1, top, 0).neg()  # p̂ − p where p̂ is 0, (N, K)
    rest = -difference.sum(-1, keepdim=True)  # 1 − mass, without its rounding
    difference.scatter_(1, top, highest * (rest / mass))
    gradients = -probs[..., None].expand(*probs.shape, num_top).clone()  # e_y − p, (N, K, c)
    gradients.scatter_add_(-2, top[..., None, :], torch.ones_like(roots)[..., None, :])
    reflected = roots[:, :1] * gradients[..., 0] + difference  # (N, K)
    factors = gradients * roots[:, None]
    factors -= (reflected / (1 + roots[:, :1]))[..., None] * roots[:, None]
    factors[..., 0] = difference
    return factors[..., 1:] if num_top == num_classes > 1 else factors


def binary_factors(probs: Tensor) -> Tensor:
    """Factors of the binary task whose positive class is the most probable one: √(p̂ (1 − p̂)).

    [Huseljic2024], equation 6.

    Args:
        probs: Class probabilities, ``(N, K)``.

    Returns:
        ``(N, 1, 1)``: the classifier of this task has a single row of weights.

    Example:
        >>> binary_factors(torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.0, 0.8]]))
        tensor([[[0.5000]],
        <BLANKLINE>
                [[0.4000]]])
    """
    highest = probs.amax(-1)  # (N,)
    # Rounding can lift a softmax above 1.
    return (highest * (1 - highest)).clamp_min(0).sqrt()[:, None, None]  # (N, 1, 1)


def embeddings(features: Tensor, factors: Tensor) -> Tensor:
    """The columns V = A ⊗ h, whose products V Vᵀ are the information.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.

    Returns:
        ``(N, KD, r)``. Memory: N·K·D·r entries; for few rows only.

    Example:
        >>> embeddings(torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0], [5.0]]])).squeeze()
        tensor([ 3.,  6.,  5., 10.])
    """
    products = factors[:, :, None] * features[:, None, :, None]  # (N, K, D, r)
    return products.flatten(1, 2)  # (N, KD, r)


def projections(features: Tensor, factors: Tensor, v: Tensor) -> Tensor:
    """Vᵀ v for the embedding V = A ⊗ h of every row, without forming V: 2·N·D·K·s flops.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.
        v: ``(KD, s)``.

    Returns:
        ``(N, r, s)``. Memory: that, and 2·N·K·s entries.

    Example:
        >>> v = torch.tensor([[1.0], [2.0]])
        >>> projections(torch.tensor([[1.0, 1.0]]), torch.full((1, 1, 1), 3.0), v)
        tensor([[[9.]]])
    """
    num_classes, num_features = factors.shape[1], features.shape[1]
    products = features @ v.view(num_classes, num_features, v.shape[1])  # (K, N, s)
    return torch.bmm(factors.mT, products.transpose(0, 1))


def combination(features: Tensor, factors: Tensor, coefficients: Tensor) -> Tensor:
    """Sum over all rows of V x for the embedding V = A ⊗ h, without forming V: 2·N·D·K·s flops.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.
        coefficients: x of every row, ``(N, r, s)``.

    Returns:
        ``(KD, s)``. Memory: that, and 2·N·K·s entries.

    Example:
        >>> combination(torch.tensor([[1.0, 2.0]]), *torch.ones(2, 1, 1, 1)).tolist()
        [[1.0], [2.0]]
    """
    products = torch.bmm(factors, coefficients).transpose(0, 1)  # (N, K, s) -> (K, N, s)
    return (features.mT @ products).flatten(0, 1)  # (K, D, s) -> (KD, s)


def gram(features: Tensor, factors: Tensor) -> Tensor:
    """VᵢᵀVⱼ = (AᵢᵀAⱼ)(hᵢ·hⱼ) for the embeddings V = A ⊗ h of all pairs of rows.

    Args:
        features: ``(N, D)``.
        factors: ``(N, K, r)``.

    Returns:
        ``(N·r, N·r)``. Memory: twice that.

    Example:
        >>> gram(torch.tensor([[1.0], [2.0]]), torch.ones(2, 1, 1)).tolist()
        [[1.0, 2.0], [2.0, 4.0]]
    """
    return cross_gram((features, factors), (features, factors))


def cross_gram(rows: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> Tensor:
    """VᵢᵀVⱼ as in :func:`gram`, for each row i of the first and each row j of the second.

    Args:
        rows: Features ``(N, D)`` and factors ``(N, K, r)``.
        others: Features ``(M, D)`` and factors ``(M, K, r)``.

    Returns:
        ``(N·r, M·r)``. Memory: that, and N·M entries.

    Example:
        >>> a = torch.ones(1, 1, 1)
        >>> cross_gram((torch.tensor([[2.0]]), a), (torch.tensor([[3.0]]), a))
        tensor([[6.]])
    """
    (features, factors), (other_features, other_factors) = rows, others
    num_rows, num_others, rank = len(features), len(other_features), factors.shape[-1]
    columns, other_columns = (a.mT.flatten(0, 1) for a in (factors, other_factors))  # (N·r, K)
    products = (columns @ other_columns.mT).view(num_rows, rank, num_others, rank)
    products *= (features @ other_features.mT)[:, None, :, None]  # (N, r, M, r)
    return products.view(len(columns), len(other_columns))


def information(*parts: tuple[Rows, Tensor]) -> Tensor:
    """Sum of the information of all rows of all parts.

    Block (k, l) is Σ (A Aᵀ)_{kl} h hᵀ: symmetric in itself, and equal to block (l, k). Of the
    2·N·K²·D² flops of all entries it takes little more than a quarter.

    Args:
        parts: Features ``(N, D)``, read once in chunks, and factors ``(N, K, r)`` of each, at least
            one.

    Returns:
        ``(KD, KD)``, symmetric. Memory: that, as much as half of it, and the scratch of a chunk.

    Example:
        >>> information((torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.ones(2, 1, 1))).tolist()
        [[1.0, 2.0], [2.0, 5.0]]
    """
    features, factors = parts[0]
    num_features, num_classes = features.shape[1], factors.shape[1]
    blocks = fisher_pairs if num_classes >= fisher_pairs.MIN_CLASSES else fisher_bands
    total: fisher_pairs.Sum | fisher_bands.Sum = blocks.Sum(factors, num_features)
    for features, factors in parts:
        for rows in chunks(features, total.row_width):
            total.add(features[rows], factors[rows])
    return total.matrix()


def quadratic_forms(features: Rows, factors: Tensor, matrix: Tensor) -> Tensor:
    """Vᵀ M V for the embedding V = A ⊗ h of every row, without forming V.

    With R_{kl} = hᵀ M_{kl} h from the blocks of M, it is Aᵀ R A. R is symmetric, and depends only
    on the symmetric part of each block. Of the 2·N·K²·D² flops of all entries it takes little more
    than a quarter.

    Args:
        features: ``(N, D)``; read once in chunks.
        factors: ``(N, K, r)``.
        matrix: ``(KD, KD)``, symmetric.

    Returns:
        ``(N, r, r)``, symmetric. Memory: that, as much as half the matrix, and the scratch of a
        chunk.

    Example:
        >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> quadratic_forms(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.ones(2, 1, 1), matrix)
        tensor([[[2.]],
        <BLANKLINE>
                [[6.]]])
    """
    (num_classes, rank), num_rows = factors.shape[1:], len(features)
    form = block_form(matrix, num_classes)
    forms = factors.new_empty(num_rows, rank, rank)
    for rows in chunks(features, form.row_width):
        forms[rows] = form(features[rows], factors[rows])
    return forms


def block_form(matrix: Tensor, num_classes: int) -> fisher_pairs.Form | fisher_bands.Form:
    """:func:`quadratic_forms` of one matrix, for who reads the rows.

    Args:
        matrix: M, ``(KD, KD)``, symmetric.
        num_classes: K.

    Returns:
        Maps features ``(n, D)`` and factors ``(n, K, r)`` to ``(n, r, r)``.

    Example:
        >>> form = block_form(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), num_classes=1)
        >>> form(torch.tensor([[1.0, 1.0]]), torch.ones(1, 1, 1))
        tensor([[[6.]]])
    """
    blocks = fisher_pairs if num_classes >= fisher_pairs.MIN_CLASSES else fisher_bands
    form: fisher_pairs.Form | fisher_bands.Form = blocks.Form(matrix, num_classes)
    return form


def quadratic_forms_of_root(features: Rows, factors: Tensor, root: Tensor) -> Tensor:
    """Vᵀ E Eᵀ V for the embedding V = A ⊗ h of every row: 2·N·D·K·m flops.

    Args:
        features: ``(N, D)``; read once in chunks.
        factors: ``(N, K, r)``.
        root: E, ``(KD, m)``.

    Returns:
        ``(N, r, r)``, symmetric. Memory: that, and the scratch of a chunk.

    Example:
        >>> root = torch.tensor([[1.0], [2.0]])
        >>> quadratic_forms_of_root(torch.tensor([[1.0, 1.0]]), torch.ones(1, 1, 1), root)
        tensor([[[9.]]])
    """
    (num_rows, num_features), (num_classes, rank) = features.shape, factors.shape[1:]
    if root.shape[1] == 0:
        return factors.new_zeros(num_rows, rank, rank)
    by_feature = root.view(num_classes, num_features, -1).transpose(0, 1).flatten(1)  # (D, K·m)
    forms = factors.new_empty(num_rows, rank, rank)
    for rows in chunks(features, by_feature.shape[1]):
        products = (features[rows] @ by_feature).unflatten(1, (num_classes, -1))  # (n, K, m)
        projections = torch.bmm(factors[rows].mT, products)  # VᵀE, (n, r, m)
        forms[rows] = torch.bmm(projections, projections.mT)
    return forms


def scratch_bytes(device: torch.device) -> int:
    """Bytes of the largest tensor of a chunk; a pass holds a few of that size.

    Example:
        >>> scratch_bytes(torch.device("cpu")) >> 20
        8
    """
    return size_on(device, SCRATCH_BYTES)


def chunks(features: Rows, row_width: int) -> Iterator[slice]:
    """Slices of consecutive rows: as many rows as fit the scratch, at least MIN_CHUNK_ROWS.

    Args:
        features: ``(N, ...)``; its length, device and dtype matter.
        row_width: Entries that a pass computes for each row.

    Example:
        >>> list(chunks(torch.empty(300, 2), row_width=1 << 30))
        [slice(0, 256, None), slice(256, 512, None)]
    """
    num_entries = scratch_bytes(features.device) // features.dtype.itemsize
    size = max(MIN_CHUNK_ROWS, num_entries // row_width)
    yield from (slice(start, start + size) for start in range(0, len(features), size))
