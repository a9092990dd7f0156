"""BAIT on the diagonal of the Fisher information alone.

The diagonal of I(x) has the entries p_k (1 − p_k) h_d². As diagonal matrices, F, M and what a
candidate adds are vectors f, m and v of KD entries, and adding or removing (σ = ±1) a candidate
changes tr(M⁻¹F) by

    −σ Σ f v / (m (m + σv)).

Every such gain shrinks as m grows. So in the forward pass a gain computed earlier is an upper bound
of the present one, and a step computes the gains of the few candidates whose bound exceeds the best
gain found: the choice is that of the plain greedy pass [Minoux1978].

References:
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", section 6.2, "BAIT (Diagonal)".
    [Minoux1978] Minoux (1978), "Accelerated greedy algorithms for maximizing submodular set
    functions".
"""

import torch
from torch import Tensor

from dal.functional.bait_objective import DEFAULT, Hyperparameters, Selection

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
    """The batch that diagonal BAIT chooses.

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
    scratch = SCRATCH_BYTES.get(squares.device.type, SCRATCH_BYTES["cpu"])
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
