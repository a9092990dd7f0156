"""Scores of probabilities, and of curves."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def margin(probs: Tensor) -> list[float]:
    margins = []
    for row in probs.tolist():
        first, second = sorted(row, reverse=True)[:2]
        margins.append(first - second)
    return margins


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


selections: dict[str, Callable[[Any], list[int]]] = {
    "margin": lambda q: lowest(torch.tensor(margin(q.pool_probs)), q.num),
}
