"""BAIT: the batch whose labels say most about the last layer, chosen greedily forth and back.

With F the mean information of all examples and M that of the labeled and the chosen ones, BAIT
seeks the batch that minimises tr(M⁻¹ F). A candidate x changes M by V Vᵀ, where V is its embedding
(:mod:`dal.functional.fisher`). By Woodbury's identity, adding (σ = 1) or removing (σ = −1) it
changes the objective by

    −σ tr( Q (I + σP)⁻¹ ),   P = Vᵀ M⁻¹ V,   Q = Vᵀ T V,   T = M⁻¹ F M⁻¹,

which needs r × r matrices only. And when M changes by σ Vⱼ Vⱼᵀ, both inverse and T change by
products of the 2r *directions* (U, W) of that step,

    M⁻¹ ← M⁻¹ − σ U Uᵀ,                U = M⁻¹ Vⱼ G,    G Gᵀ = (I + σPⱼ)⁻¹,
    T   ← T − σ (U Wᵀ + W Uᵀ),         W = T Vⱼ G − σ/2 · U Gᵀ Qⱼ G,

so that for every candidate, with X = VᵀU and Y = VᵀW,

    P ← P − σ X Xᵀ,    Q ← Q − σ (X Yᵀ + Y Xᵀ).

A step is one product of the features with the directions, O(N·D·K·r); P and Q follow M exactly,
and neither a (KD)-sized inverse nor an embedding is ever updated.

References:
    Ash et al. (2021), "Gone Fishing", algorithm 1.
    Huseljic et al. (2024), "Fast Fishing", equation 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import fisher

NUM_CHUNKS = 8  # tensors of a chunk's size that are held at the same time, at most

# Rank-one selection runs ahead on a shortlist, then checks all rows (see _forward_in_blocks).
BLOCK_STEPS = 64
SHORTLIST_ROWS = 1 << 11
SHORTLIST_SHARE = 64  # or one row in so many, if that is more


class Problem(NamedTuple):
    """Candidates, and the objective before any of them is chosen.

    Attributes:
        features: h, ``(N, D)``.
        factors: A, scaled so that V = A ⊗ h is what a candidate adds to M, ``(N, K, r)``.
        inverse: M₀⁻¹, which maps ``(KD, r)`` to the like.
        sandwich: T₀ = M₀⁻¹ F M₀⁻¹, ``(KD, KD)``.
    """

    features: Tensor
    factors: Tensor
    inverse: "DenseInverse | LowRankInverse"
    sandwich: Tensor


def entries_needed(
    num_features: int,
    num_classes: int,
    rank: int,
    num_labeled: int,
    num: int,
    oversample: int = 2,
) -> tuple[int, int]:
    """Entries that :func:`select` holds at its peak: whatever the pool, and a row of the pool.

    Args:
        num_features: D.
        num_classes: K of the factors: 1 for the binary task.
        rank: r.
        num_labeled: L.
        num: B.
        oversample: As in :func:`select`.

    Returns:
        Both numbers. The second times N and the first make up the memory, the pool's features and
        factors included, but for chunks: NUM_CHUNKS times :func:`fisher.scratch_bytes`.
    """
    size, root = num_classes * num_features, num_labeled * rank
    path = 2 * size * rank * (2 * oversample * num - num)
    matrices = 2 * size**2 + 4 * size * root if root < size // 2 else 4 * size**2
    return matrices + path, num_features + num_classes * rank + 4 * rank**2


class DenseInverse(NamedTuple):
    """M₀⁻¹ as a matrix, ``(KD, KD)``."""

    matrix: Tensor

    def times(self, v: Tensor) -> Tensor:
        """M₀⁻¹ V, ``(KD, r)``."""
        return self.matrix @ v

    def forms(self, features: Tensor, factors: Tensor) -> Tensor:
        """Vᵀ M₀⁻¹ V, ``(N, r, r)``: N·K(K+1)·D² flops."""
        return fisher.quadratic_forms(features, factors, self.matrix)


class LowRankInverse(NamedTuple):
    """M₀⁻¹ = λ⁻¹I − E Eᵀ, while few examples are labeled.

    Attributes:
        lmbda: λ.
        root: E, ``(KD, m)``.
    """

    lmbda: float
    root: Tensor

    def times(self, v: Tensor) -> Tensor:
        """M₀⁻¹ V, ``(KD, r)``."""
        return v / self.lmbda - self.root @ (self.root.mT @ v)

    def forms(self, features: Tensor, factors: Tensor) -> Tensor:
        """Vᵀ M₀⁻¹ V, ``(N, r, r)``: 2·N·D·K·m flops."""
        products = fisher.quadratic_forms_of_root(features, factors, self.root)
        gram = (factors.mT @ factors).mul_(features.square().sum(1)[:, None, None] / self.lmbda)
        return gram.sub_(products)


class Forms(NamedTuple):
    """What the objective says of some candidates.

    Attributes:
        p: P = Vᵀ M⁻¹ V, ``(N, r, r)``.
        q: Q = Vᵀ T V, ``(N, r, r)``.
    """

    p: Tensor
    q: Tensor

    def changes(self, sign: int) -> Tensor:
        """What adding (1) or removing (−1) a candidate changes tr(M⁻¹F) by, ``(N,)``, >= 0."""
        if self.p.shape[-1] == 1:
            return (self.q / (1 + sign * self.p)).flatten()
        identity = torch.eye(self.p.shape[-1], dtype=self.p.dtype, device=self.p.device)
        # Symmetric and positive definite: twice as fast as a general solve.
        cholesky, _ = torch.linalg.cholesky_ex(identity + sign * self.p)
        return (torch.cholesky_inverse(cholesky) * self.q).sum((-2, -1))

    def take(self, rows: Tensor) -> "Forms":
        """The same of some rows, copied."""
        return Forms(self.p[rows], self.q[rows])


def select(
    features: Tensor,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    lmbda: float = 1.0,
    oversample: int = 2,
    reduction: str = "mean",
) -> Tensor:
    """Positions of the batch that BAIT chooses, in the order of their choice.

    Args:
        features: Of the pool, ``(N, D)``.
        factors: Of the pool, ``(N, K, r)``, from :mod:`dal.functional.fisher`.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_factors: ``(L, K, r)``.
        num: Size of the batch B, in [1, N].
        lmbda: λ > 0, what the identity weighs in M.
        oversample: The forward pass chooses so many times B, the backward pass removes the rest.
        reduction: How M takes the labeled examples' information, ``"mean"`` or ``"sum"``.

    Returns:
        ``(num,)``, int64. Of equal candidates the first is chosen.

    Raises:
        ValueError: If ``num``, ``lmbda`` or ``oversample`` is out of range.
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    if oversample < 1:
        raise ValueError(f"Expected `oversample` of at least 1, got {oversample}.")
    start = problem(features, factors, labeled_features, labeled_factors, num, lmbda, reduction)
    return forward_backward(start, num, min(oversample * num, len(features)))


