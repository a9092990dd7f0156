"""``python -m dal.bench``: what this machine takes for the parts of a run.

Absolute seconds say little about code: machines differ, and share their cores. So every figure
stands beside one of a yardstick that is measured in turn with it, and their ratio is what counts.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from torch import Tensor


class Timings(NamedTuple):
    """Wall seconds of repeated runs of one thing."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)


def timed_in_turns(
    things: Sequence[tuple[str, Callable[[], object]]], repeat: int, console: Console
) -> list[Timings]:
    """Times several things A, B, A, B, ..., after a run of each that does not count.

    In turns, a machine that slows down halfway slows all of them alike.
    """
    timings = [Timings(name, []) for name, _ in things]
    for run in track(range(repeat + 1), "measuring", console=console, transient=True):
        for (_, thing), timing in zip(things, timings, strict=True):
            started = time.perf_counter()
            thing()
            if run > 0:
                timing.seconds.append(time.perf_counter() - started)
    return timings


def bare_fit(features: "Tensor", labels: "Tensor", num_classes: int, num_epochs: int) -> None:
    """The steps of a fit in the plainest PyTorch, on one thread, which is its fastest."""
    import torch
    import torch.nn.functional as F

    from dal.data import EpochBatches

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    linear = torch.nn.Linear(features.shape[1], num_classes)
    optimizer = torch.optim.RAdam(linear.parameters(), lr=0.2, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)
    epochs = EpochBatches(features, labels, 128, torch.Generator().manual_seed(0))
    for _ in range(num_epochs):
        for epoch in epochs:
            for batch, targets in zip(*epoch, strict=True):
                optimizer.zero_grad()
                F.cross_entropy(linear(batch), targets).backward()
                optimizer.step()
        scheduler.step()
    torch.set_num_threads(num_threads)


def lightning_fit(features: "Tensor", labels: "Tensor", num_epochs: int) -> None:
    """The same through the loop: a new trainer, head and datamodule hooks, without evaluation."""
    from torch.optim.lr_scheduler import CosineAnnealingLR

    from dal.data import Tensors
    from dal.head import LinearHead
    from dal.loop import DEFAULT_TRAINER, quiet_lightning

    with quiet_lightning():
        data = Tensors(features, labels, features, labels, dev_fraction=0)
        data.setup()
        data.label(data.unlabeled_indices)
        head = LinearHead(
            data.num_features,
            data.num_classes,
            scheduler=partial(CosineAnnealingLR, T_max=num_epochs),
        )
        trainer = DEFAULT_TRAINER(max_epochs=num_epochs, accelerator="cpu")
        trainer.fit(head, datamodule=data)


def fit(args: argparse.Namespace, console: Console) -> dict[str, object]:
    """Compares a fit through Lightning with the same steps in bare PyTorch."""
    import torch

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(args.labels, args.features, generator=generator)
    # Every class appears, as the datamodule demands.
    labels = torch.arange(args.labels) % args.classes
    bare, ours = timed_in_turns(
        [
            (
                "bare PyTorch, one thread",
                partial(bare_fit, features, labels, args.classes, args.epochs),
            ),
            ("dal, a Lightning fit", partial(lightning_fit, features, labels, args.epochs)),
        ],
        args.repeat,
        console,
    )
    ratio = statistics.median(b / a for a, b in zip(bare.seconds, ours.seconds, strict=True))
    console.print(
        f"Fit of {args.epochs} epochs on {args.labels} labels, D {args.features}, "
        f"K {args.classes}; {args.repeat} runs in turns"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for column in ("median s", "min s", "max s", "ratio"):
        table.add_column(column, justify="right")
    for timing, shown in ((bare, "1"), (ours, f"{ratio:.2f}")):
        table.add_row(
            timing.name,
            f"{timing.median:.3f}",
            f"{min(timing.seconds):.3f}",
            f"{max(timing.seconds):.3f}",
            shown,
        )
    console.print(table)
    return {
        "labels": args.labels,
        "features": args.features,
        "classes": args.classes,
        "epochs": args.epochs,
        "bare_seconds": bare.seconds,
        "dal_seconds": ours.seconds,
        "ratio": ratio,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m dal.bench", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "fit",
        help="a fit of the head, against the same steps in bare PyTorch",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--labels", type=_positive, default=200, help="labeled examples")
    command.add_argument("--features", type=_positive, default=384, help="dimension of a feature")
    command.add_argument("--classes", type=_positive, default=10, help="number of classes")
    command.add_argument("--epochs", type=_positive, default=200, help="epochs of a fit")
    command.add_argument("--repeat", type=_positive, default=7, help="fits that are timed")
    command.add_argument("--json", type=Path, default=None, help="file for all figures")
    command.set_defaults(run=fit)
    return root


def main() -> None:
    """The command."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in dal.train
    root = parser()
    args = root.parse_args()
    if not 2 <= args.classes <= args.labels:
        root.error(f"Expected --classes in [2, {args.labels}], got {args.classes}.")
    figures = args.run(args, Console(highlight=False))
    if args.json is not None:
        try:
            args.json.write_text(json.dumps(figures, indent=2) + "\n")
        except OSError as error:
            root.error(f"Cannot write {args.json}: {error.strerror}.")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


if __name__ == "__main__":
    main()
