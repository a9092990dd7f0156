"""BAIT on the diagonal of the Fisher information alone.

The diagonal of I(x) has the entries p_k (1 − p_k) h_d². As diagonal matrices, F, M and what a
candidate adds are vectors f, m and v of KD entries, and adding or removing (σ = ±1) a candidate
changes tr(M⁻¹F) by

    −σ Σ f v / (m (m + σv)).

Every such gain shrinks as m grows. So in the forward pass an old gain bounds the present one, and
a step looks at the few candidates whose bound exceeds the best gain found: the choice is that of
the plain greedy pass.

References:
    Huseljic et al. (2024), "Fast Fishing", section 6.2, "BAIT (Diagonal)".
    Minoux (1978), "Accelerated greedy algorithms for maximizing submodular set functions".
"""

import torch
from torch import Tensor

SCRATCH_BYTES = {"cpu": 1 << 20, "cuda": 1 << 27}  # fits the cache: four passes a chunk
NUM_LOOKED_AT = 64  # candidates whose bound is renewed at a time


def select(
    features: Tensor,
    probs: Tensor,
    labeled_features: Tensor,
    labeled_probs: Tensor,
    num: int,
    lmbda: float = 1.0,
    oversample: int = 2,
    reduction: str = "mean",
) -> Tensor:
    """Positions of the batch that diagonal BAIT chooses, in the order of their choice.

    Args:
        features: Of the pool, ``(N, D)``.
        probs: Class probabilities of the pool, ``(N, K)``.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_probs: ``(L, K)``.
        num: Size of the batch B, in [1, N].
        lmbda: λ > 0, the start of every entry of m.
        oversample: The forward pass chooses so many times B, the backward pass removes the rest.
        reduction: How m takes the labeled examples' information, ``"mean"`` or ``"sum"``.

    Returns:
        ``(num,)``, int64.

    Raises:
        ValueError: If an argument is out of range.

    Memory: N·(D + K) entries, and the scratch of a chunk.
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    if lmbda <= 0:
        raise ValueError(f"Expected `lmbda` above 0, got {lmbda}.")
    if oversample < 1:
        raise ValueError(f"Expected `oversample` of at least 1, got {oversample}.")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"Expected `reduction` of 'mean' or 'sum', got '{reduction}'.")
    num_labeled = len(labeled_features)
    squares, variances = features.square(), probs * (1 - probs)
    labeled = (labeled_probs * (1 - labeled_probs)).mT @ labeled_features.square()
    f = (variances.mT @ squares + labeled).flatten() / (len(features) + num_labeled)
    total = num_labeled + num
    m = lmbda + labeled.flatten() * (1 / total if reduction == "mean" else num_labeled / total)
    variances *= num / total

    chosen = _forward(squares, variances, f, m, min(oversample * num, len(features)))
    return _backward(squares, variances, f, m, chosen, num)


def changes(squares: Tensor, variances: Tensor, f: Tensor, m: Tensor, sign: int) -> Tensor:
    """What adding (1) or removing (−1) each row changes tr(M⁻¹F) by, ``(N,)``, >= 0.

    Args:
        squares: h², ``(N, D)``.
        variances: p (1 − p), scaled as a candidate's share in M is, ``(N, K)``.
        f: ``(KD,)``.
        m: ``(KD,)``.
        sign: 1 or −1.
    """
    num_rows, size = len(squares), len(m)
    scratch = SCRATCH_BYTES.get(squares.device.type, SCRATCH_BYTES["cpu"])
    chunk_rows = max(1, scratch // (size * squares.element_size()))
    weights = f / m
    changes = squares.new_empty(num_rows)
    for first in range(0, num_rows, chunk_rows):
        rows = slice(first, first + chunk_rows)
        v = (variances[rows, :, None] * squares[rows, None]).flatten(1)
        changes[rows] = v.div_(torch.add(m, v, alpha=sign)) @ weights
    return changes


def _forward(squares: Tensor, variances: Tensor, f: Tensor, m: Tensor, num: int) -> list[int]:
    """Adds the best candidate ``num`` times; brings ``m`` along in place."""
    bounds = changes(squares, variances, f, m, 1)
    is_exact = torch.ones_like(bounds, dtype=torch.bool)
    chosen: list[int] = []
    for _ in range(num):
        while True:
            best = int(bounds.argmax())
            if is_exact[best]:
                break
            stale = bounds.masked_fill(is_exact, -torch.inf)
            rows = stale.topk(min(NUM_LOOKED_AT, len(stale))).indices
            rows = rows[~is_exact[rows]]
            # Rounding may lift a gain above its bound; that would break no order that matters.
            bounds[rows] = changes(squares[rows], variances[rows], f, m, 1)
            is_exact[rows] = True
        chosen.append(best)
        m += torch.outer(variances[best], squares[best]).flatten()
        is_exact.fill_(False)
        bounds[chosen], is_exact[chosen] = -torch.inf, True
    return chosen


def _backward(
    squares: Tensor, variances: Tensor, f: Tensor, m: Tensor, chosen: list[int], num: int
) -> Tensor:
    """Removes the candidate that the objective misses least, until ``num`` are left."""
    positions = torch.tensor(chosen, device=squares.device)
    squares, variances = squares[positions], variances[positions]
    is_removed = torch.zeros(len(chosen), dtype=torch.bool, device=squares.device)
    for _ in range(len(chosen) - num):
        losses = changes(squares, variances, f, m, -1).masked_fill_(is_removed, torch.inf)
        least = int(losses.argmin())
        m -= torch.outer(variances[least], squares[least]).flatten()
        is_removed[least] = True
    return positions[~is_removed]
