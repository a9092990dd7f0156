"""The active learning loop: fit, select, evaluate, record, label; repeat."""

import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

import dal
from dal import randomness
from dal.data import INITIAL_DRAWS, ALDataModule
from dal.errors import ConfigError, DataError, RecordError, did_you_mean
from dal.experiment import plot
from dal.experiment.curve import CycleResult, LearningCurve
from dal.experiment.record import RunDirectory
from dal.experiment.tracking import Tracker, Tracking
from dal.runtime import devices, signals, trainers
from dal.runtime.processes import Ranks, Replicated
from dal.runtime.trainers import DEFAULT_TRAINER, quiet_lightning
from dal.strategies import Strategy


class ALLoop:
    """Active learning on frozen features: one run, one learning curve.

    Every cycle fits a new head to the labeled examples with a new trainer, has the strategy select
    at the end of that fit, evaluates the head, and labels what was selected. The last cycle,
    number ``num_acq``, selects nothing.

    Args:
        datamodule: The examples, and which of them are labeled.
        head: Makes the head of a cycle, called as ``head(num_features=D, num_classes=K)``. It logs
            ``accuracy`` as a fraction, and what else it likes, in its test step.
        strategy: What selects.
        num_init: Examples labeled at the start.
        acq_size: Examples selected in a cycle, B.
        num_acq: Number of selections.
        init: How the start is drawn, ``"random"`` or ``"class_balanced"``.
        seed: Of every random number in the run, at least 0.
        eval_split: ``"test"``, or ``"dev"`` for the choice of hyperparameters.
        trainer: Makes the trainer of a cycle, called as ``trainer(callbacks=[...])``.
        callbacks: Further callbacks of every trainer; they come before the strategy.
        trackers: Follow the run; none of them can stop it once it computes.
        record: Where the run is written to and resumed from; nowhere if not given.
        title: What the picture of the curve says above it.

    Raises:
        ConfigError: If a number is out of range or a choice unknown.
    """

    def __init__(
        self,
        datamodule: ALDataModule,
        head: Callable[..., L.LightningModule],
        strategy: Strategy,
        *,
        num_init: int = 10,
        acq_size: int = 10,
        num_acq: int = 20,
        init: str = "random",
        seed: int = 0,
        eval_split: str = "test",
        trainer: Callable[..., L.Trainer] = DEFAULT_TRAINER,
        callbacks: Sequence[L.Callback] = (),
        trackers: Sequence[Tracker] = (),
        record: RunDirectory | None = None,
        title: str = "",
    ) -> None:
        for name, value, least in (
            ("num_init", num_init, 1),
            ("acq_size", acq_size, 1),
            ("num_acq", num_acq, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ConfigError(f"Expected `{name}` of at least {least}, got {value}.")
        if init not in INITIAL_DRAWS:
            raise ConfigError(f"Unknown `init` '{init}'. {did_you_mean(init, INITIAL_DRAWS)}")
        self.datamodule = datamodule
        self.head = head
        self.strategy = strategy
        self.num_init = num_init
        self.acq_size = acq_size
        self.num_acq = num_acq
        self.init = init
        self.seed = seed
        self.eval_split = eval_split
        self.trainer = trainer
        self.callbacks = callbacks
        self.trackers = trackers
        self.record = record
        self.title = title
        self._results: list[CycleResult] = []
        self._acquired: list[Tensor] = []

    @cached_property
    def ranks(self) -> Ranks:
        """The processes that do the run together; a single one unless the trainer has more."""
        return Ranks(trainers.made(self.trainer))

    @property
    def curve(self) -> LearningCurve:
        """The learning curve so far."""
        return LearningCurve(tuple(self._results))

    @property
    def acquired(self) -> list[Tensor]:
        """Dataset indices by cycle: the initial pool, then what each cycle selected."""
        return list(self._acquired)

    def run(self) -> LearningCurve:
        """Does what remains of the run and returns its whole curve."""
        for _ in self.cycles():
            pass
        return self.curve

    def cycles(self) -> Iterator[CycleResult]:
        """Does what remains of the run, cycle by cycle.

        Yields:
            The result of each cycle, once it is recorded. Nothing, if the run is complete already.

        Raises:
            DataError: If the examples cannot be learned from, or are fewer than the run needs.
            RecordError: If the run directory cannot be written to or belongs to another run.
            DalError: If a tracker cannot do what the user asked it for.
        """
        # The first rank alone reads, writes and reports.
        record = self.record if self.ranks.is_first else None
        trackers = self.trackers if self.ranks.is_first else ()
        with record or nullcontext(), Tracking(trackers) as tracking, self.ranks:
            self._results, self._acquired = self._recorded(record)
            tracking.start(record, self._results)
            if len(self._results) <= self.num_acq or self.ranks.are_running:
                self._start(record)
                for cycle in range(len(self._results), self.num_acq + 1):
                    result = self._cycle(cycle, record)
                    tracking.log(result)
                    yield result
                    signals.check()  # what a handler raised may have been lost on its way
            self._finish(record)
            tracking.finish(self.curve)

    def _recorded(self, record: RunDirectory | None) -> tuple[list[CycleResult], list[Tensor]]:
        if record is None:
            return [], []
        results, acquired = record.progress()
        # A run killed between its two files has selected for a cycle that it has not finished.
        return results, acquired[: min(len(results), self.num_acq) + 1]

    def _start(self, record: RunDirectory | None) -> None:
        """Brings the datamodule of every rank to where the record ends."""
        # The first rank prepares the data, and only then starts the others, which find them; or it
        # starts them for that, since an extraction runs on all devices.
        self.datamodule.prepare_data()
        self.ranks.wait()
        self.datamodule.setup("fit")
        self.datamodule.forget_labels()
        pool, budget = self.datamodule.num_unlabeled, self.num_init + self.acq_size * self.num_acq
        if budget > pool:
            raise DataError(
                f"Expected a pool of at least num_init + acq_size × num_acq = {self.num_init} + "
                f"{self.acq_size} × {self.num_acq} = {budget} examples, got {pool}. Ask for fewer, "
                "or lower dev_fraction."
            )
        initial = self.datamodule.initial_draw(
            self.num_init, self.init, randomness.stream(self.seed, 0, "initial pool")
        )
        self.datamodule.eval_dataloader(self.eval_split)  # refuses now, not after a long fit
        if record:
            self._record_origin(record, initial)
        self._results, self._acquired = self.ranks.shared(
            (self._results, self._acquired or [initial])
        )
        for indices in self._acquired:
            self.datamodule.label(indices)

    def _record_origin(self, record: RunDirectory, initial: Tensor) -> None:
        """Records what the run is made from, or checks that it is what the run began with."""
        now = self._origin()
        if not self._acquired:
            record.write_summary({"finished": False, **now})
            record.write_acquisitions([initial])
            return
        began = record.read_summary()
        if began.get("data", now["data"]) != now["data"] or not initial.equal(self._acquired[0]):
            raise RecordError(
                f"The data are not those with which the run in {record.path} began: then "
                f"{began.get('data')}, now {now['data']}. Bring them back, or start afresh with "
                "overwrite=true."
            )
        for key in ("versions", "device"):
            if began.get(key, now[key]) != now[key]:
                warnings.warn(
                    f"The run began with {key} {began[key]} and goes on with {now[key]}: its curve "
                    "may differ in the last digits from an uninterrupted one.",
                    stacklevel=2,
                )

    def _cycle(self, cycle: int, record: RunDirectory | None) -> CycleResult:
        is_last = cycle == self.num_acq
        if not is_last:
            selection_generator = randomness.stream(self.seed, cycle, "selection")
            self.strategy.prepare(self.acq_size, selection_generator)
        self.datamodule.batch_generator = randomness.stream(self.seed, cycle, "batches")
        with quiet_lightning(), randomness.seeded_globally(self.seed, cycle, "head"):
            head = self.head(
                num_features=self.datamodule.num_features, num_classes=self.datamodule.num_classes
            )
            callbacks = [Replicated(), *self.callbacks, *([] if is_last else [self.strategy])]
            trainer = trainers.made(self.trainer, callbacks=callbacks)
            device = trainer.strategy.root_device
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            with trainers.interruptible():
                started = time.perf_counter()
                trainer.fit(head, datamodule=self.datamodule)
                fit_seconds = time.perf_counter() - started
                metrics = self._evaluate(trainer, head)

        query_seconds = None
        selection = self.strategy.selection
        if not is_last:
            assert selection is not None
            query_seconds = selection.seconds
            fit_seconds -= query_seconds
            positions = self.ranks.shared(selection.positions)
            self._acquired.append(self.datamodule.unlabeled_indices[positions])
        result = CycleResult(
            cycle=cycle,
            num_labeled=len(self.datamodule.labeled_indices),
            metrics=metrics,
            fit_seconds=round(fit_seconds, 4),
            query_seconds=None if query_seconds is None else round(query_seconds, 4),
            peak_memory_mib=round(_peak_memory_mib(device), 1),
        )
        self._results.append(result)
        if record:
            # The order matters: a cycle counts as finished when its row is on the curve.
            record.write_acquisitions(self._acquired)
            record.write_curve(self._results)
        if not is_last:
            self.datamodule.label(self._acquired[-1])
        return result

    def _evaluate(self, trainer: L.Trainer, head: L.LightningModule) -> dict[str, float]:
        dataloader = self.datamodule.eval_dataloader(self.eval_split)
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

    def _finish(self, record: RunDirectory | None) -> None:
        if record is None:
            return
        summary = record.read_summary()
        if summary.get("finished"):
            return
        curve = self.curve
        record.write_plot(plot.learning_curve(curve, self.title))
        record.write_summary(
            {
                **summary,
                "finished": True,
                "auc": round(curve.auc, 4),
                "auc_trapezoid": round(curve.auc_trapezoid, 4),
                "final_accuracy": round(curve.final_accuracy, 4),
                "num_labeled": curve.results[-1].num_labeled,
                "fit_seconds": round(curve.fit_seconds, 4),
                "query_seconds": round(curve.query_seconds, 4),
                "peak_memory_mib": curve.peak_memory_mib,
            }
        )

    def _origin(self) -> dict[str, Any]:
        """What the run is made from and with, in plain values."""
        data = self.datamodule
        device = trainers.made(self.trainer).strategy.root_device
        return {
            "data": {
                "pool": data.num_unlabeled,
                "test": len(data.test),
                "dev": len(data.dev_indices),
                "num_features": data.num_features,
                "num_classes": data.num_classes,
                "fingerprint": data.fingerprint(),
            },
            "device": _device_name(device),
            "versions": {
                "dal": dal.__version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "lightning": L.__version__,
                "numpy": np.__version__,
            },
        }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.machine()}, {torch.get_num_threads()} threads"


def _peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return devices.peak_bytes() / 2**20
