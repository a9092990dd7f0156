from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from dal.data.row_numbers import RowNumbers
from dal.errors import RecordError
from dal.labeling import predicted, predictions
from dal.labeling.predictions import Predictions

SOME = Predictions(
    ids=["a", "=b", "ü"],
    classes=["cat", "dog", "owl"],
    top=np.array([[1, 0], [0, 2], [1, 2]]),
    probs=np.array([[0.5, 0.25], [1.0, 0.0], [0.75, 0.25]]),
    state=np.array([1, 0, 0]),
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
    single = Predictions(["a"], ["cat"], np.zeros((1, 1), int), np.ones((1, 1)), np.array([1]))
    predictions.write(single, file)
    [row] = parquet.read_table(file).to_pylist()
    assert (row["predicted"], row["second"], row["margin"]) == ("cat", None, None)


def test_counts_are_by_frequency() -> None:
    assert list(SOME.counts().items()) == [("dog", 2), ("cat", 1), ("owl", 0)]


def drawn(ids: Sequence[str], seed: int, classes: Sequence[str] = ("cat", "dog")) -> Predictions:
    generator = np.random.default_rng(seed)
    top = generator.permuted(np.tile([0, 1], (len(ids), 1)), axis=1)
    probs = np.tile([0.75, 0.25], (len(ids), 1))
    return Predictions(ids, classes, top, probs, np.zeros(len(ids), np.int8))


def test_many_items_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "NUM_ROWS", 7)
    known = drawn(RowNumbers(20), 0)
    predictions.write(known, tmp_path / "predictions.parquet")
    with parquet.ParquetFile(tmp_path / "predictions.parquet") as opened:
        assert [opened.metadata.row_group(i).num_rows for i in range(3)] == [7, 7, 6]
        assert opened.read()["id"].to_pylist() == [*map(str, range(20))]
    expected = {"3": known.classes[known.top[3, 0]], "19": known.classes[known.top[19, 0]]}
    assert predicted.read(tmp_path, ["19", "3", "20"]) == expected
    assert predicted.read(tmp_path / "nowhere", ["3"]) is None


@pytest.mark.parametrize("ids", [RowNumbers(20), [f"n{row}" for row in range(20)]])
def test_agreement_is_of_items_in_both_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: Sequence[str]
) -> None:
    for module in (predictions, predicted):
        monkeypatch.setattr(module, "NUM_ROWS", 6)
    before, after = drawn(ids, 0, ("dog", "emu")), drawn(ids, 1)
    predictions.write(before, tmp_path / "predictions.parquet")
    is_counted = np.random.default_rng(2).random(20) < 0.7
    # The first class of the one is the second class of the other.
    is_same = (before.top[:, 0] == 0) & (after.top[:, 0] == 1)
    share = is_same[is_counted].mean()
    assert 0 < share < 1
    assert predicted.agreement(after, tmp_path, is_counted) == pytest.approx(share)
    # Items have come and gone, and others are in another row.
    kept = np.arange(20)[::-1][3:15]
    moved = Predictions(
        ["new", *(ids[row] for row in kept)],
        after.classes,
        np.concatenate([after.top[:1], after.top[kept]]),
        np.ones((13, 2)),
        np.zeros(13, np.int8),
    )
    counted = np.concatenate([[True], is_counted[kept]])
    share = is_same[kept][is_counted[kept]].mean()
    assert predicted.agreement(moved, tmp_path, counted) == pytest.approx(share)
    assert predicted.agreement(moved, tmp_path, counted & False) is None
    assert predicted.agreement(moved, tmp_path / "nowhere", counted) is None


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match="is damaged"):
        predicted.read(tmp_path, ["a"])
