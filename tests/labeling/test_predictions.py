from pathlib import Path

import numpy as np
from pyarrow import parquet

from dal.labeling import predictions
from dal.labeling.predictions import Predictions

SOME = Predictions(
    ids=["a", "=b", "ü"],
    classes=["cat", "dog", "owl"],
    top=np.array([[1, 0], [0, 2], [1, 2]]),
    probs=np.array([[0.5, 0.25], [1.0, 0.0], [0.75, 0.25]]),
    state=["labeled", "unlabeled", "unlabeled"],
)


def test_a_row_for_each_item(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    predictions.write(SOME, file)
    assert parquet.read_table(file).to_pydict() == {
        "id": ["a", "=b", "ü"],
        "predicted": ["dog", "cat", "dog"],
        "confidence": [0.5, 1.0, 0.75],
        "margin": [0.25, 1.0, 0.5],
        "second": ["cat", "owl", "owl"],
        "state": ["labeled", "unlabeled", "unlabeled"],
    }
    before = file.read_bytes()
    predictions.write(SOME, file)
    assert file.read_bytes() == before


def test_a_single_class_has_no_second(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    single = Predictions(["a"], ["cat"], np.zeros((1, 1), int), np.ones((1, 1)), ["labeled"])
    predictions.write(single, file)
    [row] = parquet.read_table(file).to_pylist()
    assert (row["predicted"], row["second"], row["margin"]) == ("cat", None, None)


def test_counts_are_by_frequency() -> None:
    assert list(SOME.counts().items()) == [("dog", 2), ("cat", 1), ("owl", 0)]
