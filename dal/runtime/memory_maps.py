"""Memory maps of arrays, whose pages do not stay in the memory of the process.

A page that was read counts as memory of the process until the kernel takes it back, which it does
only in need. A pool on disk that is read again and again would seem to be in memory as a whole, and
be counted so by a limit (a SLURM job's, a container's). So pages are given back once they have been
used. They stay in the kernel's cache as long as there is room.
"""

import mmap
import weakref
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

# Reading a page also maps what is beside it in the cache, a few MiB at most.
NEIGHBORHOOD = 1 << 24
CAN_ADVISE = hasattr(mmap.mmap, "madvise")  # not on Windows

# By the address of the first entry. An entry is removed with its array, so no other can have it.
_MAPS: dict[int, tuple[mmap.mmap, int]] = {}


def tensor(array: np.ndarray) -> Tensor:
    """The same entries as a tensor; those of a memory map are still in the file alone.

    Args:
        array: Not written to as long as the tensor is in use, if it is a memory map.

    Raises:
        TypeError: If torch has no such type.
    """
    shared = torch.from_numpy(array)
    opened = getattr(array, "_mmap", None)
    if CAN_ADVISE and isinstance(array, np.memmap) and isinstance(opened, mmap.mmap):
        address = array.ctypes.data
        # A map begins at a multiple of this, and the entries behind the header of the file.
        _MAPS[address] = opened, array.offset % mmap.ALLOCATIONGRANULARITY
        weakref.finalize(array, _MAPS.pop, address, None)
    return shared


def is_mapped(rows: Tensor) -> bool:
    """Whether entries are those of a memory map, made by :func:`tensor`."""
    return rows.device.type == "cpu" and rows.untyped_storage().data_ptr() in _MAPS


def prefetch(rows: Tensor) -> None:
    """Has consecutive rows read from the disk while something else is done.

    Args:
        rows: A slice of a tensor along its first dimension; nothing is done if it is in memory.
    """
    if CAN_ADVISE:
        _advise(rows, mmap.MADV_WILLNEED)


def release(rows: Tensor) -> None:
    """Gives the pages of consecutive rows back; they are read again when they are needed.

    Args:
        rows: A slice of a tensor along its first dimension; nothing is done if it is in memory.
    """
    if CAN_ADVISE:
        _advise(rows, mmap.MADV_DONTNEED, NEIGHBORHOOD)


def chunks(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Consecutive rows, ``size`` at a time, of which a memory map holds one part at a time.

    What is yielded must not be used after the next step.
    """
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        prefetch(rows[start + size : start + 2 * size])
        yield part
        release(part)


def _advise(rows: Tensor, advice: int, around: int = 0) -> None:
    """Tells the kernel what to do with the pages of some rows, and of some bytes around them."""
    if len(rows) == 0 or not is_mapped(rows) or not rows.is_contiguous():
        return
    address = rows.untyped_storage().data_ptr()
    opened, header = _MAPS[address]
    first = header + rows.data_ptr() - address
    start = max(first - around, 0) // mmap.PAGESIZE * mmap.PAGESIZE
    end = min(first + rows.nbytes + around, len(opened))
    opened.madvise(advice, start, end - start)
