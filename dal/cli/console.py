"""Progress bars, log lines and the summary that a command shows."""

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

import lightning as L
from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from dal.experiment.curve import CycleResult, LearningCurve
from dal.extraction import ExtractionListener, ItemSplit

LINE_SECONDS = 10.0  # between two lines of progress in a log file


def bars(console: Console) -> Progress:
    """Progress bars for a terminal, which disappear at the end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


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
        if not self.console.is_terminal and now - self.shown > LINE_SECONDS:
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


class LiveProgress(L.Callback):
    """Bars for cycles and epochs on a terminal; elsewhere one line for each cycle.

    Args:
        console: Where to show it.
        title: What is run.
        num_cycles: Number of cycles of the whole run.
    """

    def __init__(self, console: Console, title: str, num_cycles: int) -> None:
        self.console = console
        self.num_cycles = num_cycles
        self.progress = bars(console)
        self.run = self.progress.add_task(title, total=num_cycles, note="")
        self.fit = self.progress.add_task("fitting", total=None, note="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def resumed(self, results: Sequence[CycleResult]) -> None:
        """Advances the bar by the cycles that an earlier process has finished."""
        self.progress.update(self.run, completed=len(results))
        self.console.print(f"Resuming after {len(results)} of {self.num_cycles} cycles.")

    def cycle_finished(self, result: CycleResult) -> None:
        """Shows a cycle's result."""
        accuracy = f"{100 * result.metrics['accuracy']:.1f}%"
        self.progress.update(
            self.run,
            completed=result.cycle + 1,
            note=f"{result.num_labeled} labels, accuracy {accuracy}",
        )
        if not self.console.is_terminal:
            query = "" if result.query_seconds is None else f", select {result.query_seconds:.2f} s"
            self.console.print(
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


def summary(finished: Sequence[tuple[str, LearningCurve, str]]) -> Group:
    """A table of the finished runs, and where their files are.

    Args:
        finished: Title, learning curve and run directory of each run, at least one.
    """
    facts = [
        {
            "labels": str(int(curve.num_labeled[-1])),
            "AUC": f"{curve.auc:.2f}",
            "final accuracy": f"{curve.final_accuracy:.2f}%",
            "fitting": f"{curve.fit_seconds:.1f} s",
            "selecting": f"{curve.query_seconds:.2f} s",
        }
        for _, curve, _ in finished
    ]
    # Beside the table and not in it, where a long path would be folded.
    files = Text(f"Files in {os.path.commonpath([path for *_, path in finished])}")
    if len(finished) == 1:
        table = Table(title=finished[0][0], title_justify="left", box=None, show_header=False)
        for name, value in facts[0].items():
            table.add_row(name, value)
        return Group(table, files)
    table = Table(box=None)
    table.add_column("run")
    for name in facts[0]:
        table.add_column(name, justify="right")
    for (title, *_), row in zip(finished, facts, strict=True):
        table.add_row(title, *row.values())
    return Group(table, files)
