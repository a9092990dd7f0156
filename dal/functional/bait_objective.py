"""The objective of BAIT, tr(M⁻¹F): what each candidate lowers it by, and how M is updated.

F is the mean information of all examples, and M that of the labeled and the chosen ones. A
candidate x adds V Vᵀ to M, where V is its scaled embedding (:mod:`dal.functional.fisher`). By
Woodbury's identity, adding it lowers the objective by its *gain*

    tr( Q (I + P)⁻¹ ),   P = Vᵀ M⁻¹ V,   Q = Vᵀ T V,   T = M⁻¹ F M⁻¹,

which needs r × r matrices only. T is called the *weighted inverse*. When M grows by Vⱼ Vⱼᵀ, M⁻¹ and
T change by products of the two *directions* U and W of that step, r columns each,

    M⁻¹ ← M⁻¹ − U Uᵀ,               U = M⁻¹ Vⱼ G,    G Gᵀ = (I + Pⱼ)⁻¹,
    T   ← T − (U Wᵀ + W Uᵀ),        W = T Vⱼ G − ½ U Gᵀ Qⱼ G,

so that for every candidate, with X = VᵀU and Y = VᵀW,

    P ← P − X Xᵀ,    Q ← Q − (X Yᵀ + Y Xᵀ).

A step is one product of the features with the directions, O(N·D·K·r). P and Q follow M, although no
(KD × KD) inverse and no embedding is ever updated.

What concerns all candidates is computed in their dtype, and what concerns M or single candidates in
float64: the directions, and the exact terms of a candidate (:mod:`dal.functional.bait_updates`).

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", equation 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import bait_inverse, bait_rank_one, fisher, sharding
from dal.functional.rows import Rows
from dal.functional.sharding import Shares


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
        features: h, ``(N, D)``; read in chunks, several times.
        factors: A, scaled so that V = A ⊗ h is what a candidate adds to M, ``(N, K, r)``.
        labeled_features: h of the labeled examples, ``(L, D)``.
        labeled_factors: Their A, scaled as they count in M, ``(L, K, r)``.
        mean_information: F, ``(KD, KD)``.
        lmbda: λ.
        offset: Position of the first candidate among those of all processes.
        shares: The processes, each with some of the candidates. A position is one among all.
    """

    features: Rows
    factors: Tensor
    labeled_features: Tensor
    labeled_factors: Tensor
    mean_information: Tensor
    lmbda: float
    offset: int = 0
    shares: Shares = sharding.ALONE

    def take(self, positions: Tensor) -> "Problem":
        """The same objective, with a copy of some of the candidates in every process."""
        features, factors = (
            sharding.taken(rows, positions, self.offset, self.shares)
            for rows in (self.features, self.factors)
        )
        return self._replace(features=features, factors=factors, offset=0, shares=sharding.ALONE)

    def invert(self, chosen: Tensor) -> bait_inverse.Inverse:
        """M⁻¹, in float64, when some candidates have been added.

        Args:
            chosen: Their positions, ``(n,)``; may be empty.
        """
        added = self.take(chosen)
        features = torch.cat([self.labeled_features, added.features[:]])
        factors = torch.cat([self.labeled_factors, added.factors])
        return bait_inverse.invert(features, factors, self.lmbda)

    def embeddings(self, rows: slice | Tensor) -> Tensor:
        """V of some candidates of this process, ``(n, KD, r)``, in float64."""
        return fisher.embeddings(self.features[rows].double(), self.factors[rows].double())