def problem(
    features: Tensor,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    lmbda: float = 1.0,
    reduction: str = "mean",
) -> Problem:
    """The objective as BAIT sets it up for a batch of ``num``.

    F is the mean information of pool and labeled examples; with l = |L| / (|L| + B),
    M₀ = λI + l · mean (or sum) of the labeled examples' information; and a candidate adds its
    information times B / (|L| + B).

    Args:
        features: As in :func:`select`.
        factors: As in :func:`select`.
        labeled_features: As in :func:`select`.
        labeled_factors: As in :func:`select`.
        num: As in :func:`select`.
        lmbda: As in :func:`select`.
        reduction: As in :func:`select`.

    Raises:
        ValueError: If λ is not positive, or ``reduction`` is unknown.

    Memory: see :func:`entries_needed`.
    """
    if lmbda <= 0:
        raise ValueError(f"Expected `lmbda` above 0, got {lmbda}.")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"Expected `reduction` of 'mean' or 'sum', got '{reduction}'.")
    num_labeled = len(labeled_features)
    total = num_labeled + num
    weight = 1 / total if reduction == "mean" else num_labeled / total

    mean_information = fisher.information((features, factors), (labeled_features, labeled_factors))
    mean_information /= len(features) + num_labeled
    inverse, sandwich = _inverse_and_sandwich(
        mean_information, labeled_features, labeled_factors * weight**0.5, lmbda
    )
    return Problem(features, factors * (num / total) ** 0.5, inverse, sandwich)


