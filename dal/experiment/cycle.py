"""One cycle of active learning: fit a head, select with it, evaluate it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelSummary, ProgressBar
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from dal import randomness
from dal.data import ALDataModule
from dal.data.batches import EpochBatches
from dal.errors import ConfigError, DataError
from dal.functional import sharding
from dal.runtime import devices, trainers
from dal.runtime.processes import SkipGradientSync
from dal.strategies import Query, Selection, Strategy


class SelectAfterFit(L.Callback):
    """Calls a strategy with the unlabeled rows and the fitted head at the end of a fit.

    It acts in ``on_train_end``, where the head is still on the trainer's device; one hook later
    Lightning has moved it to the CPU.

    Args:
        strategy: What selects.
        datamodule: What the head is fitted to.
        num: How many positions to select.
        generator: The strategy's randomness.
        refit: Fits a new head to some labeled rows, given by their positions.

    Attributes:
        selection: What was selected; None before the end of the fit.
        seconds: Wall time of the selection, reading the features included.
    """

    def __init__(
        self,
        strategy: Strategy,
        datamodule: ALDataModule,
        num: int,
        generator: torch.Generator,
        refit: Callable[[Tensor], L.LightningModule] | None = None,
    ) -> None:
        self.strategy = strategy
        self.datamodule = datamodule
        self.num = num
        self.generator = generator
        self.refit = refit
        self.selection: Selection | None = None
        self.seconds = 0.0

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Selects."""
        device = trainer.strategy.root_device
        pool = self.datamodule.pool
        started = devices.synchronized_time(device)
        query = Query(
            pool=pool.unlabeled_rows(device),
            labeled=pool.labeled_rows(device),
            labels=pool.labels.to(device),
            head=pl_module,
            num=self.num,
            generator=self.generator,
            refit=self.refit,
            shares=sharding.ALONE if trainer.world_size == 1 else sharding.ProcessShares(device),
        )
        is_training = pl_module.training
        pl_module.eval()
        self.selection = self.strategy(query)
        pl_module.train(is_training)
        self.seconds = devices.synchronized_time(device) - started


@dataclass(frozen=True)
class Outcome:
    """What came of a cycle.

    Attributes:
        head: The fitted head.
        metrics: What the head's ``test_step`` logged; empty if it was not evaluated.
        selection: What was selected, if anything.
        fit_seconds: Wall time of the fit, without the selection.
        query_seconds: Wall time of the selection; None without one.
        peak_memory_mib: The most memory up to then: of the device if it is a GPU, else of the
            process.
    """

    head: L.LightningModule
    metrics: dict[str, float]
    selection: Selection | None
    fit_seconds: float
    query_seconds: float | None
    peak_memory_mib: float


