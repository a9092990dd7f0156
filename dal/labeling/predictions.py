"""What the model predicts for every item of the pool, as a parquet file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

NUM_ROWS = 2**17  # in a group of the file


@dataclass(frozen=True)
class Predictions:
    """The two most probable classes of every item.

    Attributes:
        ids: What the user calls the items, ``(N,)``.
        classes: Names of the classes.
        top: Their numbers, the most probable one first, ``(N, 2)``; ``(N, 1)`` of a single class.
        probs: Their probabilities, of the shape of ``top``.
        state: Of each item, ``(N,)``, for example ``"labeled"`` or ``"handed out"``.
    """

    ids: Sequence[str]
    classes: Sequence[str]
    top: np.ndarray
    probs: np.ndarray
    state: Sequence[str]

    def counts(self) -> dict[str, int]:
        """How many items each class is predicted for, the most frequent one first."""
        counts = np.bincount(self.top[:, 0], minlength=len(self.classes))
        order = np.argsort(-counts, kind="stable")
        return {self.classes[label]: int(counts[label]) for label in order}


def write(predictions: Predictions, file: Path) -> None:
    """Writes ``id``, ``predicted``, ``confidence``, ``margin``, ``second`` and ``state``.

    The margin is the difference between the two highest probabilities. It and ``second`` are empty
    if there is a single class.

    Raises:
        OSError: If it cannot be written.
    """
    names = pa.array(predictions.classes, pa.string())
    probs = predictions.probs.astype(np.float32)

    def named(labels: np.ndarray) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(labels, pa.int32()), names)

    if probs.shape[1] > 1:
        margin = pa.array(probs[:, 0] - probs[:, 1])
        second = named(predictions.top[:, 1])
    else:
        margin = pa.nulls(len(probs), pa.float32())
        second = pa.nulls(len(probs), pa.dictionary(pa.int32(), pa.string()))
    table = pa.table(
        {
            "id": pa.array(predictions.ids, pa.string()),
            "predicted": named(predictions.top[:, 0]),
            "confidence": pa.array(probs[:, 0]),
            "margin": margin,
            "second": second,
            "state": pa.array(predictions.state, pa.string()).dictionary_encode(),
        }
    )
    parquet.write_table(table, file, compression="zstd", row_group_size=NUM_ROWS)
