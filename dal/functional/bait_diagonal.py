"""BAIT on the diagonal of the Fisher information alone, in two forms.

:func:`select` takes every information for diagonal. The diagonal of I(x) has the entries
p_k (1 − p_k) h_d². As diagonal matrices, F, M and what a candidate adds are vectors f, m and v of
KD entries, and adding or removing (σ = ±1) a candidate changes tr(M⁻¹F) by

    −σ Σ f v / (m (m + σv)).

Every such gain shrinks as m grows. So in the forward pass a gain computed earlier is an upper bound
of the present one, and a step computes the gains of the few candidates whose bound exceeds the best
gain found: the choice is that of the plain greedy pass [Minoux1978].

:func:`select_full_rank` is the form that was published [Huseljic2024]. F and M⁻¹ are diagonal too,
but a candidate keeps its full embedding V. With D = diag(M⁻¹), P = VᵀDV and Q = VᵀDFDV, it changes
the objective by −σ tr( Q (I + σP)⁻¹ ), and M⁻¹ by Woodbury's identity, of which only the diagonal
is kept after each step:

    D ← D − σ diag( D V (I + σP)⁻¹ Vᵀ D ).

References:
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", section 6.2, "BAIT (Diagonal)".
    [Minoux1978] Minoux (1978), "Accelerated greedy algorithms for maximizing submodular set
    functions".
"""

import torch
from torch import Tensor

from dal.functional import bait_objective, fisher
from dal.functional.bait_objective import DEFAULT, Hyperparameters, Selection
from dal.functional.rows import size_on

SCRATCH_BYTES = {"cpu": 1 << 20, "cuda": 1 << 27}  # fits the cache: four passes over each chunk
NUM_REFRESHED = 64  # candidates whose bound is renewed at a time


