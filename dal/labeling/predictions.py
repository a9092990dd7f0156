"""What the model predicts for every item of the pool, as a parquet file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

NUM_ROWS = 2**17  # in a group of the file, and in memory as text
STATES = ("unlabeled", "labeled", "skipped", "handed out")


@dataclass(frozen=True)
class Predictions:
    """The two most probable classes of every item.

    Attributes:
        ids: What the user calls the items, ``(N,)``.
        classes: Names of the classes.
        top: Their numbers, the most probable one first, ``(N, 2)``; ``(N, 1)`` of a single class.
        probs: Their probabilities, of the shape of ``top``.
        state: What has become of each item, ``(N,)``, as its number in :data:`STATES`.
    """

    ids: Sequence[str]
    classes: Sequence[str]
    top: np.ndarray
    probs: np.ndarray
    state: np.ndarray

    def counts(self) -> dict[str, int]:
        """How many items each class is predicted for, the most frequent one first."""
        counts = np.bincount(self.top[:, 0], minlength=len(self.classes))
        order = np.argsort(-counts, kind="stable")
        return {self.classes[label]: int(counts[label]) for label in order}


def write(predictions: Predictions, file: Path) -> None:
    """Writes ``id``, ``predicted``, ``confidence``, ``margin``, ``second`` and ``state``.

    The margin is the difference between the two highest probabilities. It and ``second`` are empty
    if there is a single class.

    Memory: a group of rows as text.

    Raises:
        OSError: If it cannot be written.
    """
    writer: parquet.ParquetWriter | None = None
    try:
        for start in range(0, max(len(predictions.ids), 1), NUM_ROWS):
            table = _table(predictions, slice(start, start + NUM_ROWS))
            if writer is None:
                writer = parquet.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=NUM_ROWS)
    finally:
        if writer is not None:
            writer.close()


def _table(predictions: Predictions, rows: slice) -> pa.Table:
    names = pa.array(predictions.classes, pa.string())
    probs, top = predictions.probs[rows].astype(np.float32), predictions.top[rows]
    state = pa.array(predictions.state[rows], pa.int8())

    def named(labels: np.ndarray) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(labels, pa.int32()), names)

    if probs.shape[1] > 1:
        margin = pa.array(probs[:, 0] - probs[:, 1])
        second = named(top[:, 1])
    else:
        margin = pa.nulls(len(probs), pa.float32())
        second = pa.nulls(len(probs), pa.dictionary(pa.int32(), pa.string()))
    return pa.table(
        {
            "id": pa.array(predictions.ids[rows], pa.string()),
            "predicted": named(top[:, 0]),
            "confidence": pa.array(probs[:, 0]),
            "margin": margin,
            "second": second,
            "state": pa.DictionaryArray.from_arrays(state, pa.array(STATES, pa.string())),
        }
    )
