"""The slow truth: each function reads like its definition, and is what the package is held to."""

import math

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
