"""Features with labels and ids as a source returns them, and the checks of what it returned."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dal.errors import DataError
from dal.runtime import memory_maps

CHUNK_ROWS = 1 << 14  # 25 MiB of float32 at D = 384: the check never holds more than that
UNKNOWN = -1  # in the place of a label that nobody has given yet


class Examples(NamedTuple):
    """Rows of features, with class labels and ids where there are any.

    Attributes:
        features: ``(N, D)``, floating point; may be a memory map, and is never written to.
        labels: ``(N,)``, integers in [0, K), or :data:`UNKNOWN`; None if no label is known.
        ids: What the N rows are called, if they have names.
        class_names: What the K classes are called, if they have names.
    """

    features: Tensor
    labels: Tensor | None = None
    ids: Sequence[str] | None = None
    class_names: Sequence[str] | None = None

    def __len__(self) -> int:
        """Number of rows, where a tuple's own length would be 4."""
        return len(self.features)

    @property
    def are_labeled(self) -> bool:
        """Whether every label is known."""
        return self.labels is not None and bool((self.labels != UNKNOWN).all())

    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change when any feature or label does."""
        checksum = 0
        for tensor in (self.features, self.labels):
            if tensor is None:
                continue
            # Through uint8, since numpy has no name for some of torch's dtypes.
            for chunk in memory_maps.chunks(tensor.detach(), CHUNK_ROWS):
                content: np.ndarray = chunk.contiguous().view(torch.uint8).numpy()
                checksum = zlib.crc32(content.data, checksum)
        return f"{checksum:08x}"


def checked(examples: Examples, split: str) -> Examples:
    """The same examples with int64 labels, or an error that says what is wrong with them.

    Args:
        examples: What a source has returned.
        split: What to call them in a message, ``"train"`` or ``"test"``.

    Raises:
        DataError: If the shapes do not fit, there is no row, a feature is NaN or infinite in
            float32, a label is no integer or below :data:`UNKNOWN`, or an id is not unique.
    """
    features, labels, ids, class_names = examples
    if features.ndim != 2:
        raise DataError(f"Expected {split} features of shape (N, D), got {tuple(features.shape)}.")
    if len(features) == 0:
        raise DataError(f"Expected at least one row of {split} features, got none.")
    if features.shape[1] == 0:
        raise DataError(f"Expected {split} features of at least one dimension, got (N, 0).")
    if not features.is_floating_point():
        raise DataError(
            f"Expected {split} features in float16, float32 or float64, got {features.dtype}. "
            "Convert them, for example with `features.astype('float32')`."
        )
    labels = None if labels is None else _checked_labels(labels, len(features), split)
    if ids is not None:
        _check_ids(ids, len(features), split)
    _check_finite(features, split)
    return Examples(features, labels, ids, class_names)


def check_labeled(labels: Tensor | None, split: str) -> None:
    """Checks that every label is known, as an experiment needs them.

    Args:
        labels: Of all examples of a split, ``(N,)``; None if there are none.
        split: What to call them in a message.

    Raises:
        DataError: If a label is unknown.
    """
    if labels is None:
        raise DataError(
            f"Expected labels of the {split} examples, got none: an experiment reveals them when "
            "a strategy asks for them. Put images into one folder for each class, and NumPy "
            f"labels into {split}_labels.npy."
        )
    unknown = (labels == UNKNOWN).nonzero().flatten()
    if len(unknown):
        raise DataError(
            f"Expected a label for each of the {split} examples, got none ({UNKNOWN}) for "
            f"{len(unknown)} of {len(labels)}, the first at row {int(unknown[0])}. Remove the rows "
            "without a label."
        )


def checked_together(train: Examples, test: Examples | None) -> int:
    """Number of classes K of labeled examples, or an error that says why the splits do not fit.

    Args:
        train: Checked by :func:`checked` and :func:`check_labeled`.
        test: The same, if there is a test split.

    Raises:
        DataError: If the splits differ in D, or as :func:`checked_classes`.
    """
    if test is not None and train.features.shape[1] != test.features.shape[1]:
        raise DataError(
            "Expected train and test features of the same dimension, got "
            f"{train.features.shape[1]} and {test.features.shape[1]}. Were both made by the same "
            "network?"
        )
    assert train.labels is not None
    return checked_classes(train.labels, None if test is None else test.labels)


def checked_classes(labels: Tensor, test_labels: Tensor | None) -> int:
    """Number of classes K, or an error that says why one cannot learn from the labels.

    Args:
        labels: Of the train examples, all known.
        test_labels: The same of the test examples, if there are any.

    Raises:
        DataError: If the train labels are not exactly 0, ..., K - 1 with K >= 2, or a test label is
            not among them.
    """
    present = labels.unique()
    num_classes = int(present[-1]) + 1
    if len(present) != num_classes:
        first_gap = int((present != torch.arange(len(present))).nonzero()[0])
        raise DataError(
            f"Expected train labels that name every class from 0 to K - 1, got {len(present)} "
            f"different labels up to {num_classes - 1}; the first one missing is {first_gap}. "
            "Renumber them, for example with `numpy.unique(labels, return_inverse=True)`."
        )
    if num_classes < 2:
        raise DataError("Expected train labels of at least 2 classes, got the one class 0.")
    if test_labels is not None and test_labels.max() >= num_classes:
        first = int((test_labels >= num_classes).nonzero()[0])
        raise DataError(
            f"Expected test labels in [0, {num_classes - 1}], as in train, got "
            f"{int(test_labels[first])} at row {first}."
        )
    return num_classes


def _checked_labels(labels: Tensor, num_rows: int, split: str) -> Tensor:
    if labels.ndim != 1:
        raise DataError(f"Expected {split} labels of shape (N,), got {tuple(labels.shape)}.")
    if len(labels) != num_rows:
        raise DataError(
            f"Expected as many {split} features as {split} labels, got {num_rows} rows of "
            f"features and {len(labels)} labels. Were both files made from the same list?"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(
            f"Expected integer {split} labels, got {labels.dtype}. Convert them, for example "
            "with `labels.astype('int64')`."
        )
    labels = labels.long()
    if labels.min() < UNKNOWN:
        first = int((labels < UNKNOWN).nonzero()[0])
        raise DataError(
            f"Expected {split} labels of at least 0, or {UNKNOWN} where there is none, got "
            f"{int((labels < UNKNOWN).sum())} others, the first at row {first} "
            f"({int(labels[first])})."
        )
    return labels


def _check_ids(ids: Sequence[str], num_rows: int, split: str) -> None:
    if len(ids) != num_rows:
        raise DataError(
            f"Expected `ids` with an id for each of {num_rows} rows of {split} features, got "
            f"{len(ids)}. Were both made from the same list?"
        )
    blank = [row for row, name in enumerate(ids) if not name.strip()]
    if blank:
        raise DataError(
            f"Expected `ids` that can be read, got white space or nothing at {len(blank)} of "
            f"{num_rows} rows, the first at row {blank[0]}. Give each row a name."
        )
    if len(set(ids)) == num_rows:
        return
    first_row: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in first_row:
            raise DataError(
                f"Expected distinct {split} ids, got '{name}' at rows {first_row[name]} and {row}. "
                "Give each row a name of its own in `ids`."
            )
        first_row[name] = row


def _check_finite(features: Tensor, split: str) -> None:
    first, count = None, 0
    for number, part in enumerate(memory_maps.chunks(features, CHUNK_ROWS)):
        # float32 is what is computed with: a float64 beyond its range is infinite there.
        chunk, start = part.float(), number * CHUNK_ROWS
        if chunk.sum().isfinite():  # one pass; a sum that overflows only costs the second
            continue
        bad = (~chunk.isfinite().all(1)).nonzero().flatten()
        count += len(bad)
        if first is None and len(bad):
            first = start + int(bad[0])
    if count:
        raise DataError(
            f"Expected finite {split} features, got NaN or infinite values in {count} of "
            f"{len(features)} rows, the first at row {first}. Drop or recompute these rows."
        )
