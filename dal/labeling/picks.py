"""What is handed out to people: the items of a round that someone should label, best first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dal.errors import DataError

Kind = Literal["image", "text", "id"]


@dataclass(frozen=True)
class Pick:
    """One item that someone should label.

    Attributes:
        rank: From 1, in order of selection.
        id: What the user calls the item, unchanged.
        path: Where its file is, if it is one of the user's files.
        text: The text, if the item is one.
        thumbnail: A small JPEG, if the item is an image.
        predicted: The most probable class, once there is a model.
        confidence: Its probability.
        score: What the strategy selected the item by, if it has a score.
        reason: Why it was selected, in a short phrase.
    """

    rank: int
    id: str
    path: str | None = None
    text: str | None = None
    thumbnail: bytes | None = None
    predicted: str | None = None
    confidence: float | None = None
    score: float | None = None
    reason: str = ""


def common_kind(picks: Sequence[Pick]) -> Kind:
    """What people see of the items: images, texts, or their ids alone (of embeddings).

    Raises:
        DataError: If they see one thing of some items and another of others.

    Example:
        >>> common_kind([Pick(1, "a", text="A text."), Pick(2, "b", text="Another.")])
        'text'
    """
    found = {_kind(pick): pick.id for pick in picks}
    if len(found) > 1:
        shown = ", ".join(f"{kind} ({example!r})" for kind, example in sorted(found.items()))
        raise DataError(
            f"Expected items of one kind, got several: {shown}. Make one project for each kind."
        )
    return next(iter(found), "id")


def _kind(pick: Pick) -> Kind:
    if pick.thumbnail is not None:
        return "image"
    return "id" if pick.text is None else "text"
