"""Mutual information of labels and weights: BALD, and BatchBALD by enumeration."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from tests.reference.scoring import entropy, lowest
from tests.reference.training import logit_deviations

TIE = 1e-6  # gains from float32 probabilities that differ by less are equal


def mutual_information(probs: Tensor) -> list[float]:
    """Of probabilities (S, N, K)."""
    of_samples = [entropy(sample) for sample in probs]
    means = [sum(values) / len(values) for values in zip(*of_samples, strict=True)]
    return [all_of - mean for all_of, mean in zip(entropy(probs.mean(0)), means, strict=True)]


def joint_information(probs: Tensor, batch: list[int]) -> float:
    """I(y_1, …, y_b; ω) of some rows of probabilities (S, N, K), over all their labels."""
    num_samples, _, num_classes = probs.shape
    p = probs.tolist()
    joint_entropy = 0.0
    for labels in product(range(num_classes), repeat=len(batch)):
        pairs = list(zip(batch, labels, strict=True))
        joint = sum(math.prod(sample[row][label] for row, label in pairs) for sample in p)
        joint /= num_samples
        joint_entropy -= joint * math.log(joint) if joint > 0 else 0
    return joint_entropy - sum(sum(entropy(probs[:, row])) / num_samples for row in batch)


def batch_bald(probs: Tensor, num: int) -> dict[int, float]:
    """Each row with what it adds, from probabilities (S, N, K); fewer if nothing adds more."""
    chosen: dict[int, float] = {}
    while len(chosen) < num:
        so_far = joint_information(probs, list(chosen))
        gains = {
            row: joint_information(probs, [*chosen, row]) - so_far
            for row in range(probs.shape[1])
            if row not in chosen
        }
        most = max(gains.values())
        if most <= TIE:
            break
        best = min(row for row, gain in gains.items() if gain >= most - TIE)
        chosen[best] = gains[best]
    return chosen


def posterior_probs(query: Any, num_samples: int) -> Tensor:
    """Class probabilities of the pool, each row with its own posterior, (S, N, K)."""
    seed = int(torch.randint(2**63 - 1, (), generator=query.generator))
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(num_samples, 1, query.num_classes, generator=draws).double()
    deviations = logit_deviations(
        query.pool_embeddings,
        query.labeled_embeddings,
        query.labeled_probs,
        query.head.prior_precision,
    )
    logits = [
        query.pool_logits.double() + torch.tensor(deviations)[:, None] * sample for sample in noise
    ]
    return torch.stack(logits).softmax(-1)


def _batch_bald(query: Any) -> list[int]:
    probs = query.map_pool_samples(lambda probs: probs.movedim(0, 1), 100, joint=True)
    return list(batch_bald(probs.movedim(1, 0).double(), query.num))


selections: dict[str, Callable[[Any], list[int]]] = {
    "bald": lambda q: lowest(-torch.tensor(mutual_information(posterior_probs(q, 20))), q.num),
    "batch_bald": _batch_bald,
}
