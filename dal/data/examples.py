"""Features with their labels, and what must be true of them before anything is learned."""

import zlib
from typing import NamedTuple

import torch
from torch import Tensor

from dal.errors import DataError

CHUNK_ROWS = 1 << 14  # 25 MiB of float32 at D = 384: the check never holds more than that


class Examples(NamedTuple):
    """Rows of features and their class labels.

    Attributes:
        features: ``(N, D)``, floating point; may be a memory map, and is never written to.
        labels: ``(N,)``, integers in [0, K).
    """

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of rows, where a tuple's own length would be 2."""
        return len(self.labels)

    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change when any feature or label does."""
        checksum = 0
        for tensor in self:
            # Through uint8, since numpy has no name for some of torch's dtypes.
            for chunk in tensor.detach().split(CHUNK_ROWS):
                checksum = zlib.crc32(chunk.contiguous().view(torch.uint8).numpy(), checksum)
        return f"{checksum:08x}"


def checked(examples: Examples, split: str) -> Examples:
    """The same examples with int64 labels, or an error that says what is wrong with them.

    Args:
        examples: What was loaded.
        split: What to call them in a message, ``"train"`` or ``"test"``.

    Raises:
        DataError: If the shapes do not fit, there is no row, a feature is NaN or infinite in
            float32, or a label is negative or not an integer.
    """
    features, labels = examples
    if features.ndim != 2 or labels.ndim != 1:
        raise DataError(
            f"Expected {split} features of shape (N, D) and {split} labels of shape (N,), got "
            f"{tuple(features.shape)} and {tuple(labels.shape)}."
        )
    if len(features) != len(labels):
        raise DataError(
            f"Expected as many {split} features as {split} labels, got {len(features)} rows of "
            f"features and {len(labels)} labels. Were both files made from the same list?"
        )
    if len(labels) == 0:
        raise DataError(f"Expected at least one row of {split} features, got none.")
    if features.shape[1] == 0:
        raise DataError(f"Expected {split} features of at least one dimension, got (N, 0).")
    if not features.is_floating_point():
        raise DataError(
            f"Expected {split} features in float16, float32 or float64, got {features.dtype}. "
            "Convert them, for example with `features.astype('float32')`."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(
            f"Expected integer {split} labels, got {labels.dtype}. Convert them, for example "
            "with `labels.astype('int64')`."
        )
    labels = labels.long()
    if labels.min() < 0:
        first = int((labels < 0).nonzero()[0])
        raise DataError(
            f"Expected {split} labels of at least 0, got {int((labels < 0).sum())} negative ones, "
            f"the first at row {first} ({int(labels[first])}). Drop the rows without a label."
        )
    _check_finite(features, split)
    return Examples(features, labels)


def checked_together(train: Examples, test: Examples) -> int:
    """Number of classes K of two checked splits, or an error that says why they do not fit.

    Raises:
        DataError: If the splits differ in D, the train labels are not exactly 0, ..., K - 1 with
            K >= 2, or a test label is not among them.
    """
    if train.features.shape[1] != test.features.shape[1]:
        raise DataError(
            "Expected train and test features of the same dimension, got "
            f"{train.features.shape[1]} and {test.features.shape[1]}. Were both made by the same "
            "network?"
        )
    present = train.labels.unique()
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
    if test.labels.max() >= num_classes:
        first = int((test.labels >= num_classes).nonzero()[0])
        raise DataError(
            f"Expected test labels in [0, {num_classes - 1}], as in train, got "
            f"{int(test.labels[first])} at row {first}."
        )
    return num_classes


def _check_finite(features: Tensor, split: str) -> None:
    first, count = None, 0
    for start in range(0, len(features), CHUNK_ROWS):
        # float32 is what is computed with: a float64 beyond its range is infinite there.
        chunk = features[start : start + CHUNK_ROWS].float()
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