def select(
    features: Tensor,
    probs: Tensor,
    labeled_features: Tensor,
    labeled_probs: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
) -> Selection:
    """The batch that BAIT chooses when every information is diagonal.

    Args:
        features: Of the pool, ``(N, D)``.
        probs: Class probabilities of the pool, ``(N, K)``.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_probs: ``(L, K)``.
        num: Size of the batch B, in [1, N].
        hyperparameters: λ, the oversampling and the reduction.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: N·(D + K) entries, and the scratch of a chunk.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> probs = torch.full((3, 2), 0.5)
        >>> select(features, probs, features[:0], probs[:0], num=1)
        Selection(positions=tensor([2]), gains=tensor([1.1538]))
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    num_labeled = len(labeled_features)
    squares, variances = features.square(), probs * (1 - probs)  # (N, D), (N, K)
    labeled = (labeled_probs * (1 - labeled_probs)).mT @ labeled_features.square()  # (K, D)
    f = (variances.mT @ squares + labeled).flatten() / (len(features) + num_labeled)  # (KD,)
    weight = hyperparameters.labeled_weight(num_labeled, num)
    m = hyperparameters.lmbda + labeled.flatten() * weight  # (KD,)
    variances *= num / (num_labeled + num)

    num_forward = min(hyperparameters.oversample * num, len(features))
    forward = _forward(squares, variances, f, m, num_forward)
    return _backward(squares, variances, f, m, forward, num)


def changes(squares: Tensor, variances: Tensor, f: Tensor, m: Tensor, sign: int) -> Tensor:
    """How far tr(M⁻¹F) falls when a row is added (1), or rises when removed (−1), ``(N,)``, >= 0.

    Args:
        squares: h², ``(N, D)``.
        variances: p (1 − p), scaled as the share of a candidate in M is, ``(N, K)``.
        f: ``(KD,)``.
        m: ``(KD,)``.
        sign: 1 or −1.

    Example:
        >>> one = torch.ones(1, 1)
        >>> changes(one, one, f=torch.tensor([6.0]), m=torch.tensor([2.0]), sign=1)
        tensor([1.])
        >>> changes(one, one, f=torch.tensor([6.0]), m=torch.tensor([2.0]), sign=-1)
        tensor([3.])
    """
    num_rows, size = len(squares), len(m)
    scratch = size_on(squares.device, SCRATCH_BYTES)
    chunk_rows = max(1, scratch // (size * squares.element_size()))
    weights = f / m
    changes = squares.new_empty(num_rows)
    for first in range(0, num_rows, chunk_rows):
        rows = slice(first, first + chunk_rows)
        v = (variances[rows, :, None] * squares[rows, None]).flatten(1)  # (n, K, D) -> (n, KD)
        changes[rows] = v.div_(torch.add(m, v, alpha=sign)) @ weights
    return changes


def _forward(squares: Tensor, variances: Tensor, f: Tensor, m: Tensor, num: int) -> Selection:
    """Adds the best candidate ``num`` times; updates ``m`` in place."""
    bounds = changes(squares, variances, f, m, 1)
    is_exact = torch.ones_like(bounds, dtype=torch.bool)
    chosen: list[int] = []
    chosen_gains = bounds.new_empty(num)
    for step in range(num):
        while True:
            best = int(bounds.argmax())
            if is_exact[best]:
                break
            stale = bounds.masked_fill(is_exact, -torch.inf)
            rows = stale.topk(min(NUM_REFRESHED, len(stale))).indices
            rows = rows[~is_exact[rows]]
            # Rounding may lift a gain above its bound; that would break no order that matters.
            bounds[rows] = changes(squares[rows], variances[rows], f, m, 1)
            is_exact[rows] = True
        chosen.append(best)
        chosen_gains[step] = bounds[best]
        m += torch.outer(variances[best], squares[best]).flatten()  # (K, D) -> (KD,)
        is_exact.fill_(False)
        bounds[chosen], is_exact[chosen] = -torch.inf, True
    return Selection(torch.tensor(chosen, device=squares.device), chosen_gains)


def _backward(
    squares: Tensor, variances: Tensor, f: Tensor, m: Tensor, forward: Selection, num: int
) -> Selection:
    """Removes the candidate that the objective misses least, until ``num`` are left."""
    squares, variances = squares[forward.positions], variances[forward.positions]
    is_removed = torch.zeros_like(forward.positions, dtype=torch.bool)
    for _ in range(len(is_removed) - num):
        losses = changes(squares, variances, f, m, -1).masked_fill_(is_removed, torch.inf)
        least = int(losses.argmin())
        m -= torch.outer(variances[least], squares[least]).flatten()
        is_removed[least] = True
    return Selection(forward.positions[~is_removed], forward.gains[~is_removed])


def select_full_rank(
    features: Tensor,
    probs: Tensor,
    labeled_features: Tensor,
    labeled_probs: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
) -> Selection:
    """The batch that diagonal BAIT chooses as published, with candidates of full rank.

    Every step computes the gains of all candidates: 4·N·K·D flops, and the inverses of N matrices
    of size K − 1. All in float64: D depends on the order of the steps, and I − P can be indefinite,
    so that in the backward pass a small error soon makes another batch.

    Args:
        features: Of the pool, ``(N, D)``.
        probs: Class probabilities of the pool, ``(N, K)``.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_probs: ``(L, K)``.
        num: Size of the batch B, in [1, N].
        hyperparameters: λ, the oversampling and the reduction.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: the scratch of a chunk.

    Example:
        The backward pass, on the diagonal alone, removes the longest one here:

        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> probs = torch.full((3, 2), 0.5)
        >>> select_full_rank(features, probs, features[:0], probs[:0], num=1)
        Selection(positions=tensor([1]), gains=tensor([0.1123]))
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    num_labeled = len(labeled_features)
    labeled = _sum_of_diagonals(labeled_features, labeled_probs)  # (K, D)
    f = (_sum_of_diagonals(features, probs) + labeled) / (len(features) + num_labeled)
    weight = hyperparameters.labeled_weight(num_labeled, num)
    inverse = 1 / (hyperparameters.lmbda + labeled * weight)  # D
    scale = (num / (num_labeled + num)) ** 0.5

    chosen: list[int] = []
    chosen_gains = []
    for _ in range(min(hyperparameters.oversample * num, len(features))):
        gains = _full_rank_gains(features, probs, scale, f, inverse)
        gains[chosen] = -torch.inf
        chosen.append(int(gains.argmax()))
        chosen_gains.append(gains[chosen[-1]])
        h = features[chosen[-1:]].double()
        factors = fisher.full_factors(probs[chosen[-1:]].double()) * scale
        inverse = _update_diagonal(h, factors, inverse, 1)

    left = torch.tensor(chosen, device=features.device)
    gains = torch.stack(chosen_gains)
    h, factors = features[left].double(), fisher.full_factors(probs[left].double()) * scale
    while len(left) > num:
        p = _diagonal_forms(h.square(), factors, inverse)
        q = _diagonal_forms(h.square(), factors, inverse.square() * f)
        # I − P need not be positive: D is not the diagonal of the inverse of one M.
        identity = torch.eye(p.shape[-1]).to(p)
        losses = (torch.linalg.inv_ex(identity - p).inverse * q).sum((1, 2))
        least = int(losses.argmin())
        inverse = _update_diagonal(h[least : least + 1], factors[least : least + 1], inverse, -1)
        is_left = torch.arange(len(left), device=left.device) != least
        left, gains, h, factors = left[is_left], gains[is_left], h[is_left], factors[is_left]
    return Selection(left, gains.to(features.dtype))


