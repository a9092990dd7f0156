"""The objective of BAIT, tr(M⁻¹F): what each candidate changes it by, and how M is updated.

F is the mean information of all examples, and M that of the labeled and the chosen ones. A
candidate x adds V Vᵀ to M, where V is its scaled embedding (:mod:`dal.functional.fisher`). By
Woodbury's identity, adding (σ = 1) or removing (σ = −1) it changes the objective by

    −σ tr( Q (I + σP)⁻¹ ),   P = Vᵀ M⁻¹ V,   Q = Vᵀ T V,   T = M⁻¹ F M⁻¹,

which needs r × r matrices only. T is called the *weighted inverse*. When M changes by σ Vⱼ Vⱼᵀ,
M⁻¹ and T change by products of the two *directions* U and W of that step, r columns each,

    M⁻¹ ← M⁻¹ − σ U Uᵀ,                U = M⁻¹ Vⱼ G,    G Gᵀ = (I + σPⱼ)⁻¹,
    T   ← T − σ (U Wᵀ + W Uᵀ),         W = T Vⱼ G − σ/2 · U Gᵀ Qⱼ G,

so that for every candidate, with X = VᵀU and Y = VᵀW,

    P ← P − σ X Xᵀ,    Q ← Q − σ (X Yᵀ + Y Xᵀ).

A step is one product of the features with the directions, O(N·D·K·r). P and Q follow M exactly,
although no (KD × KD) inverse and no embedding is ever updated.

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", equation 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import fisher


@dataclass(frozen=True)
class Hyperparameters:
    """What a user of BAIT may set; the defaults are those of [Ash2021].

    Args:
        lmbda: λ > 0, the weight of the identity in M.
        oversample: The forward pass chooses this many times B candidates; the backward pass
            removes all but B.
        fisher_reduction: How M takes the information of the labeled examples, ``"mean"`` or
            ``"sum"``.

    Raises:
        ValueError: If one of them is out of range.

    Example:
        >>> Hyperparameters(lmbda=0.0)
        Traceback (most recent call last):
        ValueError: Expected `lmbda` above 0, got 0.0.
    """

    lmbda: float = 1.0
    oversample: int = 2
    fisher_reduction: str = "mean"

    def __post_init__(self) -> None:
        if self.lmbda <= 0:
            raise ValueError(f"Expected `lmbda` above 0, got {self.lmbda}.")
        if self.oversample < 1:
            raise ValueError(f"Expected `oversample` of at least 1, got {self.oversample}.")
        if self.fisher_reduction not in ("mean", "sum"):
            raise ValueError(
                f"Expected `fisher_reduction` of 'mean' or 'sum', got '{self.fisher_reduction}'."
            )

    def labeled_weight(self, num_labeled: int, num: int) -> float:
        """Weight in M of the *summed* information of the labeled examples.

        With the mean it is l / L, with the sum l, where l = L / (L + B).

        Args:
            num_labeled: L.
            num: B.

        Example:
            >>> Hyperparameters().labeled_weight(30, 10)
            0.025
            >>> Hyperparameters(fisher_reduction="sum").labeled_weight(30, 10)
            0.75
        """
        total = num_labeled + num
        return 1 / total if self.fisher_reduction == "mean" else num_labeled / total


DEFAULT = Hyperparameters()


class Selection(NamedTuple):
    """A batch, in the order in which its members were added.

    Attributes:
        positions: ``(B,)``, int64.
        gains: How much tr(M⁻¹F) fell when each was added in the forward pass, ``(B,)``. The
            candidates that the backward pass removed again took part in M then.
    """

    positions: Tensor
    gains: Tensor


class Problem(NamedTuple):
    """Candidates, and the objective before any of them is chosen.

    Attributes:
        features: h, ``(N, D)``.
        factors: A, scaled so that V = A ⊗ h is what a candidate adds to M, ``(N, K, r)``.
        inverse: M₀⁻¹.
        weighted_inverse: T₀ = M₀⁻¹ F M₀⁻¹, ``(KD, KD)``.
    """

    features: Tensor
    factors: Tensor
    inverse: "DenseInverse | LowRankInverse"
    weighted_inverse: Tensor

    def take(self, rows: Tensor) -> "Problem":
        """The same objective, with a copy of some of the candidates."""
        return self._replace(features=self.features[rows], factors=self.factors[rows])


class DenseInverse(NamedTuple):
    """M₀⁻¹ as a matrix, ``(KD, KD)``."""

    matrix: Tensor

    def times(self, v: Tensor) -> Tensor:
        """M₀⁻¹ V, ``(KD, r)``."""
        return self.matrix @ v

    def quadratic_forms(self, features: Tensor, factors: Tensor) -> Tensor:
        """Vᵀ M₀⁻¹ V, ``(N, r, r)``: ¾·N·K(K+1)·D² flops."""
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

    def quadratic_forms(self, features: Tensor, factors: Tensor) -> Tensor:
        """Vᵀ M₀⁻¹ V, ``(N, r, r)``: 2·N·D·K·m flops."""
        products = fisher.quadratic_forms_of_root(features, factors, self.root)
        chunks = fisher.chunks(features, features.shape[1])
        squared_norms = torch.cat([features[rows].square().sum(1) for rows in chunks])  # (N,)
        # Vᵀ V = (AᵀA) ‖h‖², (N, r, r).
        gram = (factors.mT @ factors).mul_(squared_norms[:, None, None] / self.lmbda)
        return gram.sub_(products)


def problem(
    features: Tensor,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
) -> Problem:
    """The objective as BAIT sets it up for a batch of ``num``.

    F is the mean information of pool and labeled examples. With l = L / (L + B),
    M₀ = λI + l · mean (or sum) of the labeled examples' information. A candidate adds its
    information times B / (L + B).

    Args:
        features: Of the pool, ``(N, D)``.
        factors: Of the pool, ``(N, K, r)``, from :mod:`dal.functional.fisher`.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_factors: ``(L, K, r)``.
        num: B.
        hyperparameters: λ and the reduction.

    Memory: 2·K²D² entries, and with many labels as much again.
    """
    num_labeled = len(labeled_features)
    mean_information = fisher.information((features, factors), (labeled_features, labeled_factors))
    mean_information /= len(features) + num_labeled
    weight = hyperparameters.labeled_weight(num_labeled, num)
    inverse, weighted_inverse = _invert(
        mean_information, labeled_features, labeled_factors * weight**0.5, hyperparameters.lmbda
    )
    scale = (num / (num_labeled + num)) ** 0.5
    return Problem(features, factors * scale, inverse, weighted_inverse)


def _invert(
    mean_information: Tensor, labeled_features: Tensor, labeled_factors: Tensor, lmbda: float
) -> tuple[DenseInverse | LowRankInverse, Tensor]:
    """M₀⁻¹ and M₀⁻¹ F M₀⁻¹ for M₀ = λI + the labeled examples' (weighted) information.

    With few labels M₀ is λI plus a product of low rank H Hᵀ. By Woodbury's identity
    M₀⁻¹ = λ⁻¹I − E Eᵀ with E = λ^(−1/2) H L⁻ᵀ and the small Cholesky factor L Lᵀ = λI + HᵀH;
    then M₀⁻¹ F M₀⁻¹ = λ⁻²F − Z Eᵀ − E Zᵀ with Z = λ⁻¹FE − ½ E (EᵀFE).

    Overwrites ``mean_information``.
    """
    size = len(mean_information)  # KD
    num_columns = len(labeled_features) * labeled_factors.shape[-1]  # m = L·r
    if num_columns < size // 2:  # up to there the low rank takes fewer flops
        h = fisher.embeddings(labeled_features, labeled_factors)  # (L, KD, r)
        h = h.transpose(0, 1).reshape(size, num_columns)  # (KD, m)
        identity = torch.eye(num_columns, dtype=h.dtype, device=h.device)
        cholesky = torch.linalg.cholesky(h.mT @ h + lmbda * identity)  # (m, m)
        inverse_cholesky = torch.linalg.solve_triangular(cholesky, identity, upper=False)
        e = h @ inverse_cholesky.mT / lmbda**0.5  # (KD, m)
        fe = mean_information @ e  # (KD, m)
        z = fe / lmbda - e @ (e.mT @ fe) / 2  # (KD, m)
        weighted_inverse = mean_information.div_(lmbda**2)
        half = z @ e.mT  # (KD, KD)
        weighted_inverse.sub_(half).sub_(half.mT)
        return LowRankInverse(lmbda, e), weighted_inverse
    m = fisher.information((labeled_features, labeled_factors))  # (KD, KD)
    m.diagonal().add_(lmbda)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(m))
    return DenseInverse(inverse), inverse @ mean_information @ inverse


class Update(NamedTuple):
    """One step of M, by σ Vⱼ Vⱼᵀ.

    Attributes:
        u: U, ``(KD, r)``.
        w: W, ``(KD, r)``.
        sign: σ, 1 or −1.
    """

    u: Tensor
    w: Tensor
    sign: int


class CandidateTerms(NamedTuple):
    """The two terms that each candidate has in the objective.

    Attributes:
        p: P = Vᵀ M⁻¹ V, ``(N, r, r)``.
        q: Q = Vᵀ T V, ``(N, r, r)``.
    """

    p: Tensor
    q: Tensor

    def changes(self, sign: int) -> Tensor:
        """How far tr(M⁻¹F) falls when a candidate is added (1), or rises when removed (−1).

        Returns:
            tr( Q (I + σP)⁻¹ ), ``(N,)``, >= 0.
        """
        if self.p.shape[-1] == 1:
            return (self.q / (1 + sign * self.p)).flatten()  # (N, 1, 1) -> (N,)
        identity = torch.eye(self.p.shape[-1], dtype=self.p.dtype, device=self.p.device)
        # Symmetric and positive definite: twice as fast as a general solve.
        cholesky, _ = torch.linalg.cholesky_ex(identity + sign * self.p)
        return (torch.cholesky_inverse(cholesky) * self.q).sum((-2, -1))  # (N, r, r) -> (N,)

    def take(self, rows: Tensor) -> "CandidateTerms":
        """A copy of the terms of some candidates."""
        return CandidateTerms(self.p[rows], self.q[rows])

    def apply(self, update: Update, candidates: Problem) -> None:
        """Updates the terms in place for a step of M.

        Args:
            update: The step.
            candidates: The candidates whose terms these are, in the same order.
        """
        u, w, sign = update
        num_classes, rank = candidates.factors.shape[1:]
        # (KD, 2r) -> (D, K·2r): one product with the features serves U, W and all classes.
        both = torch.cat([u, w], 1).view(num_classes, -1, 2 * rank).transpose(0, 1).flatten(1)
        for rows in fisher.chunks(candidates.features, both.shape[1]):
            products = candidates.features[rows] @ both  # (n, K·2r)
            products = products.unflatten(1, (num_classes, 2 * rank))  # (n, K, 2r)
            x, y = torch.bmm(candidates.factors[rows].mT, products).split(rank, dim=-1)  # (n, r, r)
            cross = torch.bmm(y, x.mT)
            self.p[rows].baddbmm_(x, x.mT, alpha=-sign)
            self.q[rows].sub_(cross + cross.mT, alpha=sign)


def candidate_terms(problem: Problem) -> CandidateTerms:
    """P and Q of every candidate before any is chosen: 1.5·N·K(K+1)·D² flops at most.

    Example:
        >>> h, a = torch.eye(2), torch.ones(2, 1, 1)
        >>> candidate_terms(problem(h, a, h[:0], a[:0], num=1)).changes(1)
        tensor([0.2500, 0.2500])
    """
    return CandidateTerms(
        problem.inverse.quadratic_forms(problem.features, problem.factors),
        fisher.quadratic_forms(problem.features, problem.factors, problem.weighted_inverse),
    )


class Updates:
    """All steps of M since the start, from which M⁻¹ V and T V follow for any V.

    Args:
        problem: The start.
        max_steps: How many steps there may be.

    Memory: 2·KD·r entries per step.
    """

    def __init__(self, problem: Problem, max_steps: int) -> None:
        self.problem = problem
        self.rank = problem.factors.shape[-1]
        self.num_steps = 0
        size = len(problem.weighted_inverse)
        self._u = problem.weighted_inverse.new_empty(size, max_steps * self.rank)
        self._w = torch.empty_like(self._u)
        self._signs = self._u.new_empty(max_steps * self.rank)

    def next(self, position: int, p: Tensor, q: Tensor, sign: int) -> Update:
        """The step that adds (1) or removes (−1) a candidate; M stays as it is.

        Args:
            position: The candidate.
            p: Its P for the present M, ``(r, r)``.
            q: Its Q for the present M, ``(r, r)``.
            sign: 1 or −1.
        """
        problem, end = self.problem, self.num_steps * self.rank
        row = slice(position, position + 1)
        v = fisher.embeddings(problem.features[row], problem.factors[row])[0]  # (KD, r)
        us, ws, signs = self._u[:, :end], self._w[:, :end], self._signs[:end, None]
        u_coefficients, w_coefficients = signs * (us.mT @ v), signs * (ws.mT @ v)  # (steps·r, r)
        u = problem.inverse.times(v) - us @ u_coefficients  # M⁻¹ V, (KD, r)
        w = problem.weighted_inverse @ v - us @ w_coefficients - ws @ u_coefficients  # T V
        identity = torch.eye(self.rank, dtype=v.dtype, device=v.device)
        # G Gᵀ = (I + σP)⁻¹ for the inverse G of the transposed Cholesky factor.
        cholesky, _ = torch.linalg.cholesky_ex(identity + sign * p)
        g = torch.linalg.solve_triangular(cholesky, identity, upper=False).mT  # (r, r)
        u = u @ g
        return Update(u, w @ g - sign / 2 * u @ (g.mT @ q @ g), sign)

    def append(self, update: Update) -> None:
        """Moves M by a step."""
        columns = slice(self.num_steps * self.rank, (self.num_steps + 1) * self.rank)
        self._u[:, columns], self._w[:, columns], self._signs[columns] = update
        self.num_steps += 1

    def last(self, num: int) -> tuple[Tensor, Tensor]:
        """U and W of the last ``num`` steps, ``(KD, num·r)`` each."""
        columns = slice((self.num_steps - num) * self.rank, self.num_steps * self.rank)
        return self._u[:, columns], self._w[:, columns]

    def undo(self, num: int) -> None:
        """Takes the last ``num`` steps back."""
        self.num_steps -= num
