"""A view of some rows of a feature matrix, read in chunks when they are needed."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dal.data.listener import PoolListener
from dal.errors import ConfigError
from dal.functional.rows import Rows
from dal.runtime import devices, memory_maps

CHUNK_ROWS = 1 << 14  # 25 MiB of float32 at D = 384
FEW_ROWS = 1 << 7  # whose pages are given back one by one, and not all between them
GATHERED_ROWS = 1 << 11  # of a memory map, each with the 64 KiB around it that are mapped too
KEPT_SHARE = 0.5  # of the memory that is available, for features that are kept there


class FeatureRows:
    """A view of the rows ``indices`` of ``features``: float32, on one device, read in chunks.

    Args:
        features: ``(N, D)``, floating point; may be a memory map.
        indices: The rows shown, ``(M,)``, int64; all rows, in order, if not given.
        device: Where the rows are computed with.
        scale: What the features are multiplied by.
        in_memory: Whether a copy of all rows may be kept in memory, for who reads them several
            times: see :meth:`are_kept`.
        listener: Is told how far the rows have been read.
    """

    def __init__(
        self,
        features: Tensor,
        indices: Tensor | None = None,
        device: torch.device | str = "cpu",
        scale: float = 1.0,
        in_memory: str | bool = "auto",
        listener: PoolListener | None = None,
    ) -> None:
        self.features = features
        self.indices = torch.arange(len(features)) if indices is None else indices
        self.device = torch.device(device)
        self.scale = scale
        self.in_memory = in_memory
        self.listener = listener

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def num_features(self) -> int:
        """D, the length of a row."""
        return self.features.shape[1]

    @property
    def shape(self) -> torch.Size:
        """``(M, D)``."""
        return torch.Size([len(self), self.num_features])

    @property
    def dtype(self) -> torch.dtype:
        """Type of what is read."""
        return torch.float32

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Some of these rows, ``(R, D)``, float32: a copy, which the next call does not change.

        Args:
            rows: A slice without step, or their numbers, ``(R,)``, int64.
        """
        if isinstance(rows, Tensor):
            return self._read(self.indices[rows.cpu()])
        indices = self.indices[rows]
        found = self._read(indices)
        if len(indices):
            last = int(indices[-1])
            memory_maps.prefetch(self.features[last + 1 : last + 1 + len(indices)])
        if self.listener is not None:
            self.listener.read(rows.indices(len(self))[1], len(self))
        return found

    def _read(self, indices: Tensor) -> Tensor:
        if len(indices) == 0:
            return torch.empty(0, self.num_features, device=self.device)
        first, last = int(indices.min()), int(indices.max())
        source = self.features[first : last + 1]
        if len(source) == len(indices) and bool((indices.diff() == 1).all()):
            found = source.to(self.device, torch.float32, copy=True)
            memory_maps.release(source)
        elif memory_maps.is_mapped(self.features):
            found = self._gather(indices)
        else:
            found = self.features[indices].to(self.device, torch.float32)
        return found if self.scale == 1 else found.mul_(self.scale)

    def _gather(self, indices: Tensor) -> Tensor:
        """Rows of a memory map, of which each brings some pages with it: a few rows at a time."""
        found = torch.empty(len(indices), self.num_features, device=self.device)
        for rows, part in zip(
            found.split(GATHERED_ROWS), indices.split(GATHERED_ROWS), strict=True
        ):
            rows.copy_(self.features[part])
            if len(part) <= FEW_ROWS:
                for index in part.tolist():
                    memory_maps.release(self.features[index : index + 1])
            else:
                memory_maps.release(self.features[int(part.min()) : int(part.max()) + 1])
        return found

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Tensor]:
        """The rows in order, ``size`` at a time: ``(<= size, D)``, float32."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def take(self, rows: Tensor) -> "FeatureRows":
        """A view of some of these rows.

        Args:
            rows: Which, ``(R,)``, int64, on the CPU.
        """
        return FeatureRows(
            self.features, self.indices[rows], self.device, self.scale, self.in_memory
        )

    def are_kept(self, num_columns: int | None = None) -> bool:
        """Whether who reads the rows several times should keep a copy of all of them in memory.

        With ``in_memory="auto"`` that is so if the copy takes at most half of the memory that is
        available on the device: the other half is for what is computed. What is computed with the
        rows does not depend on it.

        Args:
            num_columns: Of what would be kept, float32; D if not given.
        """
        if isinstance(self.in_memory, bool):
            return self.in_memory
        return self.num_bytes(num_columns) <= KEPT_SHARE * devices.available_bytes(self.device)

    def num_bytes(self, num_columns: int | None = None) -> int:
        """Bytes of a float32 matrix with a row for each of these, and D columns if not given."""
        return 4 * len(self) * (self.num_features if num_columns is None else num_columns)

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


class MappedRows:
    """Rows of which a function is computed whenever they are read.

    Args:
        rows: Read first.
        function: Maps ``(M, D)`` to ``(M, E)``, row by row.
        num_columns: E; D if not given.
        dtype: Of what the function returns; that of the rows if not given.
    """

    def __init__(
        self,
        rows: Rows,
        function: Callable[[Tensor], Tensor],
        num_columns: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.rows = rows
        self.function = function
        self.shape = torch.Size([len(rows), num_columns or rows.shape[1]])
        self.dtype = rows.dtype if dtype is None else dtype
        self.device = rows.device

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """``function`` of some rows, ``(R, E)``."""
        return self.function(self.rows[rows])


def rows_of_type(rows: Rows, dtype: torch.dtype) -> Rows:
    """The same rows in another type."""
    if isinstance(rows, Tensor):
        return rows.to(dtype)
    return (
        rows if rows.dtype == dtype else MappedRows(rows, lambda part: part.to(dtype), dtype=dtype)
    )


def check_in_memory(in_memory: str | bool) -> None:
    """Checks an argument ``in_memory``.

    Raises:
        ConfigError: If it is neither ``"auto"`` nor true or false.
    """
    if in_memory != "auto" and not isinstance(in_memory, bool):
        raise ConfigError(f"Expected `in_memory` to be 'auto', true or false, got {in_memory!r}.")
