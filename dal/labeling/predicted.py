"""What a head predicts for the items of a project, and what earlier rounds predicted."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dal.data import FeatureRows, Pool
from dal.errors import RecordError
from dal.labeling import evaluation
from dal.labeling.predictions import Predictions

FILE = "predictions.parquet"


class Prediction(NamedTuple):
    """The two most probable classes of one item, and their probabilities."""

    first: str
    confidence: float
    second: str
    runner_up: float


def by_head(
    head: nn.Module,
    pool: Pool,
    ids: Sequence[str],
    classes: Sequence[str],
    state: Sequence[str],
) -> Predictions:
    """The predictions of a fitted head.

    Args:
        head: Maps features ``(N, D)`` to logits ``(N, K)``.
        pool: The features of the N items.
        ids: What they are called.
        classes: What the K classes are called, at least two.
        state: Of each item, for the record.

    Memory: a few numbers for each item; logits are computed in chunks.
    """
    probs, numbers = top_two(head, FeatureRows(pool.features, scale=pool.scale))
    return Predictions(ids, classes, numbers.numpy(), probs.numpy(), state)


def of(predictions: Predictions, row: int) -> Prediction:
    """The prediction for the item in some row."""
    first, second = (predictions.classes[number] for number in predictions.top[row])
    confidence, runner_up = predictions.probs[row].tolist()
    return Prediction(first, confidence, second, runner_up)


def agreement(
    predictions: Predictions, before: Mapping[str, str], among: Collection[str]
) -> float | None:
    """Share of some items that are predicted as they were before; None if there is none."""
    now = {
        name: predictions.classes[number]
        for name, number in zip(predictions.ids, predictions.top[:, 0].tolist(), strict=True)
        if name in among
    }
    return evaluation.agreement(now, before)


def read(folder: Path, ids: Collection[str] | None = None) -> dict[str, str] | None:
    """The predicted class of items by id, as a round has recorded it; None if it had no head.

    Args:
        folder: Of the round.
        ids: Of which items; all if not given.

    Raises:
        RecordError: If the file is damaged.
    """
    import pyarrow
    from pyarrow import compute, parquet

    file = folder / FILE
    if not file.exists():
        return None
    try:
        table = parquet.read_table(file, columns=["id", "predicted"])
    except (OSError, pyarrow.ArrowException) as error:
        raise RecordError(f"{file} is damaged ({error}). Restore it.") from error
    if ids is not None:
        table = table.filter(compute.is_in(table["id"], pyarrow.array(list(ids), "string")))
    return dict(zip(table["id"].to_pylist(), table["predicted"].to_pylist(), strict=True))


def top_two(head: nn.Module, rows: FeatureRows) -> tuple[Tensor, Tensor]:
    """Probabilities and numbers of the two most probable classes, each ``(N, 2)``.

    Args:
        head: Fitted; its training mode is what it was afterwards.
        rows: Features of the N items.
    """
    is_training = head.training
    head.eval()
    probs, numbers = [], []
    with torch.no_grad():
        for chunk in rows.chunks():
            top = head(chunk).softmax(-1).topk(2, dim=-1)
            probs.append(top.values)
            numbers.append(top.indices)
    head.train(is_training)
    return torch.cat(probs), torch.cat(numbers)