def forms(start: Problem) -> Forms:
    """P and Q of every candidate before any is chosen: 2·N·K(K+1)·D² flops at most."""
    return Forms(
        start.inverse.forms(start.features, start.factors),
        fisher.quadratic_forms(start.features, start.factors, start.sandwich),
    )


def forward_backward(start: Problem, num: int, num_forward: int) -> Tensor:
    """Adds the best candidate ``num_forward`` times, then removes the least useful down to ``num``.

    Args:
        start: The candidates and the objective.
        num: Size of the batch.
        num_forward: Candidates chosen on the way, in [num, N].

    Returns:
        Positions, ``(num,)``, in the order in which they were added.

    Memory: that of :func:`forms`, 2·KD·r entries a step, and for rank-one candidates 2·BLOCK_STEPS
    entries a row.
    """
    state = forms(start)
    path = Path(start, 2 * num_forward - num)
    if start.factors.shape[1:] == (1, 1) and len(start.features) > SHORTLIST_ROWS:
        chosen = _forward_in_blocks(start, state, path, num_forward)
    else:
        num_rows, device = len(start.features), start.features.device
        nobody = torch.zeros(num_rows, dtype=torch.bool, device=device)
        everybody = torch.arange(num_rows, device=device)
        chosen, _ = _greedy(start, everybody, state, nobody, path, num_forward)
    return _backward(start, state, path, chosen, num)


class Path:
    """The directions in which M has changed since the start, and with them where it is now.

    Args:
        start: Where it starts.
        max_steps: How many steps there may be.
    """

    def __init__(self, start: Problem, max_steps: int) -> None:
        self.start = start
        self.rank = start.factors.shape[-1]
        self.num_steps = 0
        self._u = start.sandwich.new_empty(len(start.sandwich), max_steps * self.rank)
        self._w = torch.empty_like(self._u)
        self._signs = self._u.new_empty(max_steps * self.rank)

    def directions(self, position: int, p: Tensor, q: Tensor, sign: int) -> tuple[Tensor, Tensor]:
        """U and W of the step that adds (1) or removes (−1) a candidate, ``(KD, r)`` each.

        Args:
            position: The candidate.
            p: Its P where M is now, ``(r, r)``.
            q: Its Q, likewise.
            sign: 1 or −1.
        """
        start, end = self.start, self.num_steps * self.rank
        one = slice(position, position + 1)
        v = fisher.embeddings(start.features[one], start.factors[one])[0]
        us, ws, signs = self._u[:, :end], self._w[:, :end], self._signs[:end, None]
        along_u, along_w = signs * (us.mT @ v), signs * (ws.mT @ v)
        u = start.inverse.times(v) - us @ along_u
        w = start.sandwich @ v - us @ along_w - ws @ along_u
        identity = torch.eye(self.rank, dtype=v.dtype, device=v.device)
        # G Gᵀ = (I + σP)⁻¹ for the inverse G of the transposed Cholesky factor.
        cholesky, _ = torch.linalg.cholesky_ex(identity + sign * p)
        g = torch.linalg.solve_triangular(cholesky, identity, upper=False).mT
        u = u @ g
        return u, w @ g - sign / 2 * u @ (g.mT @ q @ g)

    def step(self, u: Tensor, w: Tensor, sign: int) -> None:
        """Goes a step along ``u`` and ``w``."""
        columns = slice(self.num_steps * self.rank, (self.num_steps + 1) * self.rank)
        self._u[:, columns], self._w[:, columns], self._signs[columns] = u, w, sign
        self.num_steps += 1

    def last(self, num: int) -> tuple[Tensor, Tensor]:
        """U and W of the last ``num`` steps, ``(KD, num·r)`` each."""
        columns = slice((self.num_steps - num) * self.rank, self.num_steps * self.rank)
        return self._u[:, columns], self._w[:, columns]

    def step_back(self, num: int) -> None:
        """Forgets the last ``num`` steps."""
        self.num_steps -= num


