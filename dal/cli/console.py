"""Progress bars and log lines that a command shows."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

import lightning as L
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from dal.cli import terminal
from dal.cli.series import Series
from dal.data.listener import PoolListener
from dal.experiment.curve import CycleResult
from dal.extraction import ExtractionListener, ItemSplit
from dal.runtime import devices

WIDE = 100  # columns of a terminal that shows everything
LINE_SECONDS = 10.0  # between two lines of progress in a log file
PAUSE_SECONDS = 1.0  # after which something else begins


class TimeLeftColumn(TimeRemainingColumn):
    """The time left; empty, and no dashes, before there is an estimate."""

    def render(self, task: Task) -> Text:
        """The time left of a task."""
        return Text() if task.time_remaining is None else super().render(task)


def bars(console: Console) -> Progress:
    """Progress bars for a terminal, which disappear at the end.

    On a narrow terminal they are short and without what is known anyway: the time left is what one
    wants to see.
    """
    is_wide = console.width >= WIDE
    columns: list[ProgressColumn] = [
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(40 if is_wide else 12),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=5)),
        TimeLeftColumn(table_column=Column(no_wrap=True, min_width=7)),
    ]
    if is_wide:
        columns.insert(3, TimeElapsedColumn())
        columns.append(TextColumn("{task.fields[note]}", markup=False))
    is_live = terminal.is_live(console)
    return Progress(*columns, console=console, disable=not is_live, transient=True)


class ExtractionProgress(ExtractionListener):
    """A bar for the items on a terminal; elsewhere a line every ten seconds.

    Args:
        console: Where to show it.
        progress: The bars.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self.console = console
        self.progress = progress

    def say(self, message: str) -> None:
        """Prints a line."""
        self.console.print(message, soft_wrap=True)

    def started(self, split: ItemSplit, num_done: int) -> None:
        """Shows the bar."""
        again = f", {num_done:,} of them computed before" if num_done else ""
        self.nouns, self.total, self.done = split.nouns, len(split), num_done
        self.say(f"Computing features of {split.where}: {self.total:,} {self.nouns}{again}.")
        self.num_computed = 0
        self.began = self.shown = time.monotonic()
        self.task = self.progress.add_task(
            self.nouns, total=self.total, completed=num_done, note=""
        )

    def advanced(self, num: int) -> None:
        """Advances the bar."""
        num = min(num, self.total - self.done)
        self.num_computed += num
        self.done += num
        now = time.monotonic()
        rate = f"{self.num_computed / max(now - self.began, 1e-9):,.0f} {self.nouns}/s"
        self.progress.update(self.task, completed=self.done, note=rate)
        if not terminal.is_live(self.console) and now - self.shown > LINE_SECONDS:
            self.shown = now
            seconds = (now - self.began) * (self.total - self.done) / self.num_computed
            left = timedelta(seconds=round(seconds))
            self.say(f"{self.done:,} of {self.total:,} {self.nouns}, {rate}, {left} left")

    def ended(self) -> None:
        """Removes the bar and prints how long it took."""
        self.progress.remove_task(self.task)
        seconds = time.monotonic() - self.began
        rate = self.num_computed / max(seconds, 1e-9)
        took = timedelta(seconds=round(seconds))
        self.say(
            f"{self.num_computed:,} {self.nouns} computed in {took} ({rate:,.0f} {self.nouns}/s)."
        )


