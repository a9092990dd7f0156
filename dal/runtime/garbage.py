"""Garbage collection, which leaves alone what is loaded."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def modules_spared() -> Iterator[None]:
    """No collection of garbage looks at the modules that are loaded in the block.

    Lightning and what it needs are a million objects, and all of them stay. To look through them
    again and again would take a sixth of the time of a short run.
    """
    was_enabled, num_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        # Where nothing was loaded, what is there may still become garbage.
        if len(sys.modules) > num_modules:
            gc.freeze()
        if was_enabled:
            gc.enable()
