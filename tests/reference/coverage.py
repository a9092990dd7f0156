"""CoreSet and ProbCover, from distances of float64 of all pairs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.reference.seeding import fill_uniformly


def distance(first: Tensor, second: Tensor) -> float:
    return (first.double() - second.double()).square().sum().sqrt().item()


def core_set(
    pool: Tensor, labeled: Tensor, num: int, generator: torch.Generator
) -> dict[int, float]:
    """Each position with the distance that it was chosen for, NaN if it was drawn uniformly."""
    selected: dict[int, float] = {}
    if len(labeled) == 0:
        mean = pool.double().mean(0)
        to_mean = [distance(row, mean) for row in pool]
        selected[to_mean.index(min(to_mean))] = min(to_mean)
    while len(selected) < num:
        centres = [*labeled, *pool[list(selected)]]
        nearest = [min(distance(row, centre) for centre in centres) for row in pool]
        for position in selected:
            nearest[position] = 0
        if max(nearest) == 0:
            break
        selected[nearest.index(max(nearest))] = max(nearest)
    filled = fill_uniformly(list(selected), num, len(pool), generator)
    return {position: selected.get(position, torch.nan) for position in filled}


def is_less(distance: float, delta: float) -> bool:
    """Whether a distance is less than delta; it is not if float64 cannot tell."""
    return distance < delta * (1 - 1e-12)


def purity(distances: list[list[float]], clusters: list[int], delta: float) -> float:
    """The share of balls that hold rows of one cluster only."""
    num_pure = sum(
        all(clusters[y] == clusters[x] for y, d in enumerate(to_all) if is_less(d, delta))
        for x, to_all in enumerate(distances)
    )
    return num_pure / len(distances)


def pure_radius(units: Tensor, clusters: list[int], share: float) -> float:
    """The largest delta whose purity is at least ``share``.

    Purity changes at distances of pairs only: these are tried, and one above all of them.
    """
    distances = [[distance(x, y) for y in units] for x in units]
    tried = sorted({3.0}.union(*distances), reverse=True)
    return next(delta for delta in tried if purity(distances, clusters, delta) >= share)


def prob_cover(
    units: Tensor, num_labeled: int, num: int, delta: float, generator: torch.Generator
) -> dict[int, float]:
    """Each position with the number of rows that it newly covers, NaN if drawn uniformly."""
    edges = [[is_less(distance(x, y), delta) for y in units] for x in units]
    selected: dict[int, float] = {}
    while True:
        chosen = [*range(num_labeled), *(num_labeled + position for position in selected)]
        is_covered = [any(edges[x][y] for x in chosen) for y in range(len(units))]
        degrees = [
            sum(edges[x][y] and not is_covered[y] for y in range(len(units)))
            for x in range(num_labeled, len(units))
        ]
        if len(selected) == num or max(degrees) == 0:
            break
        selected[degrees.index(max(degrees))] = max(degrees)
    filled = fill_uniformly(list(selected), num, len(units) - num_labeled, generator)
    return {position: selected.get(position, torch.nan) for position in filled}


def _core_set(query: Any) -> list[int]:
    return list(core_set(query.pool_features, query.labeled_features, query.num, query.generator))


def _prob_cover(query: Any) -> list[int]:
    """The clusters are those of faiss; the rest is plain loops."""
    from dal.functional import clustering

    features = torch.cat([query.labeled_features, query.pool_features])
    units = torch.nn.functional.normalize(features)
    seed = int(torch.randint(2**31 - 1, (), generator=query.generator))
    torch.randperm(len(units), generator=query.generator)  # of the balls that are looked at: all
    clusters = clustering.k_means(units, query.num_classes, seed).tolist()
    delta = pure_radius(units, clusters, 0.95)
    num_labeled = len(query.labeled_features)
    return list(prob_cover(units, num_labeled, query.num, delta, query.generator))


selections: dict[str, Callable[[Any], list[int]]] = {
    "core_set": _core_set,
    "prob_cover": _prob_cover,
}
