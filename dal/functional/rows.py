"""Rows of a matrix that are read in parts, whether they are in memory or not."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Rows(Protocol):
    """A matrix of which some rows are read at a time. Any tensor of two dimensions is one.

    Reading rows that are not in memory makes a copy of them, in the type and on the device that
    :attr:`dtype` and :attr:`device` say. So what is read should be a chunk of consecutive rows, or
    few, and is not to be written to.
    """

    @property
    def shape(self) -> torch.Size:
        """``(N, D)``."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of what is read."""

    @property
    def device(self) -> torch.device:
        """Where that is."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        """Some of the rows, ``(M, D)``.

        Args:
            rows: A slice without step, or their numbers, ``(M,)``, int64.
        """


def size_on(device: torch.device, sizes: Mapping[str, int]) -> int:
    """What is read or computed at a time on a device.

    Args:
        device: The device.
        sizes: By type of device; what has none takes that of ``"cpu"``.

    Example:
        >>> [size_on(torch.device(name), {"cpu": 1, "cuda": 8}) for name in ("cuda", "mps")]
        [8, 1]
    """
    return sizes.get(device.type, sizes["cpu"])
