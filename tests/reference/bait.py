"""The forms of BAIT, on explicit information matrices."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def one_hot(y: int, p: Tensor) -> Tensor:
    """e_y, as long as p."""
    e = torch.zeros_like(p)
    e[y] = 1
    return e


def full_factor(p: Tensor) -> Tensor:
    """Column y is √p_y (e_y − p): ``(K, K)``."""
    return torch.stack([p[y].sqrt() * (one_hot(y, p) - p) for y in range(len(p))], dim=1)


def top_factor(p: Tensor, num_top: int) -> Tensor:
    """Column y is √(p_y / mass) (e_y − p) for the most probable classes y: ``(K, c)``."""
    top = p.argsort(descending=True)[:num_top].tolist()
    mass = sum(p[y] for y in top)
    return torch.stack([(p[y] / mass).sqrt() * (one_hot(y, p) - p) for y in top], dim=1)


def binary_factor(p: Tensor) -> Tensor:
    """√(p̂ (1 − p̂)): ``(1, 1)``."""
    highest = p.max()
    return (highest * (1 - highest)).sqrt().reshape(1, 1)


def embedding(h: Tensor, factor: Tensor) -> Tensor:
    """V = A ⊗ h, class first: ``(KD, r)``."""
    return torch.kron(factor, h[:, None])


def fisher(p: Tensor, h: Tensor) -> Tensor:
    """E_y[ g gᵀ ] of the gradient g = (e_y − p) ⊗ h: ``(KD, KD)``."""
    gradients = [torch.kron(one_hot(y, p) - p, h) for y in range(len(p))]
    return torch.stack([p[y] * torch.outer(g, g) for y, g in enumerate(gradients)]).sum(0)


class Bait:
    """BAIT with explicit matrices: the information of every example, inverses and traces."""

    def __init__(
        self,
        pool: list[Tensor],
        labeled: list[Tensor],
        num: int,
        lmbda: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        total = len(labeled) + num
        self.num = num
        self.mean = torch.stack(pool + labeled).mean(0)  # F
        self.m = lmbda * torch.eye(len(self.mean)).to(self.mean)  # M₀
        if labeled:
            stacked = torch.stack(labeled)
            of_labeled = stacked.mean(0) if reduction == "mean" else stacked.sum(0)
            self.m = self.m + len(labeled) / total * of_labeled
        self.added = [num / total * information for information in pool]

    def objective(self, m: Tensor) -> float:
        return torch.trace(torch.linalg.inv(m) @ self.mean).item()

    def select(self, oversample: int = 2) -> dict[int, float]:
        """Each position with the fall of the objective when it was added."""
        m = self.m
        gains: dict[int, float] = {}
        for _ in range(min(oversample * self.num, len(self.added))):
            rest = [i for i in range(len(self.added)) if i not in gains]
            best = min(rest, key=lambda i: self.objective(m + self.added[i]))
            gains[best] = self.objective(m) - self.objective(m + self.added[best])
            m = m + self.added[best]
        while len(gains) > self.num:
            least = min(gains, key=lambda i: self.objective(m - self.added[i]))
            m = m - self.added[least]
            del gains[least]
        return gains


class DiagonalBait(Bait):
    """The same with nothing but the diagonal of every information."""

    def __init__(
        self, pool: list[Tensor], labeled: list[Tensor], num: int, reduction: str = "mean"
    ) -> None:
        def diagonals(informations: list[Tensor]) -> list[Tensor]:
            return [information.diagonal().diag() for information in informations]

        super().__init__(diagonals(pool), diagonals(labeled), num, reduction=reduction)


class PublishedDiagonalBait:
    """As published: M⁻¹ and F diagonal, but candidates of full rank.

    After every step of Woodbury's identity only the diagonal of the inverse is kept.
    """

    def __init__(
        self, pool: list[Tensor], labeled: list[Tensor], v: list[Tensor], num: int, reduction: str
    ) -> None:
        start = DiagonalBait(pool, labeled, num, reduction=reduction)
        self.num = num
        self.mean = start.mean
        self.inverse = torch.linalg.inv(start.m)
        self.v = [columns * (num / (len(labeled) + num)) ** 0.5 for columns in v]

    def middle(self, v: Tensor, inverse: Tensor, sign: int) -> Tensor:
        inner: Tensor = torch.linalg.inv(sign * torch.eye(v.shape[1]).to(v) + v.T @ inverse @ v)
        return inner

    def change(self, v: Tensor, inverse: Tensor, sign: int) -> float:
        outer = v.T @ inverse @ self.mean @ inverse @ v
        return torch.trace(outer @ self.middle(v, inverse, sign)).item()

    def updated(self, v: Tensor, inverse: Tensor, sign: int) -> Tensor:
        change = inverse @ v @ self.middle(v, inverse, sign) @ v.T @ inverse
        return (inverse - change).diagonal().diag()

    def select(self, oversample: int = 2) -> dict[int, float]:
        inverse = self.inverse
        gains: dict[int, float] = {}
        for _ in range(min(oversample * self.num, len(self.v))):
            rest = [i for i in range(len(self.v)) if i not in gains]
            changes = {i: self.change(self.v[i], inverse, 1) for i in rest}
            best = max(rest, key=changes.__getitem__)
            gains[best] = changes[best]
            inverse = self.updated(self.v[best], inverse, 1)
        while len(gains) > self.num:
            least = max(gains, key=lambda i: self.change(self.v[i], inverse, -1))
            inverse = self.updated(self.v[least], inverse, -1)
            del gains[least]
        return gains


def _rows(query: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and probabilities of the pool, and then of the labeled examples, in float64."""
    pool, labeled = query.pool_features.double(), query.labeled_features.double()
    return pool, query.pool_probs.double(), labeled, query.labeled_probs.double()


