"""Examples that a script already holds."""

import torch
from torch import Tensor

from dal.data.datamodule import ALDataModule
from dal.data.examples import Examples


class Tensors(ALDataModule):
    """Active learning on tensors or arrays in memory.

    Args:
        train_features: ``(N, D)``, floating point.
        train_labels: ``(N,)``, integers in [0, K). They are looked up when a strategy asks for
            them, and never shown to it before.
        test_features: ``(T, D)``.
        test_labels: ``(T,)``.
        batch_size: As in :class:`ALDataModule`.
        dev_fraction: As in :class:`ALDataModule`.
        split_seed: As in :class:`ALDataModule`.
    """

    def __init__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, dev_fraction, split_seed)
        self._splits = (
            Examples(torch.as_tensor(train_features), torch.as_tensor(train_labels)),
            Examples(torch.as_tensor(test_features), torch.as_tensor(test_labels)),
        )

    def load(self) -> tuple[Examples, Examples]:
        """The tensors, as they were given."""
        return self._splits
