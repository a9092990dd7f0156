"""The slow truth: each function reads like its definition, and is what the package is held to."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def margin(probs: Tensor) -> list[float]:
    out = []
    for row in probs.tolist():
        first, second = sorted(row, reverse=True)[:2]
        out.append(first - second)
    return out


def entropy(probs: Tensor) -> list[float]:
    return [-sum(p * math.log(p) for p in row if p > 0) for row in probs.tolist()]


def least_confidence(probs: Tensor) -> list[float]:
    return [1 - max(row) for row in probs.tolist()]


def lowest(scores: Tensor, num: int) -> list[int]:
    order = sorted(range(len(scores)), key=lambda position: (scores[position].item(), position))
    return order[:num]


def mean_height(heights: Tensor) -> float:
    return math.fsum(heights.tolist()) / len(heights)


def trapezoid(num_labeled: Tensor, heights: Tensor) -> float:
    if len(heights) == 1:
        return float(heights[0])
    area = 0.0
    for left in range(len(heights) - 1):
        width = (num_labeled[left + 1] - num_labeled[left]).item()
        area += width * (heights[left] + heights[left + 1]).item() / 2
    return area / float(num_labeled[-1] - num_labeled[0])


def brier(probs: Tensor, labels: Tensor) -> list[float]:
    return [
        sum((p - (k == label)) ** 2 for k, p in enumerate(row))
        for row, label in zip(probs.tolist(), labels.tolist(), strict=True)
    ]


def calibration_error(probs: Tensor, labels: Tensor, num_bins: int) -> float:
    confidence, predicted = probs.max(1)
    error = 0.0
    for bin_ in range(num_bins):
        inside = (confidence > bin_ / num_bins) & (confidence <= (bin_ + 1) / num_bins)
        if inside.any():
            accuracy = (predicted[inside] == labels[inside]).double().mean().item()
            gap = abs(accuracy - confidence[inside].double().mean().item())
            error += inside.double().mean().item() * gap
    return error


def epoch_rows(num_rows: int, batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """Rows of the full batches of one epoch: whole permutations, one after the other."""
    num_batches = -(-num_rows // batch_size)
    rows: list[int] = []
    while len(rows) < num_batches * batch_size:
        rows += torch.randperm(num_rows, generator=generator).tolist()
    return [rows[b * batch_size : (b + 1) * batch_size] for b in range(num_batches)]


def embedding(h: Tensor, factor: Tensor) -> Tensor:
    """V = A ⊗ h, class first: ``(KD, r)``."""
    return torch.kron(factor, h[:, None])


def full_factor(p: Tensor) -> Tensor:
    classes = range(len(p))
    return torch.stack([p[y].sqrt() * (torch.eye(len(p)).to(p)[y] - p) for y in classes], dim=1)


def top_factor(p: Tensor, num_top: int) -> Tensor:
    top = p.argsort(descending=True)[:num_top].tolist()
    mass = sum(p[y] for y in top)
    one_hot = torch.eye(len(p)).to(p)
    return torch.stack([(p[y] / mass).sqrt() * (one_hot[y] - p) for y in top], dim=1)


def binary_factor(p: Tensor) -> Tensor:
    highest = p.max()
    return (highest * (1 - highest)).sqrt().reshape(1, 1)


def fisher(p: Tensor, h: Tensor) -> Tensor:
    """Equation 2: the expected outer product of the gradient, ``(KD, KD)``."""
    total = torch.zeros(len(p) * len(h), len(p) * len(h)).to(p)
    for y in range(len(p)):
        gradient = torch.kron(torch.eye(len(p)).to(p)[y] - p, h)
        total = total + p[y] * torch.outer(gradient, gradient)
    return total


class Bait:
    """BAIT with explicit matrices: information of every example, inverses, traces."""

    def __init__(
        self,
        informations: list[Tensor],
        labeled: list[Tensor],
        num: int,
        lmbda: float = 1.0,
        reduction: str = "mean",
        size: int | None = None,
    ) -> None:
        everything = informations + labeled
        size = len(everything[0])
        self.mean = sum(everything) / len(everything)
        share = len(labeled) / (len(labeled) + num)
        self.m = lmbda * torch.eye(size).to(everything[0])
        if labeled:
            scale = 1 if reduction == "sum" else 1 / len(labeled)
            self.m = self.m + share * scale * sum(labeled)
        self.added = [num / (len(labeled) + num) * information for information in informations]
        self.num = num

    def objective(self, m: Tensor) -> float:
        return torch.trace(torch.linalg.inv(m) @ self.mean).item()

    def select(self, oversample: int = 2) -> list[int]:
        m, chosen = self.m.clone(), []
        for _ in range(min(oversample * self.num, len(self.added))):
            rest = [i for i in range(len(self.added)) if i not in chosen]
            best = min(rest, key=lambda i: self.objective(m + self.added[i]))
            m = m + self.added[best]
            chosen.append(best)
        while len(chosen) > self.num:
            least = min(chosen, key=lambda i: self.objective(m - self.added[i]))
            m = m - self.added[least]
            chosen.remove(least)
        return chosen


class DiagonalBait(Bait):
    """The same with the diagonal of every information alone."""

    def __init__(self, informations: list[Tensor], labeled: list[Tensor], num: int) -> None:
        def diagonal(matrices: list[Tensor]) -> list[Tensor]:
            return [torch.diag(torch.diag(matrix)) for matrix in matrices]

        super().__init__(diagonal(informations), diagonal(labeled), num)


def badge(probs: Tensor, features: Tensor, num: int, generator: torch.Generator) -> list[int]:
    """k-means++ on explicit gradient embeddings, all distances anew for every draw."""
    rows = []
    for p, h in zip(probs, features, strict=True):
        one_hot = torch.eye(len(p)).to(p)[p.argmax()]
        rows.append(torch.kron(one_hot - p, h))
    g = torch.stack(rows)
    chosen = [int(g.norm(dim=1).argmax())]
    while len(chosen) < num:
        squares = torch.stack([(g - g[c]).square().sum(1) for c in chosen]).amin(0)
        squares[squares < 1e-12] = 0
        squares[chosen] = 0
        if squares.sum() == 0:
            rest = [i for i in range(len(g)) if i not in chosen]
            order = torch.randperm(len(rest), generator=generator).tolist()
            return chosen + [rest[i] for i in order[: num - len(chosen)]]
        target = torch.rand((), generator=generator, dtype=torch.float64) * squares.double().sum()
        total = 0.0
        for i, square in enumerate(squares.tolist()):
            total += square
            if total > target:
                chosen.append(i)
                break
    return chosen


def typicality(points: Tensor) -> list[float]:
    k = min(20, len(points) // 2)
    out = []
    for i in range(len(points)):
        others = [(points[i] - points[j]).norm().item() for j in range(len(points)) if j != i]
        out.append(1 / (sum(sorted(others)[:k]) / k + 1e-5) if k else 1.0)
    return out


def typiclust(features: Tensor, num_labeled: int, num: int, assignment: list[int]) -> list[int]:
    """Positions, given the clusters; fewer than ``num`` if these run out of points."""
    members: dict[int, list[int]] = {}
    for point, cluster in enumerate(assignment):
        members.setdefault(cluster, []).append(point)
    order = [c for c in sorted(members) if len(members[c]) > 5]
    order.sort(key=lambda c: (sum(p < num_labeled for p in members[c]), -len(members[c])))
    taken: list[int] = []
    visit = 0
    while len(taken) < num and any(
        p >= num_labeled and p not in taken for c in order for p in members[c]
    ):
        cluster = order[visit % len(order)]
        visit += 1
        points = [p for p in members[cluster] if p >= num_labeled and p not in taken]
        if points:
            scores = typicality(features[points])
            taken.append(points[scores.index(max(scores))])
    return [point - num_labeled for point in taken]


def _rows(query: Any) -> Any:
    """Features and probabilities of a query in float64: pool, then labeled."""
    pool, labeled = query.pool_features.double(), query.labeled_features.double()
    return pool, query.pool_probs.double(), labeled, query.labeled_probs.double()


def _bait(query: Any, factor: Any) -> list[int]:
    h, p, hl, pl = _rows(query)

    def informations(features: Tensor, probs: Tensor) -> list[Tensor]:
        columns = [embedding(x, factor(q)) for x, q in zip(features, probs, strict=True)]
        return [v @ v.T for v in columns]

    return Bait(informations(h, p), informations(hl, pl), query.num).select()


def _diagonal(query: Any) -> Any:
    h, p, hl, pl = _rows(query)
    pool = [fisher(q, x) for x, q in zip(h, p, strict=True)]
    labeled = [fisher(q, x) for x, q in zip(hl, pl, strict=True)]
    return DiagonalBait(pool, labeled, query.num).select()


def _typiclust(query: Any) -> list[int]:
    """The clusters are faiss's; the rest is plain loops."""
    from dal.functional import typicality as fast

    features = torch.cat([query.labeled_features, query.pool_features])
    features = features / features.norm(dim=1, keepdim=True)
    seed = int(torch.randint(2**31 - 1, (), generator=query.generator))
    num_labeled = len(query.labeled_features)
    assignment = fast.clusters(features, num_labeled + query.num, seed)
    return typiclust(features.double(), num_labeled, query.num, assignment.tolist())


