"""An answer: what one person says of one item."""

import math
from dataclasses import dataclass

from dal.errors import DataError
from dal.labeling import class_names


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person says of one item.

    Attributes:
        id: The item, as the file calls it.
        label: The name of its class; None if the person skipped the item.
        annotator: Who says so, if the file tells.
        where: The place to look at when the answer is wrong, such as ``"to_label.csv, line 7"``.
    """

    id: str
    label: str | None
    annotator: str | None
    where: str


def from_values(item: object, label: object, annotator: object, where: str) -> Answer:
    """An answer from the values of a table or of JSON.

    Text stays as it is, but for white space around a label: "01" is not "1". Numbers become their
    digits, whole numbers without a fraction (1.0 is "1", as pandas writes integers beside missing
    values), true and false the words of JSON. None, NaN and empty text are no label.

    Args:
        item: The id.
        label: The class.
        annotator: Who says so.
        where: The place in the file.

    Raises:
        DataError: If there is no id, or one of them is no text and no number.

    Example:
        >>> from_values("a.jpg", 1.0, None, "export.json, record 1")
        Answer(id='a.jpg', label='1', annotator=None, where='export.json, record 1')
    """
    name = item if isinstance(item, str) else _text(item, "an id", where)
    if name is None or not name.strip():
        raise DataError(f"Expected an id in {where}, got none. Add it, or remove the row.")
    text = label if isinstance(label, str) else _text(label, "a label", where)
    who = annotator if isinstance(annotator, str) else _text(annotator, "an annotator", where)
    return Answer(name, class_names.clean(text, where), (who and who.strip()) or None, where)


def _text(value: object, what: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if value.is_integer():
            return str(int(value))
        raise DataError(
            f"Expected {what} in {where}, got the fraction {value}. Write it as text, in quotes."
        )
    shown = str(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
    raise DataError(
        f"Expected {what} in {where}, one text or number, got {type(value).__name__} {shown}."
    )
