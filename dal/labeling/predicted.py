"""What a head predicts for every item of a project."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dal.data import FeatureRows, Pool
from dal.errors import RecordError
from dal.labeling import evaluation

FILE = "predictions.parquet"


class Prediction(NamedTuple):
    """The two most probable classes of one item: see :class:`Predicted`."""

    first: str
    second: str
    confidence: float
    margin: float


class Predicted(NamedTuple):
    """The two most probable classes of each of N items.

    Attributes:
        ids: What the items are called.
        first: The most probable class of each.
        second: The next one.
        confidence: The probability of the first, in [0, 1].
        margin: By how much it is above the second.
    """

    ids: Sequence[str]
    first: Sequence[str]
    second: Sequence[str]
    confidence: Sequence[float]
    margin: Sequence[float]

    @staticmethod
    def by_head(
        head: nn.Module, pool: Pool, ids: Sequence[str], classes: Sequence[str]
    ) -> "Predicted":
        """The predictions of a fitted head.

        Args:
            head: Maps features ``(N, D)`` to logits ``(N, K)``.
            pool: The features of the N items.
            ids: What they are called.
            classes: What the K classes are called, at least two.

        Memory: a few numbers for each item; logits are computed in chunks.
        """
        probs, numbers = top_two(head, FeatureRows(pool.features, scale=pool.scale))
        names = [[classes[number] for number in column] for column in numbers.T.tolist()]
        confidence, margin = probs[:, 0], probs[:, 0] - probs[:, 1]
        return Predicted(ids, names[0], names[1], confidence.tolist(), margin.tolist())

    @staticmethod
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

    def of(self, row: int) -> Prediction:
        """The prediction of the item in some row."""
        return Prediction(
            self.first[row], self.second[row], self.confidence[row], self.margin[row]
        )

    def agreement(self, before: Mapping[str, str], among: Collection[str]) -> float | None:
        """Share of some items that are predicted as they were before; None if there is none."""
        now = {
            name: first for name, first in zip(self.ids, self.first, strict=True) if name in among
        }
        return evaluation.agreement(now, before)


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
