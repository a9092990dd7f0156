"""Neighbors, and TypiClust."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def neighbor_distances(points: Tensor, num: int) -> list[list[float]]:
    distances = []
    for i in range(len(points)):
        others = [(points[i] - points[j]).norm().item() for j in range(len(points)) if j != i]
        distances.append(sorted(others)[:num])
    return distances


def typicality(points: Tensor) -> list[float]:
    k = min(20, len(points) // 2)
    if k == 0:
        return [1.0] * len(points)
    return [1 / (sum(nearest) / k + 1e-5) for nearest in neighbor_distances(points, k)]


def typiclust(
    features: Tensor, num_labeled: int, num: int, assignment: list[int]
) -> dict[int, float]:
    """Each position with its typicality, for given clusters; fewer if these run out of points."""
    members: dict[int, list[int]] = {}
    for point, cluster in enumerate(assignment):
        members.setdefault(cluster, []).append(point)
    order = [c for c in sorted(members) if len(members[c]) > 5]
    order.sort(key=lambda c: (sum(p < num_labeled for p in members[c]), -len(members[c])))
    free = {c: [p for p in members[c] if p >= num_labeled] for c in order}
    selected: dict[int, float] = {}
    visit = 0
    while len(selected) < num and any(free.values()):
        points = free[order[visit % len(order)]]
        visit += 1
        if points:
            scores = typicality(features[points])
            best = scores.index(max(scores))
            selected[points.pop(best) - num_labeled] = scores[best]
    return selected


def _typiclust(query: Any) -> dict[int, float]:
    """The clusters are those of faiss; the rest is plain loops."""
    from dal.functional import clustering

    features = torch.cat([query.labeled_features, query.pool_features])
    features = features / features.norm(dim=1, keepdim=True).clamp_min(1e-12)
    seed = int(torch.randint(2**31 - 1, (), generator=query.generator))
    num_labeled = len(query.labeled_features)
    assignment = clustering.k_means(features, num_labeled + query.num, seed)
    return typiclust(features.double(), num_labeled, query.num, assignment.tolist())


selections: dict[str, Callable[[Any], list[int]]] = {"typiclust": lambda q: list(_typiclust(q))}
