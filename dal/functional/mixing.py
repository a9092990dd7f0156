r"""How far a row has to be moved towards the labeled ones until its predicted class changes.

ALFA-Mix, closed form. Let the last layer be linear, f(z) = Wz + β, with y = argmax f(z) and g the
gradient of −log p_y at z. For an anchor a, [Parvaneh2022] mix in closed form

    z' = (1 − α) ⊙ z + α ⊙ a = z + α ⊙ (a − z),    α = ε/√E · ‖a − z‖ · g/‖g‖ ⊘ (a − z).

1. *The division cancels:* α ⊙ (a − z) = ε/√E · ‖a − z‖ · g/‖g‖ in every coordinate in which a and z
   differ. (Where they do not, α is not defined, and the identity is taken for its definition.)
   So z' = z + s·g/‖g‖ is on one ray from z, whatever the anchor, at s = ε/√E · ‖a − z‖.
2. *Only the farthest anchor counts:* along the ray f_y − f_j is linear, (f_y − f_j)(z) − s·b_j with
   b_j = (W_j − W_y)·g/‖g‖, and not negative at s = 0. So y is the best class on an interval
   [0, s*], s* = min over b_j > 0 of (f_y − f_j)/b_j, and changes for some anchor if and only if
   max_a ε/√E · ‖a − z‖ > s*.
3. *All ε at once:* hence a row is a candidate at ε if and only if ε > s*·√E / max_a ‖a − z‖, which
   :func:`flip_strengths` returns.
4. *No underflow:* g = Σ_j p_j W_j − W_y = (1 − p_y) Σ_{j≠y} q_j (W_j − W_y), with q the softmax of
   all classes but y. The factor cancels in g/‖g‖, so the direction is right where p_y rounds to 1.

s* is finite unless g = 0, since Σ_j p_j b_j = ‖g‖. With g = 0 nothing moves.

References:
    [Parvaneh2022] Parvaneh et al. (2022), "Active learning by feature mixing", section 3 and their
    code, ``calculate_optimum_alpha``.
"""

import math

import torch
from torch import Tensor

from dal.functional import sharding
from dal.functional.sharding import Shares

CHUNK_ROWS = 1 << 12

# Slopes below this many roundings of the weights cannot be told from 0.
NUM_ROUNDINGS = 32


