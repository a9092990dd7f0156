"""What fits and their posterior are made from."""

import math

import torch
from torch import Tensor


def epoch_rows(num_rows: int, batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """The rows of each batch of an epoch, all full, from one permutation after the other."""
    num_batches = -(-num_rows // batch_size)
    rows: list[int] = []
    while len(rows) < num_batches * batch_size:
        rows += torch.randperm(num_rows, generator=generator).tolist()
    return [rows[b * batch_size : (b + 1) * batch_size] for b in range(num_batches)]


def logit_deviations(
    embeddings: Tensor, labeled_embeddings: Tensor, labeled_probs: Tensor, prior_precision: float
) -> list[float]:
    precision = prior_precision * torch.eye(embeddings.shape[1], dtype=torch.float64)
    for z, probs in zip(labeled_embeddings.double(), labeled_probs.double(), strict=True):
        precision += probs.max() * (1 - probs.max()) * torch.outer(z, z)
    covariance = torch.linalg.inv(precision)
    return [math.sqrt(float(z @ covariance @ z)) for z in embeddings.double()]
