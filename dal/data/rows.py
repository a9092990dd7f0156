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
    """

    def __init__(
        self,
        features: Tensor,
        indices: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.features = features
        self.indices = torch.arange(len(features)) if indices is None else indices
        self.device = torch.device(device)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def num_features(self) -> int:
        """D, the length of a row."""
        return self.features.shape[1]

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Tensor]:
        """The rows in order, ``size`` at a time: ``(<= size, D)``, float32."""
        for indices in self.indices.split(size):
            yield self.features[indices].to(self.device, torch.float32)

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
