"""Trainers for many short, silent fits."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial, wraps
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.plugins import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim import Optimizer

from dal.errors import ConfigError

# What Lightning raises for arguments that it cannot serve.
BUILD_ERRORS = (
    *(AssertionError, ImportError, MisconfigurationException),
    *(RuntimeError, TypeError, ValueError),
)

# What Lightning calls around a gradient step of a module that optimizes by itself.
STEP_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
NO_ACTION: AbstractContextManager[None] = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiles nothing, in less time: Lightning profiles some twenty actions in an epoch."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # noqa: ARG002
        """A context that does nothing, the same for all actions."""
        return NO_ACTION


class KeepSignalHandlers(L.Callback):
    """Keeps the handler of SIGTERM that there was before the trainer.

    Lightning's handler broadcasts to the other processes, amid whatever they are exchanging.
    """

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def _restore(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)

    on_train_start = on_test_start = on_predict_start = _restore


@wraps(L.Trainer, assigned=(), updated=())  # for its signature, against which keys are checked
def new_trainer(**arguments: Any) -> L.Trainer:
    """A Lightning trainer that leaves signals, and the jobs of a SLURM cluster, alone.

    Args:
        arguments: Any of :class:`lightning.Trainer`'s.
    """
    if not arguments.get("enable_checkpointing") and not arguments.get("logger"):
        # Nothing is written; and under SLURM Lightning would load any hpc_ckpt_*.ckpt found there.
        arguments.setdefault("default_root_dir", os.devnull)
    if not arguments.get("barebones"):  # with which Lightning refuses any profiler
        arguments.setdefault("profiler", NoProfiler())
    plugins, callbacks = (_as_list(arguments.pop(key, None)) for key in ("plugins", "callbacks"))
    with quiet_lightning():
        chosen = any(isinstance(plugin, ClusterEnvironment) for plugin in plugins)
        if not chosen and not TorchElasticEnvironment.detect() and SLURMEnvironment.detect():
            # With one task, a process for each device is Lightning's to start, not srun's.
            alone = os.environ["SLURM_NTASKS"] == "1"
            plugins.append(
                LightningEnvironment() if alone else SLURMEnvironment(auto_requeue=False)
            )
        return L.Trainer(**arguments, plugins=plugins, callbacks=[*callbacks, KeepSignalHandlers()])


def build(make: Callable[..., L.Trainer], **arguments: Any) -> L.Trainer:
    """A trainer, or an error that says why it cannot be made.

    Args:
        make: Makes it, for example :data:`DEFAULT_TRAINER`.
        arguments: What ``make`` is called with.

    Raises:
        ConfigError: If Lightning refuses its arguments, or what the cluster has set.
    """
    try:
        with quiet_lightning():
            return make(**arguments)
    except BUILD_ERRORS as error:
        raise ConfigError(f"The trainer cannot be made: {error}") from error


def check_fit_ends(trainer: L.Trainer) -> None:
    """Checks that a fit with this trainer begins, and that it ends by itself.

    Raises:
        ConfigError: If it has no epoch or step to do, or no number of them.
    """
    for name, value in (("max_epochs", trainer.max_epochs), ("max_steps", trainer.max_steps)):
        if value == 0 or not isinstance(value, int | None):
            raise ConfigError(f"Expected trainer.{name} of at least 1, got {value!r}.")
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    is_timed = any(isinstance(callback, Timer) for callback in callbacks)
    if trainer.max_epochs == -1 and trainer.max_steps == -1 and not is_timed:
        raise ConfigError(
            "Expected a fit that ends, got trainer.max_epochs=-1, which means no end. Give a "
            "number of at least 1, or trainer.max_steps."
        )


def are_steps_plain(trainer: L.Trainer, module: L.LightningModule) -> bool:
    """Whether Lightning would add nothing to a gradient step on one device but the time it takes.

    That is so if nobody has overridden a hook around it, no profiler measures it, nothing is
    rounded or scaled for another precision, and the optimizers clear gradients as all do.

    Args:
        trainer: Fits the module.
        module: Makes its gradient steps itself, with ``manual_backward``.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    is_hooked = any(is_overridden(hook, one) for hook in STEP_HOOKS for one in (module, *callbacks))
    return (
        not is_hooked
        and not any(is_overridden(name, module) for name in ("backward", "manual_backward"))
        and type(trainer.precision_plugin) is Precision
        and type(trainer.strategy) is SingleDeviceStrategy
        and isinstance(trainer.profiler, PassThroughProfiler)  # type: ignore[attr-defined]
        and all(type(one).zero_grad is Optimizer.zero_grad for one in trainer.optimizers)
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C be a KeyboardInterrupt while a trainer is at work.

    Lightning turns it into an exit and ignores the next; a caller should see what it was, and be
    able to stop.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from error
        raise


def _as_list(argument: Any) -> list[Any]:
    if argument is None:
        return []
    return [*argument] if isinstance(argument, list | tuple) else [argument]


# A trainer is used for one cycle and shows nothing: each of these would take longer than a fit,
# which takes a fraction of a second. A killed run repeats its cycle and needs no checkpoint.
DEFAULT_TRAINER: Callable[..., L.Trainer] = partial(
    new_trainer,
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
    """Keeps trainers from printing the same devices, tips and epochs again and again."""
    logs = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning 2.6 calls a function that torch 2.13 renames; a user can do nothing about it.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        # True on every machine of a cluster and no fault: only a job of several tasks needs srun.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # Said of every fit of a run that was told to leave the GPU alone.
        warnings.filterwarnings("ignore", message="GPU available but not used")
        try:
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)
