"""Ids from a column of a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import DatasetDict, List, Value
from PIL import Image

from dal.data import Embedded, Examples, ImageDataset
from dal.errors import DataError
from dal.extraction import FeatureExtractor
from dal.extraction.inference import Embedding
from tests.data.test_image_dataset import dataset, dataset_of
from tests.images import extractor_of

STRING, INTEGER = Value("string"), Value("int64")


@pytest.fixture
def extractor(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureExtractor:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    return extractor_of(weights, tmp_path / "cache", batch_size=8)


def save_table(folder: Path, names: Sequence[str]) -> Path:
    """A table of paths of images, which are beside it, with ids as they are written."""
    folder.mkdir(exist_ok=True)
    for row in range(len(names)):
        Image.new("RGB", (8, 8), (40 * row, 0, 0)).save(folder.parent / f"{row}.png")
    rows = [f"../{row}.png,{name}\n" for row, name in enumerate(names)]
    (folder / "train.csv").write_text("".join(["path,name\n", *rows]))
    return folder


def with_ids(folder: Path, ids: Sequence[Any], feature: Any, how: str) -> Path:
    """Images whose bytes are in the rows, with a column of ids."""
    part = dataset(len(ids), 0).add_column("file", list(ids), feature=feature)
    if how == "disk":
        DatasetDict({"train": part}).save_to_disk(folder)
    else:
        part.to_parquet(folder / "train-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("how", ["disk", "parquet"])
@pytest.mark.parametrize(
    ("ids", "feature", "expected"),
    [
        (["b 1.jpg", " ä", "0012"], STRING, ["b 1.jpg", " ä", "0012"]),
        ([12, 7, -3], INTEGER, ["12", "7", "-3"]),
        (["x", "y", "z"], Value("large_string"), ["x", "y", "z"]),
    ],
)
def test_ids_from_a_column(
    how: str,
    ids: list[Any],
    feature: Any,
    expected: list[str],
    extractor: FeatureExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = with_ids(tmp_path / "data", ids, feature, how)
    plain = Embedded(dataset_of(path=path, splits={"train": "train"}), extractor)
    assert plain.load()[0].ids is None
    assert "ids" not in plain.items.request("train")
    items = dataset_of(path=path, splits={"train": "train"}, id_column="file", label_column=None)
    with monkeypatch.context() as patch:  # of the same images: what was computed is used
        patch.setattr(Embedding, "predict_step", lambda *_: pytest.fail("computed"))
        first = Embedded(items, extractor).load()[0]
        assert (first.ids, first.labels) == (expected, None)
        path.rename(tmp_path / "away")  # found again by name alone
        assert Embedded(items, extractor).load()[0].ids == expected


@pytest.mark.parametrize(
    "names", [["0012", "012", "12"], ["7", "6", "5"], ["1e3", "1.50", "x"], ["1.0", "01", "1"]]
)
def test_ids_in_a_table_stay_as_they_were_written(names: list[str], tmp_path: Path) -> None:
    path = save_table(tmp_path / "table", names)
    items = ImageDataset(path=path, image_column="path", label_column=None, id_column="name")
    assert items.open("train").ids == names


def test_ids_that_change_are_noticed(extractor: FeatureExtractor, tmp_path: Path) -> None:
    def load() -> Examples:
        items = ImageDataset(
            path=tmp_path / "table",
            image_column="path",
            label_column=None,
            id_column="name",
            splits={"train": "train"},
        )
        return Embedded(items, extractor).load()[0]

    for names in (["a", "b"], ["b", "a"], ["1", "2"]):
        save_table(tmp_path / "table", names)
        assert load().ids == names


@pytest.mark.parametrize(
    ("ids", "feature", "message"),
    [
        (["a", "b", "a"], STRING, r"'file' of split train .*, got 1 in several rows: 'a' \(2 rows"),
        (["a", None, "b"], STRING, r"an empty cell in 1 of 3 rows, the first in row 1\. Fill"),
        (["a", "b", " "], STRING, "an empty cell in 1 of 3 rows, the first in row 2"),
        ([1.0, float("nan"), 2.0], Value("float64"), "an empty cell in 1 of 3 rows"),
        ([1.0, 2.0, 3.5], Value("float64"), r"strings or integers, got Value\('float64'\)"),
        ([True, False, True], Value("bool"), r"strings or integers, got Value\('bool'\)"),
        ([["a"], ["b"], ["c"]], List(STRING), "strings or integers, got List"),
    ],
)
def test_ids_that_cannot_be_used(
    ids: list[Any], feature: Any, message: str, tmp_path: Path
) -> None:
    path = with_ids(tmp_path / "data", ids, feature, "disk")
    with pytest.raises(DataError, match=f"Expected distinct ids in the column .*{message}"):
        dataset_of(path=path, id_column="file").open("train")


def test_a_column_of_ids_that_is_not_there(tmp_path: Path) -> None:
    path = with_ids(tmp_path / "data", ["a", "b", "c"], STRING, "disk")
    with pytest.raises(DataError, match=r"column 'fiel'.*data\.id_column.*Did you mean 'file'"):
        dataset_of(path=path, id_column="fiel").open("train")
