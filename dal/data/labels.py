"""Labels by the name of their class: numbered alike in all splits, whatever form they have."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from dal.data.examples import UNKNOWN
from dal.errors import DataError, did_you_mean
from dal.extraction.items import row_name

MAX_SHOWN = 3


def number(names: Sequence[str | None], class_names: Sequence[str], where: str) -> np.ndarray:
    """Labels ``(N,)``, int64, of examples whose classes are known by name.

    Args:
        names: The name of each example's class; None if it is unknown, which becomes -1.
        class_names: The names of train's classes, by label.
        where: What to call the examples in a message.

    Raises:
        DataError: If train has no class of a name.

    Example:
        >>> number(["dog", None, "cat"], ["cat", "dog"], "test").tolist()
        [1, -1, 0]
    """
    numbers: dict[str | None, int] = {name: label for label, name in enumerate(class_names)}
    numbers[None] = UNKNOWN
    unknown = Counter(name for name in names if name not in numbers)
    if unknown:
        counts = ", ".join(f"'{name}' ({num:,})" for name, num in unknown.most_common(MAX_SHOWN))
        more = f" and {len(unknown) - MAX_SHOWN:,} more" if len(unknown) > MAX_SHOWN else ""
        hint = did_you_mean(str(next(iter(unknown))), class_names)
        hint = f" {hint}" if hint.startswith("Did you mean") else ""
        raise DataError(
            f"Expected the classes of train in {where}, got {len(unknown):,} that train does not "
            f"have, with the number of examples: {counts}{more}.{hint} Rename or remove them, or "
            "add examples of them to train."
        )
    return np.array([numbers[name] for name in names], np.int64)


def class_names(
    column: Sequence[object], feature: object, where: str, lines: Sequence[int] | None = None
) -> list[str | None]:
    """The name of each example's class, from a column of a dataset.

    Args:
        column: Class labels, integers, strings, or floating-point numbers that are integers.
        feature: What the dataset says of the column.
        where: What to call the examples in a message.
        lines: The line of a file where each of them starts, if they are in a file with lines.

    Returns:
        For an integer, its digits; None for -1, by which datasets without labels mark them.

    Raises:
        DataError: If the column holds anything else, or a label is missing.
    """
    from datasets import ClassLabel, Value

    kind = feature.dtype if isinstance(feature, Value | ClassLabel) else ""
    is_number = kind.startswith(("int", "uint", "float", "bool"))
    if not is_number and kind not in ("string", "large_string"):
        raise DataError(
            f"Expected one label for each example of {where}, an integer, a class label or a "
            f"string, got {feature}. Name another column with data.label_column=NAME, or "
            "data.label_column=null for none."
        )
    missing = [row for row, value in enumerate(column) if value is None]
    if missing:
        raise DataError(
            f"Expected a label for each example of {where}, got none in {len(missing):,} rows, the "
            f"first in {row_name(missing[0], lines)}. Remove such rows, or name another split."
        )
    if not is_number:
        return [_composed(str(value)) for value in column]
    values = np.asarray(column)
    integers = values.astype(np.int64) if np.isfinite(values).all() else None
    if integers is None or (integers != values).any():
        raise DataError(
            f"Expected one label for each example of {where}, got numbers that are not integers. "
            "Name another column with data.label_column=NAME, or data.label_column=null for none."
        )
    if isinstance(feature, ClassLabel):
        names = [_composed(name) for name in feature.names]
        return [names[value] if value >= 0 else None for value in integers]
    return [str(value) if value != UNKNOWN else None for value in integers]


def numbering(names: Sequence[str | None], feature: object) -> list[str]:
    """The names of train's classes, by label: those that train has examples of.

    Class labels keep their order, integers are in theirs, strings in alphabetical order.

    Args:
        names: The name of each train example's class, as :func:`class_names` returns them.
        feature: What the dataset says of the column.
    """
    from datasets import ClassLabel

    present = {name for name in names if name is not None}
    if isinstance(feature, ClassLabel):
        known = dict.fromkeys(map(_composed, feature.names))
        return [name for name in known if name in present]
    is_text = "string" in str(getattr(feature, "dtype", ""))
    return sorted(present, key=None if is_text else int)


def _composed(name: str) -> str:
    """The name with letters and their accents as one character, however they were typed."""
    return unicodedata.normalize("NFC", name)
