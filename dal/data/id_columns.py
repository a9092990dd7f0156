"""Ids from a column of a dataset, as text."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from dal.errors import DataError
from dal.extraction.items import row_name

MAX_SHOWN = 3


def read(dataset: Any, column: str, where: str, lines: Sequence[int] | None = None) -> list[str]:
    """The id of each row, in the words of the user.

    Args:
        dataset: Of the ``datasets`` library.
        column: The column, which exists, of strings or integers.
        where: What to call the rows in a message.
        lines: The line of a file where each of them starts, if they are in a file with lines.

    Raises:
        DataError: If the column holds anything else, a cell is empty, or an id is not unique.
    """
    from datasets import Value

    feature = dataset.features[column]
    kind = feature.dtype if isinstance(feature, Value) else ""
    values = dataset[column][:]
    expected = f"Expected distinct ids in the column '{column}' of {where}"
    # First: a number beside an empty cell may have become a floating-point number.
    empty = [row for row, value in enumerate(values) if _is_empty(value)]
    if empty:
        raise DataError(
            f"{expected}, got an empty cell in {len(empty):,} of {len(values):,} rows, the first "
            f"in {row_name(empty[0], lines)}. Fill them in, or name another column with "
            "data.id_column=NAME."
        )
    if kind not in ("string", "large_string") and not kind.startswith(("int", "uint")):
        raise DataError(
            f"{expected}, strings or integers, got {feature}. Name another column with "
            "data.id_column=NAME."
        )
    ids = [str(value) for value in values]
    repeated = [(name, num) for name, num in Counter(ids).most_common() if num > 1]
    if repeated:
        counts = ", ".join(f"'{name}' ({num:,} rows)" for name, num in repeated[:MAX_SHOWN])
        more = f" and {len(repeated) - MAX_SHOWN:,} more" if len(repeated) > MAX_SHOWN else ""
        raise DataError(
            f"{expected}, got {len(repeated):,} in several rows: {counts}{more}. Make them "
            "distinct, or name another column with data.id_column=NAME."
        )
    return ids


def features_as_text(dataset: Any, columns: Collection[str]) -> Any:
    """What the library should read CSV files as, for values like 0012 to stay as they are.

    Args:
        dataset: As the library reads it if it is told nothing.
        columns: Those of the ids, and others whose values are text.

    Returns:
        The features of the dataset, with these columns as text; None if there is nothing to change.
    """
    from datasets import Features, Value

    if dataset.info.builder_name != "csv":
        return None
    changed = {
        column: Value("string")
        for column in columns
        if column in dataset.column_names and dataset.features[column].dtype != "string"
    }
    return Features({**dataset.features, **changed}) if changed else None


def _is_empty(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