class PoolProgress(PoolListener):
    """How far a pool has been read or selected from, and the time that is left.

    On a terminal a bar, elsewhere a line every ten seconds. Once a strategy counts its steps these
    are shown, and no longer the rows that it reads for each of them.

    Args:
        console: Where to show it.
        progress: The bars, of which one is for this alone.
        task: That one.
    """

    def __init__(self, console: Console, progress: Progress, task: TaskID) -> None:
        self.console = console
        self.progress = progress
        self.task = task
        self.is_streamed = False
        self.what, self.first, self.done = "", 0, 0
        self.began = self.seen = self.shown = time.monotonic()

    def streamed(self, num_bytes: int) -> None:
        """Says once that the features of the pool are not kept in memory."""
        if not self.is_streamed:
            self.is_streamed = True
            self.console.print(
                f"The features take {devices.shown(num_bytes)} as float32, which is more than half "
                "of the available memory, or in_memory=false: they are read from the pool in each "
                "pass.",
                soft_wrap=True,
            )

    def read(self, num: int, total: int) -> None:
        """Shows how many rows have been read."""
        if self.what != "steps":
            self._show("rows", num, total)

    def chosen(self, num: int, total: int) -> None:
        """Shows how many steps have been taken."""
        self._show("steps" if num < total else "rows", num, total)

    def _show(self, what: str, num: int, total: int) -> None:
        now = time.monotonic()
        if what != self.what or num <= self.done:  # the first of its kind, or of another reading
            self.progress.reset(self.task, total=total, visible=True)
            self.what, self.first, self.began = what, num, now
            if now - self.seen > PAUSE_SECONDS:
                self.shown = now  # what is short gets no line, however long ago the last one was
        self.done, self.seen = num, now
        left = (now - self.began) * (total - num) / max(num - self.first, 1)
        text = f"{timedelta(seconds=round(left))} left" if num > self.first else ""
        self.progress.update(self.task, completed=num, total=total, note=text)
        is_due = text and num < total and now - self.shown > LINE_SECONDS
        if is_due and not terminal.is_live(self.console):
            self.shown = now
            self.console.print(f"{num:,} of {total:,} {what}, {text}", soft_wrap=True)


class LiveProgress(L.Callback):
    """Bars for cycles and epochs on a terminal; elsewhere lines.

    A single run has a line for each cycle. A run of a series has one every ten seconds, which names
    the run.

    Args:
        console: Where to show it.
        title: What is run.
        num_cycles: Number of cycles of the whole run.
        series: The multirun that the run belongs to, if any.
    """

    def __init__(
        self, console: Console, title: str, num_cycles: int, series: Series | None = None
    ) -> None:
        self.console = console
        self.title = title
        self.num_cycles = num_cycles
        self.series = series
        self.progress = bars(console)
        if series is not None:
            jobs = series.finished()
            done = series.progress(jobs)
            task = self.progress.add_task(done, total=series.num_jobs, note="")
            self.progress.update(task, completed=len(jobs))
        self.run = self.progress.add_task(title, total=num_cycles, note="")
        self.fit = self.progress.add_task("fitting", total=None, note="")
        self.pool = PoolProgress(console, self.progress, self.fit)
        self.shown = time.monotonic()

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def resumed(self, results: Sequence[CycleResult]) -> None:
        """Advances the bar by the cycles that an earlier process has finished."""
        self.progress.update(self.run, completed=len(results))
        self._print(f"Resuming after {len(results)} of {self.num_cycles} cycles.")

    def cycle_finished(self, result: CycleResult) -> None:
        """Shows a cycle's result."""
        accuracy = f"{100 * result.metrics['accuracy']:.1f}%"
        self.progress.update(
            self.run,
            completed=result.cycle + 1,
            note=f"{result.num_labeled} labels, accuracy {accuracy}",
        )
        now = time.monotonic()
        is_due = self.series is None or now - self.shown > LINE_SECONDS
        if is_due and not terminal.is_live(self.console):
            self.shown = now
            query = "" if result.query_seconds is None else f", select {result.query_seconds:.2f} s"
            self._print(
                f"cycle {result.cycle + 1}/{self.num_cycles}: {result.num_labeled} labels, "
                f"accuracy {accuracy}, fit {result.fit_seconds:.2f} s{query}"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Starts the bar of the epochs."""
        self.progress.reset(self.fit, total=trainer.max_epochs, description="fitting")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Advances the bar of the epochs."""
        self.progress.advance(self.fit)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Shows that the strategy is selecting: it is called after this callback."""
        self.progress.update(self.fit, description="selecting")

    def _print(self, message: str) -> None:
        which = "" if self.series is None else f"{self.title}, "
        self.console.print(f"{which}{message}", soft_wrap=True)