def _follow(
    state: Forms, features: Tensor, factors: Tensor, u: Tensor, w: Tensor, sign: int
) -> None:
    """Brings the forms of some candidates to where M is after a step, in place."""
    num_classes, rank = factors.shape[1:]
    # (D, K·2r): one product with the features serves both directions and all classes.
    both = torch.cat([u, w], 1).view(num_classes, -1, 2 * rank).transpose(0, 1).flatten(1)
    for rows in fisher.chunks(features, both.shape[1]):
        products = (features[rows] @ both).unflatten(1, (num_classes, 2 * rank))
        x, y = torch.bmm(factors[rows].mT, products).split(rank, dim=-1)
        cross = torch.bmm(y, x.mT)
        state.p[rows].baddbmm_(x, x.mT, alpha=-sign)
        state.q[rows].sub_(cross + cross.mT, alpha=sign)


def _greedy(
    candidates: Problem,
    positions: Tensor,
    state: Forms,
    is_chosen: Tensor,
    path: Path,
    num: int,
) -> tuple[list[int], Tensor]:
    """Adds the best candidate ``num`` times.

    Args:
        candidates: The candidates among whom to choose.
        positions: Where they are among those of ``path``, ``(N,)``.
        state: Their forms, brought along in place.
        is_chosen: Which of them are in M already, ``(N,)``, brought along in place.
        path: Where M is, brought along in place.
        num: How many to add.

    Returns:
        Positions in ``path``'s terms, and what each has changed the objective by, ``(num,)``.
    """
    chosen, offers = [], []
    for _ in range(num):
        gains = state.changes(1).masked_fill_(is_chosen, -torch.inf)
        best = int(gains.argmax())
        position = int(positions[best])
        u, w = path.directions(position, state.p[best], state.q[best], 1)
        _follow(state, candidates.features, candidates.factors, u, w, 1)
        path.step(u, w, 1)
        chosen.append(position)
        offers.append(gains[best])
        is_chosen[best] = True
    return chosen, torch.stack(offers)


