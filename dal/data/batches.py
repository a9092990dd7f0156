"""Batches over tensors in memory.

Each is a class with a length, since Lightning takes a plain list for a list of loaders.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from dal.runtime import memory_maps, threads


class EpochBatches:
    """One item for each epoch: all its batches, every one of them full.

    An epoch has ceil(N / batch_size) batches, drawn without replacement; the last one is filled
    from further permutations of the N rows. Without that, 130 rows make a second batch of 2 rows,
    whose gradient at a high learning rate spoils the head (on CIFAR-10 features it lost 7 points
    of accuracy right after 128 labels).

    Args:
        features: ``(N, D)`` with N >= 1.
        labels: ``(N,)``.
        batch_size: Rows in a batch.
        generator: Of the permutations, which are drawn again for every epoch; on the CPU.

    Yields:
        Features ``(S, batch_size, D)`` and labels ``(S, batch_size)`` of the S batches.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, batch_size: int, generator: torch.Generator
    ) -> None:
        self.features = features
        self.labels = labels
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        num_rows = len(self.labels)
        num_batches = math.ceil(num_rows / self.batch_size)
        num_drawn = num_batches * self.batch_size
        permutations = [
            torch.randperm(num_rows, generator=self.generator)
            for _ in range(math.ceil(num_drawn / num_rows))
        ]
        rows = torch.cat(permutations)[:num_drawn].view(num_batches, self.batch_size)
        rows = rows.to(self.labels.device)
        with threads.for_work(rows.numel() * self.features.shape[1], rows.device):
            epoch = self.features[rows], self.labels[rows]
        yield epoch


class Chunks:
    """All rows once and in order, ``size`` at a time, features in float32.

    Args:
        features: ``(N, D)``; may be a memory map, of which one chunk at a time is read.
        labels: ``(N,)``.
        size: Rows in a chunk.
        scale: What the features are multiplied by.
    """

    def __init__(self, features: Tensor, labels: Tensor, size: int, scale: float = 1.0) -> None:
        self.features = features
        self.labels = labels
        self.size = size
        self.scale = scale

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.labels), self.size):
            rows = slice(start, start + self.size)
            part = self.features[rows]
            features = part.float()
            yield features if self.scale == 1 else features * self.scale, self.labels[rows]
            memory_maps.release(part)
