"""Runs small CPU operations on one thread."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiply-adds up to which one thread is faster than several. Measured on the steps of a linear
# layer with sleeping OpenMP threads: three times as fast at 128 × 384 × 100, equal at
# 128 × 384 × 1000. Waking a thread takes at least 50 microseconds, and far longer while another
# process has the core.
SERIAL_WORK = 128 * 384 * 500


@contextmanager
def for_work(multiply_adds: int, device: torch.device) -> Iterator[None]:
    """Keeps operations inside the block to one thread if they are small and run on the CPU.

    Args:
        multiply_adds: Of each operation in the block.
        device: Where they run.
    """
    if device.type != "cpu" or multiply_adds > SERIAL_WORK:
        yield
        return
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
