"""Examples that a script holds in memory."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dal.data import labels
from dal.data.examples import Examples
from dal.errors import ConfigError


class Tensors:
    """Tensors, arrays, or frames and series of pandas, in memory.

    Args:
        train_features: ``(N, D)``, floating point.
        train_labels: ``(N,)``, integers in [0, K), or -1 where a label is not known; or names of
            classes, or None where a label is not known; None if no label is known. A strategy never
            sees the label of an unlabeled row.
        test_features: ``(T, D)``, if there is a test split.
        test_labels: ``(T,)``.
        ids: What the N rows are called, distinct.
        class_names: What the K classes are called; by default, names of classes in alphabetical
            order.

    Raises:
        ConfigError: If only one of ``test_features`` and ``test_labels`` is given, or features are
            no numbers.
        DataError: If a label is the name of a class that train does not have.
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
        if class_names is None and train_labels is not None and _are_names(train_labels):
            class_names = sorted({name for name in train_labels if name is not None})
        numbers = [
            None if those is None else _label_numbers(those, class_names, f"{split}_labels")
            for those, split in ((train_labels, "train"), (test_labels, "test"))
        ]
        train = _tensor(train_features, "train_features")
        self._train = Examples(train, numbers[0], ids, class_names)
        self._test = None
        if test_features is not None:
            self._test = Examples(_tensor(test_features, "test_features"), numbers[1])

    def load(self) -> tuple[Examples, Examples | None]:
        """The tensors, as they were given."""
        return self._train, self._test


def _label_numbers(values: Any, class_names: Sequence[str] | None, name: str) -> Tensor:
    if class_names is not None and _are_names(values):
        return torch.from_numpy(labels.number(list(values), class_names, f"`{name}`"))
    return _tensor(values, name)


def _are_names(values: Any) -> bool:
    """Whether labels are names of classes, with None where one is not known."""
    if isinstance(values, Tensor):
        return False
    kinds = {type(value) for value in values} - {type(None)}
    return bool(kinds) and all(issubclass(kind, str) for kind in kinds)


def _tensor(values: Any, name: str) -> Tensor:
    if hasattr(values, "to_numpy"):  # a frame or series: torch would take its columns or index
        values = values.to_numpy()
        values = values if values.flags.writeable else values.copy()  # else torch warns
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"Expected numbers for `{name}`: {error}") from error
