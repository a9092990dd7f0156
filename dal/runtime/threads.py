"""How many CPU threads a small operation should use: one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiply-adds up to which one thread beats several, measured on the steps of a linear layer: with
# sleeping OpenMP threads three times at 128 × 384 × 100, and level at 128 × 384 × 1000. Waking
# them takes 50 microseconds and more, and as long as it likes while another process has the core.
SERIAL_WORK = 128 * 384 * 500


@contextmanager
def for_work(multiply_adds: int, device: torch.device) -> Iterator[None]:
    """Keeps operations inside the block to one thread if they are small and run on the CPU.

    Args:
        multiply_adds: What the operations of the block amount to, each.
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