@dataclass(frozen=True)
class Cycle:
    """How every cycle of a run is done.

    Attributes:
        datamodule: The pool, of which some rows are labeled.
        head: Makes the head, called as ``head(num_features=D, num_classes=K)``.
        strategy: What selects.
        seed: Of every random number; each cycle and purpose has a stream of its own.
        trainer: Makes the trainer, called as ``trainer(callbacks=[...])``.
        callbacks: Further callbacks of the trainer; they come before the selection.
    """

    datamodule: ALDataModule
    head: Callable[..., L.LightningModule]
    strategy: Strategy
    seed: int
    trainer: Callable[..., L.Trainer] = trainers.DEFAULT_TRAINER
    callbacks: Sequence[L.Callback] = ()

    def run(self, number: int, num: int, eval_split: str | None = "test") -> Outcome:
        """Fits a new head to the labeled rows, selects, and evaluates; labels nothing.

        Args:
            number: Of the cycle, from 0: it names the streams of random numbers.
            num: How many rows to select; 0 for none.
            eval_split: ``"test"`` or ``"dev"``; None leaves the evaluation out.

        Raises:
            DataError: If the head diverges.
            ConfigError: If head, trainer or strategy refuse their arguments.
        """
        select = None
        if num:
            generator = randomness.stream(self.seed, number, "selection")
            refit = partial(self._refit, number)
            select = SelectAfterFit(self.strategy, self.datamodule, num, generator, refit)
        self.datamodule.batch_generator = randomness.stream(self.seed, number, "batches")
        metrics: dict[str, float] = {}
        with trainers.quiet_lightning(), randomness.seeded_globally(self.seed, number, "head"):
            head = self.head(
                num_features=self.datamodule.num_features, num_classes=self.datamodule.num_classes
            )
            callbacks = [SkipGradientSync(), *self.callbacks, *([select] if select else [])]
            trainer = trainers.build(self.trainer, callbacks=callbacks)
            trainers.check_fit_ends(trainer)
            device = trainer.strategy.root_device
            devices.reset_gpu_peak(device)
            with trainers.interruptible():
                started = time.perf_counter()
                trainer.fit(head, datamodule=self.datamodule)
                fit_seconds = time.perf_counter() - started
                if eval_split is not None:
                    metrics = self._evaluate(trainer, head, eval_split)
        if select and select.selection is None:
            raise ConfigError(
                "Expected a fit that ends with a selection, got one that ended before it began. "
                "Let it do at least one step."
            )
        return Outcome(
            head=head,
            metrics=metrics,
            selection=select.selection if select else None,
            fit_seconds=fit_seconds - (select.seconds if select else 0.0),
            query_seconds=select.seconds if select else None,
            peak_memory_mib=devices.peak_bytes(device) / 2**20,
        )

    def _refit(self, number: int, positions: Tensor) -> L.LightningModule:
        """A new head, fitted to the labeled rows at some positions; nothing else notices the fit.

        It may be called in the hook of another trainer: this one is new, and follows nothing.
        """
        batches = randomness.stream(self.seed, number, "batches of a refit")
        with (
            trainers.quiet_lightning(),
            randomness.seeded_globally(self.seed, number, "head of a refit"),
            torch.enable_grad(),  # a strategy selects without
        ):
            head = self.head(
                num_features=self.datamodule.num_features, num_classes=self.datamodule.num_classes
            )
            trainer = trainers.build(self.trainer, callbacks=[SkipGradientSync()])
            trainer.loggers = []
            followers = (Checkpoint, ModelSummary, ProgressBar)
            trainer.callbacks = [  # type: ignore[attr-defined]
                callback
                for callback in trainer.callbacks  # type: ignore[attr-defined]
                if not isinstance(callback, followers)
            ]
            device = trainer.strategy.root_device
            pool = self.datamodule.pool
            epochs = EpochBatches(
                pool.labeled_rows(device).take(positions).load(),
                pool.labels[positions].to(device),
                self.datamodule.batch_size,
                batches,
            )
            trainer.fit(head, train_dataloaders=epochs)
        return head.eval().to(device)

    def _evaluate(
        self, trainer: L.Trainer, head: L.LightningModule, split: str
    ) -> dict[str, float]:
        dataloader = self.datamodule.eval_dataloader(split)
        (logged,) = trainer.test(head, dataloaders=dataloader, verbose=False)
        # Rounded here and not on writing: a resumed run must hold what an uninterrupted one holds.
        metrics = {name: float(f"{value:.7g}") for name, value in logged.items()}
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise DataError(
                f"Expected finite metrics, got {', '.join(f'{n} = {metrics[n]}' for n in bad)}: "
                "the head has diverged. Lower its learning rate (head.optimizer.lr) or scale the "
                "features down."
            )
        if "accuracy" not in metrics:
            raise ConfigError(
                f"Expected the head to log `accuracy` in its test step, got {sorted(metrics)}."
            )
        return metrics


def check_optimizer(head: Callable[..., L.LightningModule]) -> None:
    """Checks that the optimizer of a head can be made and can learn, before any data are read.

    A head that cannot be made for other data than its own, or whose optimizer depends on its
    trainer, is left to the first fit.

    Args:
        head: Makes the head, called as ``head(num_features=D, num_classes=K)``.

    Raises:
        ConfigError: If the optimizer or its schedule refuses its arguments, a number of it is not
            finite, or every learning rate is 0.
    """
    with randomness.seeded_globally(0, 0, "check"):
        try:
            made = head(num_features=8, num_classes=2)
        except Exception:  # a network may take features of one size only
            return
        try:
            parts = list(_flat(made.configure_optimizers()))
        except ConfigError:
            raise
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The optimizer of the head cannot be made: {error}") from error
        except Exception:  # what a trainer, which is not there, would know
            return
    optimizers = [part for part in parts if isinstance(part, Optimizer)]
    for optimizer in optimizers:
        # A schedule that warms up begins at 0, but not from it.
        groups = [
            {**group, "lr": group.get("initial_lr", group.get("lr", 1.0))}
            for group in optimizer.param_groups
        ]
        name = type(optimizer).__name__
        for key, value in ((key, group[key]) for group in groups for key in group):
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(
                    f"Expected a finite number for `{key}` of the head's {name}, got {value}."
                )
        if all(group["lr"] == 0 for group in groups):
            raise ConfigError(
                f"Expected a learning rate (`lr`) above 0 of the head's {name}, got 0: the head "
                "would learn nothing."
            )
        optimizer.step()  # changes nothing, as there are no gradients; a schedule expects it
    for part in parts:
        if isinstance(part, LRScheduler) and not isinstance(part, ReduceLROnPlateau):
            try:
                for _ in range(2):
                    part.step()
            except (ArithmeticError, TypeError, ValueError) as error:
                name = type(part).__name__
                raise ConfigError(
                    f"The schedule {name} of the head cannot step: {error}"
                ) from error


def _flat(configured: Any) -> Iterator[Any]:
    """The parts of what ``configure_optimizers`` returns, in any form that Lightning takes."""
    if isinstance(configured, Mapping):
        configured = list(configured.values())
    if isinstance(configured, list | tuple):
        for part in configured:
            yield from _flat(part)
    else:
        yield configured