def _sum_of_diagonals(features: Tensor, probs: Tensor) -> Tensor:
    """Σ p_k (1 − p_k) h_d² over all rows, ``(K, D)``, in float64."""
    total = features.new_zeros(probs.shape[1], features.shape[1], dtype=torch.float64)
    for rows in fisher.chunks(features, 2 * features.shape[1]):
        p, h = probs[rows].double(), features[rows].double()
        total += (p * (1 - p)).mT @ h.square()
    return total


def _full_rank_gains(
    features: Tensor, probs: Tensor, scale: float, f: Tensor, inverse: Tensor
) -> Tensor:
    """tr( Q (I + P)⁻¹ ) of all candidates, ``(N,)``, from D and F ``(K, D)``."""
    dfd = inverse.square() * f
    gains = features.new_empty(len(features), dtype=torch.float64)
    for rows in fisher.chunks(features, 4 * probs.shape[1] ** 2):
        squares = features[rows].double().square()  # (n, D)
        factors = fisher.full_factors(probs[rows].double()) * scale  # (n, K, K − 1)
        p = _diagonal_forms(squares, factors, inverse)
        q = _diagonal_forms(squares, factors, dfd)
        gains[rows] = bait_objective.gains(p, q)
    return gains


def _diagonal_forms(squares: Tensor, factors: Tensor, diagonal: Tensor) -> Tensor:
    """Vᵀ diag(D) V for V = A ⊗ h, ``(N, r, r)``, of D ``(K, D)``: 2·N·K·D flops."""
    weights = squares @ diagonal.mT  # Σ D h², (N, K)
    return factors.mT @ (weights[..., None] * factors)


def _update_diagonal(h: Tensor, factors: Tensor, inverse: Tensor, sign: int) -> Tensor:
    """D after adding (1) or removing (−1) a candidate, from h ``(1, D)`` and A ``(1, K, r)``."""
    p = _diagonal_forms(h.square(), factors, inverse)[0]  # (r, r)
    middle: Tensor = torch.linalg.inv_ex(torch.eye(len(p)).to(p) + sign * p).inverse
    a = factors[0]  # (K, r)
    shares: Tensor = (a @ middle * a).sum(1)  # (K,)
    return inverse - sign * shares[:, None] * inverse.square() * h.square()
