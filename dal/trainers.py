"""Lightning's trainer as it is used here: often, briefly and in silence."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import lightning as L

# A trainer lives for one cycle and shows nothing: each of these would take longer than a fit that
# lasts a fraction of a second. Checkpoints are not needed, since a killed run repeats its cycle.
DEFAULT_TRAINER: Callable[..., L.Trainer] = partial(
    L.Trainer,
    max_epochs=200,
    accelerator="auto",
    devices=1,
    strategy="auto",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    num_sanity_val_steps=0,
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keeps every trainer from announcing the same devices, tips and epochs again."""
    logs = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning 2.6 calls a function that torch 2.13 renames; a user can do nothing about it.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        # True of every machine of a cluster, and no fault: only a job of several tasks needs it.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        try:
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)