def _forward_in_blocks(start: Problem, state: Forms, path: Path, num: int) -> list[int]:
    """The same choice from all rank-one candidates, reading them once in a block of steps.

    A block is chosen from a shortlist, the best candidates at its start. Then one product of all
    features with its directions gives what every candidate would have changed before each step,
    and the steps stand up to the first at which one outside the shortlist would have changed more.
    The first step always stands.
    """
    num_rows = len(start.features)
    size = min(max(SHORTLIST_ROWS, num_rows // SHORTLIST_SHARE), num_rows)
    is_chosen = torch.zeros(num_rows, dtype=torch.bool, device=start.features.device)
    chosen: list[int] = []
    while len(chosen) < num:
        gains = state.changes(1).masked_fill_(is_chosen, -torch.inf)
        # Ascending, so that of equal candidates the first is chosen here too.
        shortlist = gains.topk(size).indices.sort().values
        num_free = int((~is_chosen[shortlist]).sum())
        num_steps = min(BLOCK_STEPS, num - len(chosen), num_free)
        picks, offers = _greedy(
            start._replace(features=start.features[shortlist], factors=start.factors[shortlist]),
            shortlist,
            state.take(shortlist),
            is_chosen[shortlist],
            path,
            num_steps,
        )
        x, y = _along(start, *path.last(num_steps))
        is_outside = ~is_chosen
        is_outside[shortlist] = False
        is_beaten = _best_before_each_step(state, x, y, is_outside) > offers
        num_valid = int(is_beaten.nonzero()[0]) if is_beaten.any() else num_steps
        path.step_back(num_steps - num_valid)
        state.p.sub_(x[:, :num_valid].square().sum(1)[:, None, None])
        state.q.sub_((x[:, :num_valid] * y[:, :num_valid]).sum(1)[:, None, None], alpha=2)
        chosen += picks[:num_valid]
        is_chosen[picks[:num_valid]] = True
    return chosen


def _along(start: Problem, u: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """X = VᵀU and Y = VᵀW of rank-one candidates and several steps, ``(N, steps)`` each."""
    num_steps = u.shape[1]
    both, scale = torch.cat([u, w], 1), start.factors[:, 0]
    products = start.features.new_empty(len(start.features), 2 * num_steps)
    for rows in fisher.chunks(products, both.shape[1]):
        torch.mm(start.features[rows], both, out=products[rows]).mul_(scale[rows])
    return products[:, :num_steps], products[:, num_steps:]


def _best_before_each_step(state: Forms, x: Tensor, y: Tensor, is_candidate: Tensor) -> Tensor:
    """The most that any of the candidates would have changed before each step, ``(steps,)``.

    Before step t, P and Q of rank-one candidates are those at the start less Σ x² and 2 Σ x y over
    the steps before t.
    """
    best = x.new_full((x.shape[1],), -torch.inf)
    for rows in fisher.chunks(x, 2 * x.shape[1]):
        square, cross = x[rows].square(), x[rows] * y[rows]
        p = state.p[rows, 0] - square.cumsum(1).sub_(square)
        q = state.q[rows, 0] - cross.cumsum(1).sub_(cross).mul_(2)
        gains = q.div_(p.add_(1)).masked_fill_(~is_candidate[rows, None], -torch.inf)
        best = torch.maximum(best, gains.amax(0))
    return best


def _backward(start: Problem, state: Forms, path: Path, chosen: list[int], num: int) -> Tensor:
    """Removes the candidate that the objective misses least, until ``num`` are left."""
    positions = torch.tensor(chosen, device=start.features.device)
    features, factors, state = (
        start.features[positions],
        start.factors[positions],
        state.take(positions),
    )
    is_removed = torch.zeros(len(chosen), dtype=torch.bool, device=positions.device)
    for _ in range(len(chosen) - num):
        losses = state.changes(-1).masked_fill_(is_removed, torch.inf)
        least = int(losses.argmin())
        u, w = path.directions(chosen[least], state.p[least], state.q[least], -1)
        _follow(state, features, factors, u, w, -1)
        path.step(u, w, -1)
        is_removed[least] = True
    return positions[~is_removed]


def _inverse_and_sandwich(
    mean_information: Tensor, labeled_features: Tensor, labeled_factors: Tensor, lmbda: float
) -> tuple[DenseInverse | LowRankInverse, Tensor]:
    """M₀⁻¹ and M₀⁻¹ F M₀⁻¹ for M₀ = λI + the labeled examples' (weighted) information.

    With few labels M₀ is λI plus a product of low rank G Gᵀ. By Woodbury's identity
    M₀⁻¹ = λ⁻¹I − E Eᵀ with E = λ^(−1/2) G L⁻ᵀ and the small Cholesky factor L Lᵀ = λI + GᵀG;
    then M₀⁻¹ F M₀⁻¹ = λ⁻²F − Z Eᵀ − E Zᵀ with Z = λ⁻¹FE − ½ E (EᵀFE).

    Overwrites ``mean_information``.
    """
    size = len(mean_information)
    rank = len(labeled_features) * labeled_factors.shape[-1]
    if rank < size // 2:  # up to there the low rank takes fewer flops
        g = fisher.embeddings(labeled_features, labeled_factors).transpose(0, 1).reshape(size, rank)
        identity = torch.eye(rank, dtype=g.dtype, device=g.device)
        cholesky = torch.linalg.cholesky(g.mT @ g + lmbda * identity)
        e = g @ torch.linalg.solve_triangular(cholesky, identity, upper=False).mT / lmbda**0.5
        fe = mean_information @ e
        z = fe / lmbda - e @ (e.mT @ fe) / 2
        sandwich = mean_information.div_(lmbda**2)
        half = z @ e.mT
        sandwich.sub_(half).sub_(half.mT)
        return LowRankInverse(lmbda, e), sandwich
    labeled = fisher.information((labeled_features, labeled_factors))
    labeled.diagonal().add_(lmbda)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(labeled))
    return DenseInverse(inverse), inverse @ mean_information @ inverse
