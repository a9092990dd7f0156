"""A head: a network on frozen features, its fit, its metrics and its posterior."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer, RAdam
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from dal.errors import ConfigError
from dal.functional import laplace, scoring
from dal.runtime import threads, trainers

NUM_CALIBRATION_BINS = 15  # Guo et al. (2017), "On calibration of modern neural networks"

MakeOptimizer = Callable[[Iterator[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]

# The paper's, section 6.1.
DEFAULT_OPTIMIZER: MakeOptimizer = partial(RAdam, lr=0.2, weight_decay=1e-4)
DEFAULT_SCHEDULER: MakeScheduler = partial(CosineAnnealingLR, T_max=200)


class CalibrationError(Metric):
    """Expected calibration error, summed in float64: torchmetrics' own loses digits in float32."""

    full_state_update = False
    sums: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        zeros = torch.zeros(NUM_CALIBRATION_BINS, 3, dtype=torch.float64)
        self.add_state("sums", zeros, dist_reduce_fx="sum")

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """Takes class probabilities ``(N, K)`` and labels ``(N,)`` into account."""
        self.sums += scoring.calibration_sums(probs, labels, NUM_CALIBRATION_BINS)

    def compute(self) -> Tensor:
        """The error of all rows seen."""
        return scoring.calibration_error(self.sums)


