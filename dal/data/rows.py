"""A view of some rows of a feature matrix, read in chunks when they are needed."""

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK_ROWS = 1 << 14  # 25 MiB of float32 at D = 384


class FeatureRows:
    """A view of the rows ``indices`` of ``features``: float32, on one device, read in chunks.

    Args:
        features: ``(N, D)``, floating point; may be a memory map.
        indices: The rows shown, ``(M,)``, int64; all rows, in order, if not given.
        device: Where the rows are computed with.
        scale: What the features are multiplied by.
    """

    def __init__(
        self,
        features: Tensor,
        indices: Tensor | None = None,
        device: torch.device | str = "cpu",
        scale: float = 1.0,
    ) -> None:
        self.features = features
        self.indices = torch.arange(len(features)) if indices is None else indices
        self.device = torch.device(device)
        self.scale = scale

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def num_features(self) -> int:
        """D, the length of a row."""
        return self.features.shape[1]

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Tensor]:
        """The rows in order, ``size`` at a time: ``(<= size, D)``, float32."""
        for indices in self.indices.split(size):
            rows = self.features[indices].to(self.device, torch.float32)
            yield rows if self.scale == 1 else rows * self.scale

    def take(self, rows: Tensor) -> "FeatureRows":
        """A view of some of these rows.

        Args:
            rows: Which, ``(R,)``, int64, on the CPU.
        """
        return FeatureRows(self.features, self.indices[rows], self.device, self.scale)

    def mean_norm(self) -> float:
        """Mean Euclidean norm of the rows, at least one, which are read once in chunks."""
        total = 0.0
        for chunk in self.chunks():
            # float64: squares of large features overflow float32.
            total += float(torch.linalg.vector_norm(chunk, dim=1, dtype=torch.float64).sum())
        return total / len(self)

    def load(self) -> Tensor:
        """All rows at once, ``(M, D)``, float32.

        Memory: 4·M·D bytes and one chunk.
        """
        rows = torch.empty(len(self), self.num_features, device=self.device)
        start = 0
        for chunk in self.chunks():
            rows[start : start + len(chunk)] = chunk
            start += len(chunk)
        return rows