def problem(
    features: Rows,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
    shares: Shares = sharding.ALONE,
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
        shares: The processes, each with some of the pool; only if candidates have rank one.

    Memory: 1.5·K²D² entries.

    Example:
        >>> h, a = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.ones(2, 1, 1)
        >>> problem(h, a, h[:0], a[:0], num=1).mean_information
        tensor([[2.0000, 0.0000],
                [0.0000, 0.5000]])
    """
    num_labeled, labeled = len(labeled_features), (labeled_features, labeled_factors)
    num_pool, offset = shares.placed(len(features))
    if factors.shape[1:] == (1, 1):
        mean_information = bait_rank_one.information(features, factors, offset, shares)
        mean_information += fisher.information(labeled)
    else:
        mean_information = fisher.information((features, factors), labeled)
    mean_information /= num_pool + num_labeled
    weight = hyperparameters.labeled_weight(num_labeled, num)
    scale = (num / (num_labeled + num)) ** 0.5
    return Problem(
        features,
        factors * scale,
        labeled_features,
        labeled_factors * weight**0.5,
        mean_information,
        hyperparameters.lmbda,
        offset,
        shares,
    )


class CandidateTerms(NamedTuple):
    """The two terms that each candidate has in the objective.

    Attributes:
        p: P = Vᵀ M⁻¹ V, ``(N, r, r)``.
        q: Q = Vᵀ T V, ``(N, r, r)``.
        first_p: Trace of P when P was computed, ``(N,)``; updates have made it smaller.
        first_q: Trace of Q when Q was computed, ``(N,)``.
    """

    p: Tensor
    q: Tensor
    first_p: Tensor
    first_q: Tensor

    def gains(self) -> Tensor:
        """How far tr(M⁻¹F) falls when a candidate is added, ``(N,)``."""
        return gains(self.p, self.q)

    def rounding(self, gains: Tensor) -> Tensor:
        """What one unit of rounding in P and Q, as they were when computed, changes a gain by.

        Of a gain Q / (1 + P) these are (first Q + gain · first P) / (1 + P); for higher ranks P is
        taken for a multiple of I. P and Q fall, and rounding errors stay.

        Args:
            gains: :meth:`gains`.
        """
        scale = self.p.diagonal(dim1=1, dim2=2).mean(-1).clamp_min(0).add_(1)  # (N, r, r) -> (N,)
        return torch.addcmul(self.first_q, gains, self.first_p).div_(scale)

    def take(self, rows: Tensor) -> "CandidateTerms":
        """A copy of the terms of some candidates."""
        return CandidateTerms(*(term[rows] for term in self))

    def apply(self, u: Tensor, w: Tensor, candidates: Problem) -> None:
        """Updates the terms in place for a step of M.

        Args:
            u: U of the step, ``(KD, r)``.
            w: W of the step, ``(KD, r)``.
            candidates: The candidates whose terms these are, in the same order.
        """
        num_classes, rank = candidates.factors.shape[1:]
        # (KD, 2r) -> (K·2r, D): one product with the features serves U, W and all classes. With few
        # columns, it is several times faster when they are the rows of the matrix in memory.
        both = torch.cat([u, w], 1).view(num_classes, -1, 2 * rank).mT.flatten(0, 1)
        both = both.to(candidates.features.dtype).contiguous()
        for rows in fisher.chunks(candidates.features, len(both)):
            products = candidates.features[rows] @ both.mT  # (n, K·2r)
            products = products.unflatten(1, (num_classes, 2 * rank))  # (n, K, 2r)
            x, y = torch.bmm(candidates.factors[rows].mT, products).split(rank, dim=-1)  # (n, r, r)
            cross = torch.bmm(y, x.mT)
            self.p[rows].baddbmm_(x, x.mT, alpha=-1)
            self.q[rows].sub_(cross + cross.mT)


def gains(p: Tensor, q: Tensor) -> Tensor:
    """tr( Q (I + P)⁻¹ ), ``(N,)``, from P and Q ``(N, r, r)``.

    Example:
        >>> gains(p=torch.tensor([[[1.0]]]), q=torch.tensor([[[3.0]]]))
        tensor([1.5000])
    """
    if p.shape[-1] == 1:
        return (q / (1 + p.clamp_min(0))).flatten()  # (N, 1, 1) -> (N,)
    return (shifted_inverse(p) * q).sum((-2, -1))  # (N, r, r) -> (N,)


def shifted_inverse(p: Tensor) -> Tensor:
    """(I + P)⁻¹ for positive semidefinite P, ``(N, r, r)`` each.

    P is what is left of larger numbers. Where their rounding made I + P indefinite, the negative
    part of P is taken for 0: it is rounding alone.

    Example:
        >>> shifted_inverse(torch.tensor([[[3.0]]]))
        tensor([[[0.2500]]])
    """
    identity = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)
    # Symmetric and positive definite: twice as fast as a general solve.
    cholesky, info = torch.linalg.cholesky_ex(identity + p)
    failed = info.nonzero().flatten()
    cholesky[failed] = identity
    inverse = torch.cholesky_inverse(cholesky)
    if len(failed):
        values, vectors = torch.linalg.eigh(p[failed])
        scaled = vectors / (1 + values.clamp_min(0))[:, None]  # (n, r, r)
        inverse[failed] = scaled @ vectors.mT
    return inverse


def candidate_terms(problem: Problem, inverse: bait_inverse.Inverse) -> CandidateTerms:
    """P and Q of every candidate: 1.5·N·K(K+1)·D² flops at most, and 2·N·D² for K = 1.

    Example:
        >>> h, a = torch.eye(2), torch.ones(2, 1, 1)
        >>> start = problem(h, a, h[:0], a[:0], num=1)
        >>> candidate_terms(start, start.invert(torch.tensor([], dtype=torch.long))).gains()
        tensor([0.2500, 0.2500])
    """
    features, factors = problem.features, problem.factors
    if factors.shape[1:] == (1, 1):
        p, q = bait_rank_one.terms(features, factors, inverse.dense(), problem.mean_information)
        return CandidateTerms(p, q, p.flatten().clone(), q.flatten().clone())
    p = inverse.quadratic_forms(features, factors)
    q = fisher.quadratic_forms(features, factors, inverse.weighted(problem.mean_information))
    return CandidateTerms(p, q, *(term.diagonal(dim1=1, dim2=2).sum(-1) for term in (p, q)))
