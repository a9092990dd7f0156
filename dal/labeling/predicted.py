"""What a head predicts for the items of a project, and what earlier rounds predicted."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pyarrow import compute, parquet
from torch import Tensor, nn

from dal.data import FeatureRows, Pool
from dal.errors import RecordError
from dal.labeling.predictions import NUM_ROWS, Predictions

FILE = "predictions.parquet"


class Prediction(NamedTuple):
    """The two most probable classes of one item, and their probabilities."""

    first: str
    confidence: float
    second: str
    runner_up: float


def by_head(head: nn.Module, pool: Pool, classes: Sequence[str], state: np.ndarray) -> Predictions:
    """The predictions of a fitted head.

    Args:
        head: Maps features ``(N, D)`` to logits ``(N, K)``.
        pool: The N items.
        classes: What the K classes are called, at least two.
        state: Of each item, for the record.

    Memory: a few numbers for each item; logits are computed in chunks.
    """
    rows = FeatureRows(pool.features, scale=pool.scale, listener=pool.listener)
    probs, numbers = top_two(head, rows)
    return Predictions(pool.names, classes, numbers.numpy(), probs.numpy(), state)


def of(predictions: Predictions, row: int) -> Prediction:
    """The prediction for the item in some row."""
    first, second = (predictions.classes[number] for number in predictions.top[row])
    confidence, runner_up = predictions.probs[row].tolist()
    return Prediction(first, confidence, second, runner_up)


def agreement(found: Predictions, folder: Path, is_counted: np.ndarray) -> float | None:
    """Share of some items that are predicted as in an earlier round.

    Args:
        found: The predictions now.
        folder: Of the earlier round.
        is_counted: Which items count, ``(N,)``, bool.

    Returns:
        In [0, 1]; None if that round had no head, or none of these items.

    Raises:
        RecordError: If its file is damaged.
    """
    num_same = num_both = start = 0
    row_of: dict[str, int] = {}
    for ids, predicted in _batches(folder):
        here = pa.array(found.ids[start : start + len(ids)], pa.string())
        if here.equals(ids):  # as ever, unless items have come or gone
            rows = np.arange(start, start + len(ids))
        else:
            row_of = row_of or {name: row for row, name in enumerate(found.ids)}
            rows = np.array([row_of.get(name, -1) for name in ids.to_pylist()], dtype=np.int64)
        start += len(ids)
        is_both = (rows >= 0) & is_counted[rows]
        numbers = {name: number for number, name in enumerate(found.classes)}
        encoded = predicted.dictionary_encode()
        of_entry = np.array([numbers.get(name, -1) for name in encoded.dictionary.to_pylist()])
        before = of_entry[encoded.indices.to_numpy()[is_both]]
        num_same += int((found.top[rows[is_both], 0] == before).sum())
        num_both += int(is_both.sum())
    return num_same / num_both if num_both else None


def read(folder: Path, ids: Collection[str]) -> dict[str, str] | None:
    """The predicted class of some items by id, as a round has recorded it; None if it had no head.

    Args:
        folder: Of the round.
        ids: Of which items.

    Raises:
        RecordError: If the file is damaged.
    """
    if not (folder / FILE).exists():
        return None
    found: dict[str, str] = {}
    wanted = pa.array(list(ids), pa.string())
    for names, predicted in _batches(folder):
        is_wanted = compute.is_in(names, wanted)
        kept = (column.filter(is_wanted).to_pylist() for column in (names, predicted))
        found.update(zip(*kept, strict=True))
    return found


def _batches(folder: Path) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Ids and predicted classes of the items, as a round has recorded them, a part at a time."""
    file = folder / FILE
    if not file.exists():
        return
    try:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(NUM_ROWS, columns=["id", "predicted"]):
                predicted = batch["predicted"]
                if pa.types.is_dictionary(predicted.type):
                    predicted = predicted.dictionary_decode()
                yield batch["id"], predicted
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"{file} is damaged ({error}). Restore it.") from error


def top_two(head: nn.Module, rows: FeatureRows) -> tuple[Tensor, Tensor]:
    """Probabilities and numbers, int32, of the two most probable classes, each ``(N, 2)``.

    Args:
        head: Fitted; its training mode is what it was afterwards.
        rows: Features of the N items.
    """
    is_training = head.training
    head.eval()
    probs, numbers = torch.empty(len(rows), 2), torch.empty(len(rows), 2, dtype=torch.int32)
    start = 0
    with torch.no_grad():
        for chunk in rows.chunks():
            top = head(chunk).softmax(-1).topk(2, dim=-1)
            part = slice(start, start + len(chunk))
            probs[part], numbers[part] = top.values, top.indices
            start += len(chunk)
    head.train(is_training)
    return probs, numbers
