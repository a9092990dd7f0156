"""Independent streams of random numbers, each named by its purpose.

There is no global generator in this package. A stream depends on nothing but its name, so a
resumed run needs no saved state, strategies that share a seed share their initial pool, and a
new consumer disturbs no other.

References:
    https://numpy.org/doc/stable/reference/random/parallel.html, on ``SeedSequence``.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from dal.errors import ConfigError


def derived_seed(seed: int, cycle: int, purpose: str) -> int:
    """A 64-bit seed that any change of ``seed``, ``cycle`` or ``purpose`` makes independent.

    Raises:
        ConfigError: If ``seed`` is negative.
    """
    if seed < 0:
        raise ConfigError(f"Expected `seed` of at least 0, got {seed}.")
    # crc32 and not hash(): the latter differs from one process to the next.
    spawn_key = (cycle, zlib.crc32(purpose.encode()))
    return int(np.random.SeedSequence(seed, spawn_key=spawn_key).generate_state(1, np.uint64)[0])


def stream(seed: int, cycle: int, purpose: str) -> torch.Generator:
    """A generator for one purpose in one cycle of a run.

    It lives on the CPU: a run draws the same numbers whatever device it computes on.

    Args:
        seed: The run's seed, at least 0.
        cycle: The acquisition cycle, from 0.
        purpose: For example ``"initial pool"``.
    """
    return torch.Generator().manual_seed(derived_seed(seed, cycle, purpose))


@contextmanager
def seeded_globally(seed: int, cycle: int, purpose: str) -> Iterator[None]:
    """Seeds torch's own generators inside the block and restores them after it.

    For modules that use no other: ``nn.Linear`` draws its first weights there, dropout its masks.
    """
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(derived_seed(seed, cycle, purpose))
        yield
