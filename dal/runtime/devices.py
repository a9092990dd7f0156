"""How much memory there is, and how much was taken."""

import os
import resource
import sys
from pathlib import Path

import torch


def available_bytes(device: torch.device) -> int:
    """Bytes that this process can still allocate on a device.

    On a GPU, what is free and what torch's cache holds unused. On the CPU, what the kernel deems
    available, within the control group's limit if there is one (a SLURM job's, a container's).

    Args:
        device: The device.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    return min(_system_bytes(), _group_bytes())


def peak_bytes() -> int:
    """The most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage starts from the peak of the process that started this one
        return _kibibytes(status, "VmHWM")
    # Bytes on macOS, kibibytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _system_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        return _kibibytes(meminfo, "MemAvailable")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # macOS: all there is


def _kibibytes(file: Path, field: str) -> int:
    """A field of a file in /proc, in bytes."""
    fields = dict(line.split(":", 1) for line in file.read_text().splitlines())
    return int(fields[field].split()[0]) * 2**10


def _group_bytes() -> int:
    try:
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].split("::")[1]
        folder = Path(f"/sys/fs/cgroup{group}")
        limit = int((folder / "memory.max").read_text())
        return limit - int((folder / "memory.current").read_text())
    except (OSError, ValueError, IndexError):  # no such group, or "max": no limit
        return 2**63 - 1


def shown(num_bytes: float) -> str:
    """A number of bytes for people.

    Example:
        >>> shown(3 * 2**30)
        '3.0 GiB'
    """
    return f"{num_bytes / 2**30:.1f} GiB"