class Head(L.LightningModule):
    """A network on frozen features, trained by cross-entropy.

    One ``training_step`` takes all batches of an epoch: Lightning's own work on a step would take
    as long as the step. To the trainer and its callbacks an epoch remains an epoch. Hooks around a
    gradient step are called where somebody has overridden them.

    Args:
        num_features: D.
        num_classes: K.
        network: Makes the network, called as ``network(num_features=D, num_classes=K)``. It maps
            features ``(..., D)`` to logits ``(..., K)``, and its last layer is linear: it is a
            ``Linear``, a ``Sequential`` that ends with one, or a module that returns the input of
            its last layer from a method ``embed(features)``. Some strategies also need that layer:
            such a module has it as an attribute ``last_layer``.
        optimizer: Makes the optimizer of the parameters.
        scheduler: Makes the schedule of its learning rate, which steps after every epoch. Its
            length (``T_max``) should be the trainer's ``max_epochs``.
        prior_precision: λ of the posterior, see :mod:`dal.functional.laplace`.

    Raises:
        ConfigError: If the network cannot be made, or is not such a network.
    """

    network: nn.Module
    precision_factor: Tensor

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        network: Callable[..., nn.Module],
        optimizer: MakeOptimizer = DEFAULT_OPTIMIZER,
        scheduler: MakeScheduler = DEFAULT_SCHEDULER,
        prior_precision: float = 1.0,
    ) -> None:
        super().__init__()
        if prior_precision <= 0:
            raise ConfigError(f"Expected `prior_precision` above 0, got {prior_precision}.")
        self.automatic_optimization = False
        self._are_steps_plain = False
        self.num_classes = num_classes
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.prior_precision = prior_precision
        try:
            self.network = network(num_features=num_features, num_classes=num_classes)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The network of the head cannot be made: {error}") from error
        self._check_network(num_features)
        self.register_buffer("precision_factor", torch.empty(0), persistent=False)
        # Every process evaluates all rows: adding the processes up would change the last digits.
        alone: Any = {"sync_on_compute": False}
        # "micro" is the share of right predictions; the default, "macro", weighs classes alike.
        self.accuracy = MulticlassAccuracy(
            num_classes, average="micro", validate_args=False, **alone
        )
        self.nll = MeanMetric(**alone)
        self.brier = MeanMetric(**alone)
        self.ece = CalibrationError(**alone)

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute; the name of the present hook without the search of a module.

        Lightning sets it some fifty times in an epoch, and a module looks through its parameters,
        buffers and submodules each time: 8% of a small fit.
        """
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(..., K)`` of features ``(..., D)``."""
        return cast(Tensor, self.network(features))

    def embed(self, features: Tensor) -> Tensor:
        """Input of the last layer, ``(..., E)``, of features ``(..., D)``.

        Of a linear network these are the features themselves, the same tensor.
        """
        if isinstance(self.network, nn.Linear):
            return features
        if not isinstance(self.network, nn.Sequential):
            return cast(Tensor, self.network.embed(features))  # type: ignore[operator]
        for layer in list(self.network)[:-1]:
            features = layer(features)
        return features

    @property
    def last_layer(self) -> nn.Linear:
        """The last layer, which maps embeddings to logits.

        A network with a method ``embed`` has it as its own attribute ``last_layer``.
        """
        if isinstance(self.network, nn.Sequential):
            return cast(nn.Linear, self.network[-1])
        if isinstance(self.network, nn.Linear):
            return self.network
        return cast(nn.Linear, self.network.last_layer)

    def fit_posterior(self, features: Tensor) -> None:
        """Fits the Laplace posterior of the last layer, from which samples are drawn.

        Args:
            features: Of the labeled examples, ``(L, D)``.
        """
        self.precision_factor = laplace.precision_factor(
            self.embed(features), self(features).softmax(-1), self.prior_precision
        )

    def sample(self, features: Tensor, num: int, generator: torch.Generator) -> Tensor:
        """Logits with the posterior distribution of each row by itself.

        f + √(zᵀ Σ z)·ε, with one ε per sample and class for all rows: rows are compared under the
        same draws, which ranks them with less noise, but together they do not follow the
        posterior. :meth:`sample_functions` draws rows together, at S times the cost.

        Args:
            features: ``(N, D)``.
            num: Number of samples, S.
            generator: The randomness; on the CPU. What it gives does not depend on N.

        Returns:
            ``(S, N, K)``.

        Raises:
            RuntimeError: If :meth:`fit_posterior` has not been called since the fit.
        """
        factor = self._fitted_factor()
        logits: Tensor = self(features)
        noise = torch.randn(num, 1, logits.shape[-1], generator=generator).to(logits)  # (S, 1, K)
        deviations = laplace.logit_deviations(self.embed(features), factor)
        return torch.addcmul(logits, deviations[:, None], noise)

    def sample_functions(self, num: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        """Functions drawn from the posterior, each with the same weights for all rows.

        What is asked of several rows together, such as how much their labels say about each other,
        needs these; :meth:`sample` is for one row at a time.

        Args:
            num: Number of functions, S.
            generator: The randomness; on the CPU.

        Returns:
            Maps features ``(N, D)`` to the logits under each draw, ``(S, N, K)``.

        Raises:
            RuntimeError: If :meth:`fit_posterior` has not been called since the fit.
        """
        deviations = laplace.weight_deviations(  # (S, E, K)
            self._fitted_factor(), num, self.num_classes, generator
        )
        side_by_side = deviations.movedim(0, 1).flatten(1)  # (E, S K): one product for all draws

        def logits(features: Tensor) -> Tensor:
            differences = (self.embed(features) @ side_by_side).unflatten(1, (num, -1))  # (N, S, K)
            return cast(Tensor, self(features) + differences.movedim(1, 0))

        return logits

    def _fitted_factor(self) -> Tensor:
        if self.precision_factor.numel() == 0:
            raise RuntimeError("Expected a call of fit_posterior before a sample is drawn.")
        return self.precision_factor

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer and its schedule.

        Raises:
            ConfigError: If one of them refuses its arguments.
        """
        try:
            optimizer = self.make_optimizer(self.network.parameters())
            return {"optimizer": optimizer, "lr_scheduler": self.make_scheduler(optimizer)}
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The optimizer or its schedule cannot be made: {error}") from error

    def on_train_start(self) -> None:
        """Finds out whether a gradient step concerns anybody but the optimizer."""
        self._are_steps_plain = trainers.are_steps_plain(self.trainer, self)

    def training_step(self, epoch: tuple[Tensor, Tensor], _: int) -> None:
        """A gradient step on each batch.

        Args:
            epoch: Features ``(S, N, D)`` and labels ``(S, N)`` of S batches.
        """
        is_plain = self._are_steps_plain
        optimizer = cast(Optimizer, self.optimizers(use_pl_optimizer=not is_plain))
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        parameters = list(self.network.parameters())
        weights = sum(p.numel() for p in parameters if p.ndim > 1)
        with threads.for_work(epoch[1].shape[1] * weights, self.device):
            for features, labels in zip(*epoch, strict=True):
                if is_plain:
                    for parameter in parameters:  # zero_grad() also tells a profiler
                        parameter.grad = None
                    F.cross_entropy(self.network(features), labels).backward()
                    optimizer.step()
                    progress.increment_ready()
                    progress.increment_completed()
                else:
                    optimizer.zero_grad()
                    self.manual_backward(F.cross_entropy(self.network(features), labels))
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

    def _check_network(self, num_features: int) -> None:
        name = type(self.network).__name__
        layers = self.network
        is_linear = isinstance(layers, nn.Linear) or (
            isinstance(layers, nn.Sequential) and len(layers) and isinstance(layers[-1], nn.Linear)
        )
        if not is_linear and not callable(getattr(layers, "embed", None)):
            raise ConfigError(
                f"Expected a network whose last layer is linear, got {name}: end its Sequential "
                "with a Linear, or give it a method `embed(features)` that returns the input of "
                "its last layer."
            )
        is_training = layers.training
        layers.eval()
        with torch.no_grad():
            shape = tuple(self(torch.empty(0, num_features)).shape)
        layers.train(is_training)
        if shape != (0, self.num_classes):
            raise ConfigError(
                f"Expected {name} to map features (0, {num_features}) to logits "
                f"(0, {self.num_classes}), got {shape}."
            )
