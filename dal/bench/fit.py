"""A fit of the head through Lightning, against the same steps in bare PyTorch."""

import argparse
import statistics
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from dal.bench.timing import in_turns, positive, print_table
from dal.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

HELP = "a fit of the head, against the same steps in bare PyTorch"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds the options of this bench."""
    command.add_argument("--labels", type=positive, default=200, help="labeled examples")
    command.add_argument("--features", type=positive, default=384, help="dimension of a feature")
    command.add_argument("--classes", type=positive, default=10, help="number of classes")
    command.add_argument("--epochs", type=positive, default=200, help="epochs of a fit")
    command.add_argument("--repeat", type=positive, default=7, help="fits that are timed")


def bare_fit(features: "Tensor", labels: "Tensor", num_classes: int, num_epochs: int) -> None:
    """The steps of a fit in plain PyTorch, on one thread, with which it is fastest."""
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

    from dal.data import ALDataModule, Tensors
    from dal.heads import LinearHead
    from dal.runtime.trainers import DEFAULT_TRAINER, quiet_lightning

    with quiet_lightning():
        source = Tensors(features, labels, features, labels)
        data = ALDataModule(source, dev_fraction=0)
        data.setup()
        data.label(data.pool.unlabeled_indices)
        head = LinearHead(
            data.num_features,
            data.num_classes,
            scheduler=partial(CosineAnnealingLR, T_max=num_epochs),
        )
        trainer = DEFAULT_TRAINER(max_epochs=num_epochs, accelerator="cpu")
        trainer.fit(head, datamodule=data)


def run(args: argparse.Namespace, console: Console) -> dict[str, object]:
    """Measures both in turns and prints the ratio.

    Raises:
        ConfigError: If there are not at least 2 classes and a label for each.
    """
    if not 2 <= args.classes <= args.labels:
        raise ConfigError(f"Expected --classes in [2, {args.labels}], got {args.classes}.")
    import torch

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(args.labels, args.features, generator=generator)
    # Every class appears, as the datamodule demands.
    labels = torch.arange(args.labels) % args.classes
    bare, ours = in_turns(
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
    print_table([bare, ours], {"ratio": ["1", f"{ratio:.2f}"]}, console)
    return {
        "labels": args.labels,
        "features": args.features,
        "classes": args.classes,
        "epochs": args.epochs,
        "bare_seconds": bare.seconds,
        "dal_seconds": ours.seconds,
        "ratio": ratio,
    }
