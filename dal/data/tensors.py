"""Examples that a script holds in memory."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dal.data.examples import Examples
from dal.errors import ConfigError


class Tensors:
    """Tensors or arrays in memory.

    Args:
        train_features: ``(N, D)``, floating point.
        train_labels: ``(N,)``, integers in [0, K), or -1 where a label is not known; None if no
            label is known. A strategy never sees the label of an unlabeled row.
        test_features: ``(T, D)``, if there is a test split.
        test_labels: ``(T,)``.
        ids: What the N rows are called, distinct.
        class_names: What the K classes are called.

    Raises:
        ConfigError: If only one of ``test_features`` and ``test_labels`` is given.
    """

    def __init__(
        self,
        train_features: Tensor,
        train_labels: Tensor | None = None,
        test_features: Tensor | None = None,
        test_labels: Tensor | None = None,
        ids: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if (test_features is None) != (test_labels is None):
            missing = "test_features" if test_features is None else "test_labels"
            raise ConfigError(
                f"Expected both `test_features` and `test_labels`, or neither, got no `{missing}`."
            )
        self._train = Examples(
            torch.as_tensor(train_features),
            None if train_labels is None else torch.as_tensor(train_labels),
            ids,
            class_names,
        )
        self._test = None
        if test_features is not None:
            self._test = Examples(torch.as_tensor(test_features), torch.as_tensor(test_labels))

    def load(self) -> tuple[Examples, Examples | None]:
        """The tensors, as they were given."""
        return self._train, self._test
