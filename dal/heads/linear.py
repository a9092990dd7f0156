"""The part of the network that is trained: one linear layer on frozen features."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import lightning as L
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer, RAdam
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from dal.errors import ConfigError
from dal.functional import scoring
from dal.runtime import threads

NUM_CALIBRATION_BINS = 15  # Guo et al. (2017), "On calibration of modern neural networks"


class LinearHead(L.LightningModule):
    """A linear layer with bias, trained by cross-entropy.

    One ``training_step`` takes all batches of an epoch: Lightning's own work on a step would take
    as long as the step. To the trainer and its callbacks an epoch remains an epoch.

    The defaults are the paper's (section 6.1): RAdam with learning rate 0.2 and weight decay 1e-4,
    cosine annealing a step an epoch over 200 epochs.

    Args:
        num_features: D.
        num_classes: K.
        optimizer: Makes the optimizer of the parameters.
        scheduler: Makes the schedule of its learning rate, which steps after every epoch. Its
            length (``T_max``) should be the trainer's ``max_epochs``.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        optimizer: Callable[[Iterator[nn.Parameter]], Optimizer] = partial(
            RAdam, lr=0.2, weight_decay=1e-4
        ),
        scheduler: Callable[[Optimizer], LRScheduler] = partial(CosineAnnealingLR, T_max=200),
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.linear = nn.Linear(num_features, num_classes)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        # Every rank evaluates all rows: counting them once per rank would change the last digits.
        alone: Any = {"sync_on_compute": False}
        # "micro" is the share of right predictions; the default, "macro", weighs classes alike.
        self.accuracy = MulticlassAccuracy(
            num_classes, average="micro", validate_args=False, **alone
        )
        self.nll = MeanMetric(**alone)
        self.brier = MeanMetric(**alone)
        self.ece = MulticlassCalibrationError(
            num_classes, n_bins=NUM_CALIBRATION_BINS, validate_args=False, **alone
        )

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(..., K)`` of features ``(..., D)``."""
        return cast(Tensor, self.linear(features))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer and its schedule.

        Raises:
            ConfigError: If one of them refuses its arguments.
        """
        try:
            optimizer = self.make_optimizer(self.linear.parameters())
            return {"optimizer": optimizer, "lr_scheduler": self.make_scheduler(optimizer)}
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The optimizer or its schedule cannot be made: {error}") from error

    def training_step(self, epoch: tuple[Tensor, Tensor], _: int) -> None:
        """A gradient step on each batch.

        Args:
            epoch: Features ``(S, N, D)`` and labels ``(S, N)`` of S batches.
        """
        optimizer = cast(Optimizer, self.optimizers())
        work = epoch[0][0].numel() * self.linear.out_features
        with threads.for_work(work, self.device):
            for features, labels in zip(*epoch, strict=True):
                optimizer.zero_grad()
                self.manual_backward(F.cross_entropy(self.linear(features), labels))
                optimizer.step()

    def on_train_epoch_end(self) -> None:
        """Steps the schedule."""
        cast(LRScheduler, self.lr_schedulers()).step()

    def test_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Accuracy, negative log-likelihood in nats, Brier score and expected calibration error.

        Args:
            batch: Features ``(N, D)`` and labels ``(N,)``.
        """
        features, labels = batch
        logits = self(features)
        probs = logits.softmax(-1)
        self.accuracy.update(probs, labels)
        self.nll.update(F.cross_entropy(logits, labels, reduction="none"))
        self.brier.update(scoring.brier(probs, labels))
        self.ece.update(probs, labels)
        self.log_dict(
            {"accuracy": self.accuracy, "nll": self.nll, "brier": self.brier, "ece": self.ece},
            on_step=False,
            on_epoch=True,
        )
