"""What all strategies have in common."""

import time
from abc import ABC, abstractmethod
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from dal.data import ALDataModule
from dal.errors import ConfigError, StrategyError, did_you_mean
from dal.strategies.query import Query


class Selection(NamedTuple):
    """What a strategy answered, and what it took.

    Attributes:
        positions: Rows of the pool shown, ``(num,)``, int64, on the CPU, in order of selection.
        seconds: Wall time of the selection, reading the features included.
    """

    positions: Tensor
    seconds: float


class Strategy(L.Callback, ABC):
    """Chooses the examples to label next, at the end of a fit.

    A subclass writes :meth:`select`. It keeps nothing from one cycle to the next, or a resumed run
    would differ from an uninterrupted one.

    Args:
        subset_size: Candidates from which to select, drawn anew in each cycle; the whole pool if
            None or not smaller. The published experiments of Huseljic et al. (2024) drew some.

    As a callback it acts in ``on_train_end``, where the fitted head is still on the trainer's
    device; one hook later Lightning has moved it to the CPU.
    """

    subset_size: int | None = None
    selection: Selection | None = None
    _num: int
    _generator: torch.Generator

    def __init__(self, subset_size: int | None = None) -> None:
        if subset_size is not None and subset_size < 1:
            raise ConfigError(f"Expected `subset_size` of at least 1, got {subset_size}.")
        self.subset_size = subset_size

    @abstractmethod
    def select(self, query: Query) -> Tensor:
        """Positions in the pool of ``query``, best first.

        Args:
            query: The pool, the labeled examples, the fitted head and ``num``. It is called
                without gradients; ``torch.enable_grad`` brings them back.

        Returns:
            ``(query.num,)``, int64, distinct, in [0, U), on any device.
        """

    def prepare(self, num: int, generator: torch.Generator) -> None:
        """Says what the next fit shall end with.

        Args:
            num: How many positions to select.
            generator: The strategy's randomness in that cycle.
        """
        self.selection = None
        self._num = num
        self._generator = generator

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Selects from the unlabeled examples of the trainer's datamodule."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(datamodule, ALDataModule)
        device = trainer.strategy.root_device
        started = _synchronized_time(device)
        query = Query(
            pool=datamodule.unlabeled_rows(device),
            labeled=datamodule.labeled_rows(device),
            labels=datamodule.labels.to(device),
            head=pl_module,
            num=self._num,
            generator=self._generator,
        )
        is_training = pl_module.training
        pl_module.eval()
        with torch.no_grad():
            positions = self.answer(query)
        pl_module.train(is_training)
        self.selection = Selection(positions.cpu(), _synchronized_time(device) - started)

    def answer(self, query: Query) -> Tensor:
        """What :meth:`select` returns for the pool, or for a subset of it.

        Raises:
            ConfigError: If the subset is smaller than ``num``.
            StrategyError: If it is not ``(num,)`` distinct int64 positions of the pool.
        """
        if self.subset_size is None or self.subset_size >= len(query.pool):
            return self._checked(query)
        if self.subset_size < query.num:
            raise ConfigError(
                f"Expected `subset_size` of at least {query.num}, the acquisition size, got "
                f"{self.subset_size}."
            )
        order = torch.randperm(len(query.pool), generator=query.generator)
        subset = order[: self.subset_size].sort().values
        return subset[self._checked(query.restricted_to(subset)).cpu()]

    def _checked(self, query: Query) -> Tensor:
        positions = self.select(query)
        name, size = type(self).__name__, len(query.pool)
        if positions.shape != (query.num,) or positions.dtype != torch.int64:
            raise StrategyError(
                f"Expected {name}.select to return int64 positions of shape ({query.num},), got "
                f"{positions.dtype} of shape {tuple(positions.shape)}."
            )
        if positions.min() < 0 or positions.max() >= size:
            raise StrategyError(
                f"Expected {name}.select to return positions in [0, {size}), got "
                f"{positions.tolist()}."
            )
        if len(positions.unique()) != query.num:
            raise StrategyError(
                f"Expected {name}.select to return distinct positions, got {positions.tolist()}."
            )
        return positions


def floating_type(name: str) -> torch.dtype:
    """The type that a strategy computes in.

    Args:
        name: ``"float32"`` or ``"float64"``.

    Raises:
        ConfigError: If it is neither.
    """
    types = {"float32": torch.float32, "float64": torch.float64}
    if name not in types:
        raise ConfigError(f"Unknown `dtype` '{name}'. {did_you_mean(name, types)}")
    return types[name]


def _synchronized_time(device: torch.device) -> float:
    if device.type == "cuda":  # its kernels run on after the call that started them
        torch.cuda.synchronize(device)
    return time.perf_counter()