def _bait(query: Any, factor: Callable[[Tensor], Tensor]) -> dict[int, float]:
    h, p, labeled_h, labeled_p = _rows(query)

    def informations(features: Tensor, probs: Tensor) -> list[Tensor]:
        columns = [embedding(x, factor(q)) for x, q in zip(features, probs, strict=True)]
        return [v @ v.T for v in columns]

    return Bait(informations(h, p), informations(labeled_h, labeled_p), query.num).select()


def _diagonal(query: Any) -> dict[int, float]:
    h, p, labeled_h, labeled_p = _rows(query)
    pool = [fisher(q, x) for x, q in zip(h, p, strict=True)]
    labeled = [fisher(q, x) for x, q in zip(labeled_h, labeled_p, strict=True)]
    return DiagonalBait(pool, labeled, query.num).select()


def published_bait(strategy: Any, query: Any) -> list[int]:
    """The arithmetic of the published code: explicit rows, N × r × KD, and four products per step.

    Written from the algorithm of Ash et al. (2021). M⁻¹ is updated by Woodbury's identity; P and Q
    are computed from scratch in every step, by multiplying all rows by M⁻¹, M⁻¹, F and M⁻¹.
    """

    def explicit_rows(features: Tensor, probs: Tensor) -> Tensor:
        factors: Tensor = strategy.factors(probs)
        return (factors.mT[..., None] * features[:, None, None]).flatten(2)  # (N, r, KD)

    rows = explicit_rows(query.pool_features, query.pool_probs)
    labeled = explicit_rows(query.labeled_features, query.labeled_probs).flatten(0, 1)  # (Lr, KD)
    num_labeled, num, rank = len(query.labeled_features), query.num, rows.shape[1]
    flat = rows.flatten(0, 1)  # (Nr, KD), a view
    mean = (flat.T @ flat + labeled.T @ labeled) / (len(rows) + num_labeled)
    m = torch.eye(flat.shape[1]).to(flat) + labeled.T @ labeled / (num_labeled + num)
    inverse = torch.linalg.inv(m)
    rows *= (num / (num_labeled + num)) ** 0.5
    identity = torch.eye(rank).to(flat)
    chosen: list[int] = []
    for _ in range(2 * num):
        inner = torch.linalg.inv(identity + (flat @ inverse).view_as(rows) @ rows.mT)
        outer = (flat @ inverse @ mean @ inverse).view_as(rows) @ rows.mT
        gains = (outer * inner.mT).sum((1, 2))
        gains[chosen] = -torch.inf
        chosen.append(int(gains.argmax()))
        v = rows[chosen[-1]]
        inverse = (
            inverse - inverse @ v.T @ torch.linalg.inv(identity + v @ inverse @ v.T) @ v @ inverse
        )
    for _ in range(num):
        own = rows[chosen]
        inner = torch.linalg.inv(own @ inverse @ own.mT - identity)
        outer = own @ inverse @ mean @ inverse @ own.mT
        losses = -(outer * inner.mT).sum((1, 2))
        v = own[int(losses.argmin())]
        chosen.pop(int(losses.argmin()))
        inverse = (
            inverse - inverse @ v.T @ torch.linalg.inv(v @ inverse @ v.T - identity) @ v @ inverse
        )
    return chosen


selections: dict[str, Callable[[Any], list[int]]] = {
    "bait": lambda q: list(_bait(q, full_factor)),
    "bait_exp": lambda q: list(_bait(q, lambda p: top_factor(p, 2))),
    "bait_binary": lambda q: list(_bait(q, binary_factor)),
    "bait_diagonal": lambda q: list(_diagonal(q)),
}
