"""Herding by a Gaussian kernel, its bandwidth and temperature, and REFINE, in plain loops."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.reference.scoring import calibration_error, margin


def unit(features: Tensor) -> list[list[float]]:
    rows = features.double()
    return [(row / row.norm() if row.norm() > 0 else row).tolist() for row in rows]


def herding_gains(
    features: Tensor,
    labeled: Tensor,
    weights: list[float],
    chosen: list[int],
    bandwidth: float,
    targets: list[int] | None = None,
) -> dict[int, float]:
    """Gain of each position that is not chosen; with some targets, its estimate."""
    rows, size = unit(features), len(features)
    centres = [*unit(labeled), *(rows[position] for position in chosen)]
    sample = list(range(size)) if targets is None else targets

    def kernel(x: list[float], y: list[float]) -> float:
        return math.exp(-((math.dist(x, y) / bandwidth) ** 2))

    cover = [max((kernel(row, centre) for centre in centres), default=0.0) for row in rows]
    gains = {}
    for j in range(size):
        others = [
            weights[i] * max(kernel(rows[i], rows[j]) - cover[i], 0.0) for i in sample if i != j
        ]
        scale = (size - 1) / len(others) if others else 0.0
        own = weights[j] * (1 - cover[j])
        # Exact: equal rows tie.
        gains[j] = math.fsum([own, *(scale * term for term in others)])
    return {j: gain for j, gain in gains.items() if j not in chosen}


def herding(
    features: Tensor, labeled: Tensor, weights: list[float], num: int, bandwidth: float
) -> dict[int, float]:
    """Each position with its gain when it was chosen."""
    selected: dict[int, float] = {}
    for _ in range(num):
        gains = herding_gains(features, labeled, weights, list(selected), bandwidth)
        highest = max(gains.values())
        best = min(position for position in gains if gains[position] >= highest * (1 - 1e-12))
        selected[best] = gains[best]
    return selected


def smallest_distance(features: Tensor) -> float | None:
    rows = unit(features)
    distances = [math.dist(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    return min((distance for distance in distances if distance >= 1e-6), default=None)


def temperature(logits: Tensor, labels: Tensor) -> float:
    errors = {}
    for tenths in range(10, 200):
        probs = (logits.double() / (tenths / 10)).softmax(1)
        errors[tenths / 10] = calibration_error(probs, labels, 15)
    return min(errors, key=lambda value: (round(errors[value], 12), value))


def uncertainty(logits: Tensor, value: float) -> list[float]:
    return [1 - difference for difference in margin((logits.double() / value).softmax(1))]


def _max_herding(query: Any) -> list[int]:
    weights = [1.0] * len(query.pool)
    return list(herding(query.pool_features, query.labeled_features, weights, query.num, 1.0))


def _uherding(query: Any) -> list[int]:
    num_labeled = len(query.labeled)
    weights, bandwidth = [1.0] * len(query.pool), 1.0
    if num_labeled > 0:
        bandwidth = smallest_distance(query.labeled_features) or 1.0
        value = 1.0
        if num_labeled > 3:
            num_fit = 7 * num_labeled // 10
            head = query.refit(torch.arange(num_fit))
            logits = head(query.labeled_features[num_fit:])
            value = temperature(logits, query.labels[num_fit:])
        weights = uncertainty(query.pool_logits, value)
    return list(herding(query.pool_features, query.labeled_features, weights, query.num, bandwidth))


selections: dict[str, Callable[[Any], list[int]]] = {
    "max_herding": _max_herding,
    "uherding": _uherding,
}
