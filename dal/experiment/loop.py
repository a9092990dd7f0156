"""The active learning loop: fit, select, evaluate, record, label; repeat."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property

import lightning as L
import torch
from torch import Tensor

from dal.data import ALDataModule
from dal.data.datamodule import EVAL_SPLITS, check_balanced
from dal.errors import ConfigError, DataError, RecordError, did_you_mean
from dal.experiment import initial, plot, provenance
from dal.experiment.curve import CycleResult, Diagnostics, LearningCurve
from dal.experiment.cycle import Cycle
from dal.experiment.record import ACQUISITIONS, Progress, RunDirectory
from dal.experiment.tracking import Tracker, Tracking
from dal.runtime import signals, trainers
from dal.runtime.processes import Processes
from dal.runtime.trainers import DEFAULT_TRAINER
from dal.strategies import Selection, Strategy


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
        init: How the start comes about: drawn, ``"random"`` or ``"class_balanced"``, or selected
            by a strategy that needs neither head nor labels.
        seed: Of every random number in the run, at least 0.
        eval_split: ``"test"``, or ``"dev"`` for the choice of hyperparameters.
        trainer: Makes the trainer of a cycle, called as ``trainer(callbacks=[...])``.
        callbacks: Further callbacks of every trainer; they come before the selection.
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
        init: str | Strategy = "random",
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
        initial.check(init)
        if eval_split not in EVAL_SPLITS:
            hint = did_you_mean(eval_split, EVAL_SPLITS)
            raise ConfigError(f"Unknown `eval_split` '{eval_split}'. {hint}")
        self.datamodule = datamodule
        self.cycle = Cycle(datamodule, head, strategy, seed, trainer, callbacks)
        self.num_init = num_init
        self.acq_size = acq_size
        self.num_acq = num_acq
        self.init = init
        self.seed = seed
        self.eval_split = eval_split
        self.trainer = trainer
        self.trackers = trackers
        self.record = record
        self.title = title
        self._progress = Progress([], [], [])

    @cached_property
    def processes(self) -> Processes:
        """The processes that do the run together; a single one unless the trainer has more.

        Raises:
            ConfigError: If the trainer cannot be made or cannot do a fit.
        """
        trainer = trainers.build(self.trainer)
        trainers.check_fit_ends(trainer)
        return Processes(trainer)

    @property
    def curve(self) -> LearningCurve:
        """The learning curve so far."""
        return LearningCurve(tuple(self._progress.results))

    @property
    def acquired(self) -> list[Tensor]:
        """Dataset indices by cycle, first of the initial pool, then what each cycle selected."""
        return list(self._progress.acquired)

    @property
    def diagnostics(self) -> list[Diagnostics]:
        """What the strategy knew of each selection, by cycle."""
        return list(self._progress.diagnostics)

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
        # The first process alone reads, writes and reports.
        record = self.record if self.processes.is_first else None
        trackers = self.trackers if self.processes.is_first else ()
        with record or nullcontext(), Tracking(trackers) as tracking, self.processes:
            self._progress = self._recorded(record)
            tracking.start(record, self._progress.results)
            if len(self._progress.results) <= self.num_acq or self.processes.all_started:
                self._start(record)
                for number in range(len(self._progress.results), self.num_acq + 1):
                    result = self._run_cycle(number, record)
                    tracking.log(result)
                    yield result
                    signals.check()  # what a handler raised may have been lost on its way
            if record:
                self._finish(record)
            tracking.finish(self.curve)

    def _recorded(self, record: RunDirectory | None) -> Progress:
        if record is None:
            return Progress([], [], [])
        results, acquired, diagnostics = record.progress()
        if not results:  # whatever else is there: such a run begins from scratch
            return Progress([], [], [])
        # A run that was killed between two files has selected for a cycle that is not finished.
        num_selected = min(len(results), self.num_acq)
        return Progress(
            results,
            acquired[: num_selected + 1],
            [those for those in diagnostics if those.cycle < num_selected],
        )

    def _start(self, record: RunDirectory | None) -> None:
        """Sets up the datamodule of every process, with the labels that the record ends with."""
        # The first process prepares the data, and only then starts the others, which find them; or
        # it starts them for that, since an extraction runs on all devices.
        self.datamodule.prepare_data()
        self.processes.wait()
        self.datamodule.setup("fit")
        self.datamodule.check_labeled()
        pool = self.datamodule.pool
        pool.forget_labels()
        self._check_budget(pool.num_unlabeled)
        self.datamodule.eval_dataloader(self.eval_split)  # refuses now, not after a long fit
        device = trainers.build(self.trainer).strategy.root_device
        current = provenance.describe(self.datamodule, device) if record else {}
        if record and self._progress.acquired:
            provenance.check(record.read_summary(), current, record.path)
            self._check_initial_draw(record, device)
        self._progress = self.processes.shared(self._progress)
        if not self._progress.acquired:
            chosen = None
            if self.processes.is_first:
                chosen = initial.choose(
                    self.init, self.datamodule, self.num_init, self.seed, device
                )
            chosen = self.processes.shared(chosen)
            assert chosen is not None
            if record:
                record.write_summary({"finished": False, **current, **chosen.facts})
                record.write_acquisitions([chosen.indices], self.datamodule.describe)
            self._progress.acquired.append(chosen.indices)
        for indices in self._progress.acquired:
            self.datamodule.label(indices)

    def check_labels(
        self, labels: Tensor, test_labels: Tensor | None, class_names: Sequence[str] | None
    ) -> None:
        """Checks that the examples suffice, as soon as labels are known and before features are.

        A source that computes features may call it: see :class:`dal.data.Embedded`.

        Args:
            labels: Of the train examples, ``(N,)``.
            test_labels: Of the test examples, if there is a test split.
            class_names: By label, if classes have names.

        Raises:
            DataError: If they do not.
        """
        num, num_classes = self.datamodule.preview(labels, test_labels, class_names)
        self._check_budget(num)
        if self.init == "class_balanced":
            check_balanced(self.num_init, num_classes)

    def _check_budget(self, num_unlabeled: int) -> None:
        budget = self.num_init + self.acq_size * self.num_acq
        if budget > num_unlabeled:
            raise DataError(
                f"Expected a pool of at least num_init + acq_size × num_acq = {self.num_init} + "
                f"{self.acq_size} × {self.num_acq} = {budget} examples, got {num_unlabeled}. "
                "Ask for fewer, or lower dev_fraction."
            )

    def _check_initial_draw(self, record: RunDirectory, device: torch.device) -> None:
        """Checks that the initial pool of the record would be drawn again.

        One that a strategy selected is taken as it is: it may have taken long, and clusters or
        neighbors may be others on another machine.
        """
        if not isinstance(self.init, str):
            return
        drawn = initial.choose(self.init, self.datamodule, self.num_init, self.seed, device)
        if not drawn.indices.equal(self._progress.acquired[0]):
            raise RecordError(
                f"Expected to draw the initial pool that {record.path / ACQUISITIONS} holds, drew "
                "another one: the file has been changed, or another version has written it. "
                "Start from scratch with overwrite=true."
            )

    def _run_cycle(self, number: int, record: RunDirectory | None) -> CycleResult:
        pool = self.datamodule.pool
        num = self.acq_size if number < self.num_acq else 0
        outcome = self.cycle.run(number, num, self.eval_split)
        selected = None
        if outcome.selection is not None:
            positions = self.processes.shared(outcome.selection.positions)
            selected = pool.unlabeled_indices[positions]
            self._progress.acquired.append(selected)
            self._progress.diagnostics.append(_diagnostics(number, outcome.selection))
        seconds = outcome.query_seconds
        result = CycleResult(
            cycle=number,
            num_labeled=len(pool.labeled_indices),
            metrics=outcome.metrics,
            fit_seconds=round(outcome.fit_seconds, 4),
            query_seconds=None if seconds is None else round(seconds, 4),
            peak_memory_mib=round(outcome.peak_memory_mib, 1),
        )
        self._progress.results.append(result)
        if record:
            # The order matters: a cycle counts as finished when its row is on the curve.
            record.write_acquisitions(self._progress.acquired, self.datamodule.describe)
            record.write_diagnostics(self._progress.diagnostics)
            record.write_curve(self._progress.results)
        if selected is not None:
            self.datamodule.label(selected)
        return result

    def _finish(self, record: RunDirectory) -> None:
        summary = record.read_summary()
        if summary.get("finished"):
            return
        record.write_plot(plot.learning_curve(self.curve, self.title))
        results = {name: round(value, 4) for name, value in self.curve.summary().items()}
        record.write_summary({**summary, "finished": True, **results})


def _diagnostics(cycle: int, selection: Selection) -> Diagnostics:
    """What is recorded of a selection, its scores to seven digits."""
    scores = None
    if selection.scores is not None:
        scores = [
            float(f"{score:.7g}") if math.isfinite(score) else None
            for score in selection.scores.tolist()
        ]
    return Diagnostics(cycle, scores, dict(selection.derived))
