"""Questions about a device: its name, the time there, its memory."""

import os
import platform
import resource
import sys
import time
from pathlib import Path

import torch


def name(device: torch.device) -> str:
    """What to call a device where a measurement is recorded."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.machine()}, {torch.get_num_threads()} threads"


def synchronized_time(device: torch.device) -> float:
    """Seconds of a monotonic clock, once the device has done all that it was given."""
    if device.type == "cuda":  # its kernels run on after the call that started them
        torch.cuda.synchronize(device)
    return time.perf_counter()


def available_bytes(device: torch.device) -> int:
    """Bytes that this process can still allocate on a device.

    On a GPU, what is free and what torch's cache holds unused. On the CPU, what the kernel deems
    available, within the control group's limit if there is one (a SLURM job's, a container's).
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    return min(_system_bytes(), _group_bytes())


def peak_bytes(device: torch.device) -> int:
    """The most memory held so far, in bytes: of the device if it is a GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage starts from the peak of the process that started this one
        return _kibibytes(status, "VmHWM")
    # Bytes on macOS, kibibytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_gpu_peak(device: torch.device) -> None:
    """Lets the peak of a GPU start from what it holds now; the CPU's belongs to the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def reset_peak(device: torch.device) -> None:
    """Lets the peak start from what is held now, that of the process too where Linux allows it."""
    reset_gpu_peak(device)
    clear_refs = Path("/proc/self/clear_refs")
    if device.type != "cuda" and clear_refs.exists():
        clear_refs.write_text("5")  # proc(5): the peak becomes the present


def shown(num_bytes: float) -> str:
    """A number of bytes for people.

    Example:
        >>> shown(3 * 2**30)
        '3.0 GiB'
    """
    return f"{num_bytes / 2**30:.1f} GiB"


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