def anchors(embeddings: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The mean embedding of every class that has labels, and of all rows if a class has none.

    Args:
        embeddings: Of the labeled examples, ``(L, E)``, L >= 1.
        labels: Their classes, ``(L,)``, int64, in [0, K).
        num_classes: K.

    Returns:
        ``(A, E)``, A in [1, K].

    Raises:
        ValueError: If nothing is labeled.

    Example:
        >>> anchors(torch.tensor([[0.0], [2.0], [7.0]]), torch.tensor([2, 2, 0]), 3)
        tensor([[7.],
                [1.],
                [3.]])
    """
    if len(embeddings) == 0:
        raise ValueError("Expected `embeddings` of at least one labeled row, got none.")
    wide = embeddings.double()  # what the order of a sum changes is then lost in rounding
    sums = wide.new_zeros(num_classes, embeddings.shape[1]).index_add_(0, labels, wide)
    sizes = labels.bincount(minlength=num_classes)
    is_present = sizes > 0
    means = sums[is_present] / sizes[is_present, None]
    if not is_present.all():
        means = torch.cat([means, wide.mean(0, keepdim=True)])
    return means.to(embeddings.dtype)


def farthest_distances(embeddings: Tensor, anchors: Tensor) -> Tensor:
    """Distance of every row to the anchor farthest from it.

    Computed by ‖z‖² + ‖a‖² − 2z·a with the mean ā of the anchors as the origin. Nothing cancels
    there: with m = max_a ‖a − z‖, ‖z − ā‖ <= m by convexity, and ‖a − ā‖ <= max_b ‖a − b‖ <= 2m.

    Args:
        embeddings: ``(N, E)``.
        anchors: ``(A, E)``.

    Returns:
        ``(N,)``.

    Memory: N·(E + 2A) entries.

    Example:
        >>> farthest_distances(torch.tensor([[1.0], [5.0]]), torch.tensor([[0.0], [4.0]]))
        tensor([3., 5.])
    """
    centre = anchors.mean(0)
    z, a = embeddings - centre, anchors - centre
    squares = z.square().sum(1, keepdim=True) + a.square().sum(1) - 2 * z @ a.mT  # (N, A)
    return squares.amax(1).clamp_min(0).sqrt()  # rounding can push a 0 below zero


def flip_strengths(embeddings: Tensor, logits: Tensor, weight: Tensor, anchors: Tensor) -> Tensor:
    """The ε above which a row's predicted class changes; see the head of this module.

    Args:
        embeddings: z, ``(N, E)``.
        logits: f(z), ``(N, K)``.
        weight: W, ``(K, E)``.
        anchors: ``(A, E)``.

    Returns:
        ``(N,)``, at least 0; infinity where no ε changes the class.

    Memory: 4096·(2E + 6K + 2A) entries.

    Example:
        Moved by ``ε·|3 − 1|`` along the only feature, the sum −z + 1.5 changes its sign at z = 1.5:

        >>> z, weight = torch.tensor([[1.0]]), torch.tensor([[-1.0], [0.0]])
        >>> flip_strengths(z, torch.tensor([[0.5, 0.0]]), weight, torch.tensor([[3.0]]))
        tensor([0.2500])
    """
    if len(weight) == 1:
        return logits.new_full((len(logits),), torch.inf)
    chunks = zip(embeddings.split(CHUNK_ROWS), logits.split(CHUNK_ROWS), strict=True)
    return torch.cat([_flip_strengths(z, f, weight, anchors) for z, f in chunks])


def _flip_strengths(embeddings: Tensor, logits: Tensor, weight: Tensor, anchors: Tensor) -> Tensor:
    # A part that all classes share changes no difference, and would cost digits.
    weight = weight - weight.mean(0)
    best, predicted = logits.max(1, keepdim=True)  # (N, 1)
    others = logits.scatter(1, predicted, -torch.inf).softmax(1)  # q, (N, K)
    gradients = others.scatter_(1, predicted, -1) @ weight  # g / (1 − p_y), (N, E)
    lengths = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)  # (N, 1)
    slopes = gradients @ weight.mT  # (N, K)
    slopes -= slopes.gather(1, predicted)  # b ‖g‖
    negligible = NUM_ROUNDINGS * torch.finfo(weight.dtype).eps * weight.norm(dim=1).max()
    steps = (best - logits).mul_(lengths).div_(slopes)
    steps[slopes <= negligible * lengths] = torch.inf
    reached = farthest_distances(embeddings, anchors) / weight.shape[1] ** 0.5  # at ε = 1, (N,)
    return torch.where(reached > 0, steps.amin(1) / reached, torch.inf)


def candidates(
    strengths: Tensor, num: int, step: float, shares: Shares = sharding.ALONE
) -> tuple[Tensor, float]:
    """Rows whose class changes at the least ε of a grid at which these are more than needed.

    Args:
        strengths: Of every row the ε above which its class changes, ``(N,)``. Of several processes,
            each has those of its own share.
        num: How many rows are to be selected from them.
        step: Of the grid: ``step``, 2·``step``, …, the last one 1.
        shares: The processes.

    Returns:
        Rows, ``(C,)``, int64, ascending; and ε. At ε = 1 there may be ``num`` rows or fewer.

    Example:
        >>> candidates(torch.tensor([0.3, 0.1, 0.5]), 1, 0.2)
        (tensor([0, 1]), 0.4)
    """
    for multiple in range(1, math.ceil(1 / step)):
        epsilon = round(multiple * step, 12)  # 0.6, not 0.6000000000000001
        num_changed, _ = shares.placed(int((strengths < epsilon).sum()))
        if num_changed > num:
            break
    else:
        epsilon = 1.0
    _, offset = shares.placed(len(strengths))
    return shares.gathered((strengths < epsilon).nonzero().flatten() + offset), epsilon
