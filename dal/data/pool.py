"""The pool: which rows are labeled, with which labels, and what the rows are called.

Three names of a row: an *index* is its row of the feature matrix and never changes; an *id* is the
name that the user gave it; a *position* counts the unlabeled rows in ascending order of index, as
they are shown to a strategy, and changes with every label.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from dal.data.listener import PoolListener
from dal.data.row_numbers import NumberOf, RowNumbers
from dal.data.rows import FeatureRows
from dal.errors import DataError, did_you_mean

MAX_NAMED = 5  # rows that a message names


class Pool:
    """Rows of features of which some are labeled.

    A label is known from the moment it is given to :meth:`label`; a class may appear with any of
    them.

    Args:
        features: ``(N, D)``, floating point; may be a memory map.
        ids: Names of the N rows, distinct; the row numbers as text if not given.
        candidates: Indices of the rows that may be labeled, ``(M,)``; all rows if not given.
        scale: What features are multiplied by whenever they are read.
        in_memory: As in :class:`FeatureRows`, of the rows that a strategy is shown.

    Attributes:
        names: The ids of all rows.
        labeled_indices: Indices of the labeled rows, ``(L,)``, int64, in the order in which their
            labels were given.
        labels: Their labels, ``(L,)``, int64.
        listener: Is told how far a strategy has read the rows that it is shown.
    """

    def __init__(
        self,
        features: Tensor,
        ids: Sequence[str] | None = None,
        candidates: Tensor | None = None,
        scale: float = 1.0,
        in_memory: str | bool = "auto",
    ) -> None:
        self.features = features
        self.scale = scale
        self.in_memory = in_memory
        self.listener: PoolListener | None = None
        self.names: Sequence[str] = RowNumbers(len(features)) if ids is None else ids
        self._is_unlabeled = torch.zeros(len(features), dtype=torch.bool)
        self._is_unlabeled[slice(None) if candidates is None else candidates] = True
        self.labeled_indices = torch.empty(0, dtype=torch.int64)
        self.labels = torch.empty(0, dtype=torch.int64)

    @property
    def num_features(self) -> int:
        """D, the length of a feature row."""
        return self.features.shape[1]

    @property
    def num_unlabeled(self) -> int:
        """U, the number of rows that a strategy can choose from."""
        return int(self._is_unlabeled.sum())

    @property
    def num_classes(self) -> int:
        """K as far as it is known, one more than the highest label, 0 without labels."""
        return int(self.labels.max()) + 1 if len(self.labels) else 0

    @property
    def unlabeled_indices(self) -> Tensor:
        """Indices of the unlabeled rows, ``(U,)``, ascending: position to index."""
        return self._is_unlabeled.nonzero().flatten()

    def unlabeled_rows(self, device: torch.device | str = "cpu") -> FeatureRows:
        """Features of the unlabeled rows by position, ``(U, D)``, not yet read."""
        return FeatureRows(
            self.features,
            self.unlabeled_indices,
            device,
            self.scale,
            self.in_memory,
            self.listener,
        )

    def labeled_rows(self, device: torch.device | str = "cpu") -> FeatureRows:
        """Features of the labeled rows in the order of their labels, ``(L, D)``, not yet read."""
        return FeatureRows(self.features, self.labeled_indices, device, self.scale)

    def label(self, indices: Tensor, labels: Tensor) -> None:
        """Takes the labels of some unlabeled rows.

        Args:
            indices: Of the rows, ``(num,)``, int64, distinct.
            labels: ``(num,)``, int64, at least 0.

        Raises:
            DataError: If a row is not an unlabeled one of this pool or is named twice, or if a
                label is missing or negative. Nothing is taken then.
        """
        if labels.shape != indices.shape:
            raise DataError(
                f"Expected a label for each of {len(indices)} rows, got {len(labels)} labels."
            )
        is_known = (indices >= 0) & (indices < len(self.features))
        if not is_known.all() or not self._is_unlabeled[indices].all():
            raise DataError(f"Expected indices of unlabeled rows, got {_listed(indices)}.")
        if len(indices.unique()) != len(indices):
            raise DataError(f"Expected distinct indices, got {_listed(indices)}.")
        if (labels < 0).any():
            raise DataError(f"Expected labels of at least 0, got {_listed(labels)}.")
        self._is_unlabeled[indices] = False
        self.labeled_indices = torch.cat([self.labeled_indices, indices])
        self.labels = torch.cat([self.labels, labels.long()])

    def withhold(self, indices: Tensor) -> None:
        """Keeps some unlabeled rows from being shown to a strategy or labeled, for good.

        Args:
            indices: Of the rows, ``(num,)``, int64.
        """
        self._is_unlabeled[indices] = False

    def forget_labels(self) -> None:
        """Makes every labeled row an unlabeled one again."""
        self._is_unlabeled[self.labeled_indices] = True
        self.labeled_indices, self.labels = self.labeled_indices[:0], self.labels[:0]

    def ids(self, indices: Tensor) -> list[str]:
        """Names of some rows: index to id."""
        return [self.names[index] for index in indices.tolist()]

    def indices(self, ids: Iterable[str]) -> Tensor:
        """Indices of the rows with some names, in their order, int64: id to index.

        Raises:
            DataError: If there is no row of a name.
        """
        found = []
        for name in ids:
            if name not in self.index_of:
                hint = did_you_mean(name, self.index_of) if len(self.index_of) < 10_000 else ""
                raise DataError(f"Unknown id '{name}': no row of the pool has it. {hint}".rstrip())
            found.append(self.index_of[name])
        return torch.tensor(found, dtype=torch.int64)

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """The index of every row by its id."""
        if isinstance(self.names, RowNumbers):
            return NumberOf(self.names)
        return {str(name): index for index, name in enumerate(self.names)}


def _listed(values: Tensor) -> str:
    shown = ", ".join(str(value) for value in values[:MAX_NAMED].tolist())
    more = len(values) - MAX_NAMED
    return f"[{shown}]" if more <= 0 else f"[{shown}, and {more} more]"