# The twins of the strategies, by name: positions for a query.
selections: dict[str, Callable[[Any], Any]] = {
    "margin": lambda q: lowest(torch.tensor(margin(q.pool_probs)), q.num),
    "bait": lambda q: _bait(q, full_factor),
    "bait_exp": lambda q: _bait(q, lambda p: top_factor(p, 2)),
    "bait_binary": lambda q: _bait(q, binary_factor),
    "bait_diagonal": _diagonal,
    "typiclust": _typiclust,
    "badge": lambda q: badge(q.pool_probs.double(), q.pool_features.double(), q.num, q.generator),
}


def published_bait(strategy: Any, query: Any) -> list[int]:
    """The arithmetic of the published code: explicit rows of N × r × KD, four products a step.

    Written from the algorithm of Ash et al. (2021): every step inverts anew what it can update by
    Woodbury's identity, and multiplies all rows by M⁻¹, M⁻¹, F and M⁻¹.
    """
    h, hl = query.pool_features, query.labeled_features
    factors = strategy.factors(query.pool_probs)
    labeled_factors = strategy.factors(query.labeled_probs)
    rows = (factors.mT[..., None] * h[:, None, None]).flatten(2)  # (N, r, KD)
    labeled = (labeled_factors.mT[..., None] * hl[:, None, None]).flatten(2).flatten(0, 1)
    num_labeled, num, rank = len(hl), query.num, rows.shape[1]
    flat = rows.flatten(0, 1)
    mean = (flat.T @ flat + labeled.T @ labeled) / (len(h) + num_labeled)
    m = torch.eye(flat.shape[1]).to(h) + labeled.T @ labeled / (num_labeled + num)
    inverse = torch.linalg.inv(m)
    rows *= (num / (num_labeled + num)) ** 0.5
    identity = torch.eye(rank).to(h)
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


def logit_deviations(
    embeddings: Tensor, labeled_embeddings: Tensor, labeled_probs: Tensor, prior_precision: float
) -> list[float]:
    precision = prior_precision * torch.eye(embeddings.shape[1], dtype=torch.float64)
    for z, probs in zip(labeled_embeddings.double(), labeled_probs.double(), strict=True):
        precision += probs.max() * (1 - probs.max()) * torch.outer(z, z)
    covariance = torch.linalg.inv(precision)
    return [math.sqrt(float(z @ covariance @ z)) for z in embeddings.double()]
