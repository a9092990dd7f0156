import datetime
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from dal.data import Embedded, Examples, ImageDataset
from dal.data.image_dataset import _ids
from dal.errors import ConfigError, DataError
from dal.extraction import FeatureExtractor, hub
from dal.extraction.inference import Embedding
from dal.extraction.items import MissingSplitError
from tests.images import extractor_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
dataset_of = partial(ImageDataset, image_column="img", label_column="kind")


@pytest.fixture
def extractor(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureExtractor:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    return extractor_of(weights, tmp_path / "cache", batch_size=8)


def labels_of(examples: Examples | None) -> list[int]:
    assert examples is not None
    assert examples.labels is not None
    labels: list[int] = examples.labels.tolist()
    return labels


def dataset(num: int, seed: int, labels: str = "class") -> Dataset:
    """Random images with labels as class labels, as integers or as strings."""
    rng = np.random.default_rng(seed)
    names = ["cat", "dog", "eel"]
    values = [number % 3 for number in range(num)]
    kinds = {
        "class": (values, ClassLabel(names=names)),
        "integer": (values, Value("int64")),
        "string": ([names[value] for value in values], Value("string")),
    }
    column, feature = kinds[labels]
    pixels = rng.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)
    return Dataset.from_dict(
        {"img": [Image.fromarray(image) for image in pixels], "kind": column},
        Features({"img": ImageFeature(), "kind": feature}),
    )


def saved(folder: Path, how: str, labels: str) -> Path:
    parts = {"train": dataset(12, 0, labels), "test": dataset(6, 1, labels)}
    if how == "disk":
        DatasetDict(parts).save_to_disk(folder)
    else:
        for name, part in parts.items():
            part.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("how", ["disk", "parquet"])
@pytest.mark.parametrize("labels", ["class", "integer", "string"])
def test_datasets_on_disk(
    how: str, labels: str, extractor: FeatureExtractor, tmp_path: Path
) -> None:
    path = saved(tmp_path / "data", how, labels)
    source = Embedded(dataset_of(path=path), extractor)
    train, test = source.load()
    assert labels_of(train) == [0, 1, 2] * 4
    assert labels_of(test) == [0, 1, 2] * 2
    assert train.ids is None
    assert test is not None
    names = ["0", "1", "2"] if labels == "integer" else ["cat", "dog", "eel"]
    assert train.class_names == test.class_names == names
    path.rename(tmp_path / "away")
    assert torch.equal(source.load()[0].features, train.features)


def test_splits_are_joined(extractor: FeatureExtractor, tmp_path: Path) -> None:
    path = saved(tmp_path / "data", "disk", "string")
    train, test = Embedded(dataset_of(path=path), extractor).load()
    both = {"train": "train+test", "test": None}
    joined, none = Embedded(dataset_of(path=path, splits=both), extractor).load()
    assert test is not None
    assert none is None
    expected = torch.cat([train.features, test.features])
    torch.testing.assert_close(joined.features, expected, atol=1e-6, rtol=0)
    assert labels_of(joined) == labels_of(train) + labels_of(test)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"image_column": "imgs"},
            r"column 'imgs' in split train.*image_column.*Did you mean 'img'",
        ),
        ({"label_column": "label"}, r"column 'label' .*label_column.*Known: img, kind"),
        ({"image_column": "kind", "label_column": None}, "Expected images in the column 'kind'"),
        (
            {"splits": {"train": "trian", "test": "test"}},
            "Cannot read split trian.*found train",
        ),
        ({"path": "nowhere"}, "data.path to be a folder, found no .*nowhere"),
    ],
)
def test_datasets_that_are_not_as_expected(
    kwargs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "data", "disk", "class")
    items = dataset_of(**({"path": path} | kwargs))
    assert items.splits["train"] is not None
    with pytest.raises(DataError, match=message):
        items.open(items.splits["train"])


def part_of(labels: Sequence[Any], feature: Any) -> Dataset:
    """Random images with these labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    return Dataset.from_dict(
        {"image": [Image.fromarray(image) for image in pixels], "label": list(labels)},
        Features({"image": ImageFeature(), "label": feature}),
    )


STRING, INTEGER = Value("string"), Value("int64")
ABC = ClassLabel(names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("train", "test", "class_names", "expected"),
    [
        # Class labels of which test lacks one, and in another order.
        (
            part_of([0, 1, 2], ABC),
            part_of([1, 0], ClassLabel(names=["a", "c"])),
            ["a", "b", "c"],
            [2, 0],
        ),
        (
            part_of([0, 1, 2], ABC),
            part_of([0, 1, 2], ClassLabel(names=["c", "b", "a"])),
            ["a", "b", "c"],
            [2, 1, 0],
        ),
        # Of three classes, two are left.
        (part_of([0, 2], ABC), part_of([2, 0], ABC), ["a", "c"], [1, 0]),
        # A class label without labels, as some test splits have it.
        (part_of([0, 1, 2], ABC), part_of([-1, 2], ABC), ["a", "b", "c"], [-1, 2]),
        # Numbers that do not start from 0, or have gaps; and those of another type.
        (part_of([1, 10, 2], INTEGER), part_of([10, 1], INTEGER), ["1", "2", "10"], [2, 0]),
        (part_of([1.0, 2.0], Value("float32")), part_of([2], INTEGER), ["1", "2"], [1]),
        (part_of([True, False], Value("bool")), part_of([1], INTEGER), ["0", "1"], [1]),
        # One name in two Unicode forms.
        (
            part_of(["caf\u00e9", "cafe\u0301", "ant"], STRING),
            part_of([1, 0], ClassLabel(names=["ant", "cafe\u0301"])),
            ["ant", "caf\u00e9"],
            [1, 0],
        ),
        # Strings in one, class labels or numbers in the other.
        (part_of(["c", "a", "b"], STRING), part_of([2, 0], ABC), ["a", "b", "c"], [2, 0]),
        (part_of([2, 1], INTEGER), part_of(["2", "1"], STRING), ["1", "2"], [1, 0]),
    ],
)
def test_labels_are_numbered_by_the_names_of_trains_classes(
    train: Dataset, test: Dataset, class_names: list[str], expected: list[int], tmp_path: Path
) -> None:
    DatasetDict({"train": train, "test": test}).save_to_disk(tmp_path / "data")
    split = ImageDataset(path=tmp_path / "data").open("test")
    assert split.labels is not None
    assert (split.class_names, split.labels.tolist()) == (class_names, expected)


def test_labels_depend_on_the_train_split(extractor: FeatureExtractor, tmp_path: Path) -> None:
    parts = {
        "small": part_of(["cat", "dog"], STRING),
        "big": part_of(["bird", "cat", "dog"], STRING),
        "test": part_of(["cat", "dog"], STRING),
    }
    DatasetDict(parts).save_to_disk(tmp_path / "data")
    for _ in range(2):
        for train, expected in (("small", [0, 1]), ("big", [1, 2])):
            splits = {"train": train, "test": "test"}
            items = ImageDataset(path=tmp_path / "data", splits=splits)
            assert labels_of(Embedded(items, extractor).load()[1]) == expected


def test_classes_that_train_does_not_have(tmp_path: Path) -> None:
    parts = {"train": part_of([0, 1], ABC), "test": part_of([2, 2, 0], ABC)}
    DatasetDict(parts).save_to_disk(tmp_path / "data")
    with pytest.raises(DataError, match=r"classes of train in split test .*got 1 .*'c' \(2\)"):
        ImageDataset(path=tmp_path / "data").open("test")


@pytest.mark.parametrize(
    ("labels", "feature", "message"),
    [
        ([["a"], ["b", "c"]], List(STRING), r"got List\(Value\('string'\)\)"),
        ([[0, 1], [1, 0]], List(INTEGER), "got List"),
        ([{"box": 1}, {"box": 2}], {"box": INTEGER}, "got {'box'"),
        ([datetime.date(2020, 1, 1)] * 2, Value("date32"), r"got Value\('date32'\)"),
        ([0.5, 1.0], Value("float32"), "got numbers that are not integers"),
        ([float("nan"), 1.0], Value("float32"), "got numbers that are not integers"),
        ([None, "a"], STRING, "got none in 1 rows, the first in row 0"),
    ],
)
def test_labels_of_another_kind_are_refused_before_anything_is_computed(
    labels: list[Any],
    feature: Any,
    message: str,
    extractor: FeatureExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Embedding, "predict_step", lambda *_: pytest.fail("computed"))
    part = part_of(labels, feature)
    DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "data")
    with pytest.raises(DataError, match=f"a label|one label for each.*{message}"):
        Embedded(ImageDataset(path=tmp_path / "data"), extractor).load()
    with pytest.raises(DataError, match="one label for each .*got Image.*label_column=null"):
        ImageDataset(path=tmp_path / "data", label_column="image").open("train")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with tables of the paths of images, which are beside it."""
    folder = tmp_path / "table"
    folder.mkdir()
    (tmp_path / "img").mkdir()
    rows = []
    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(tmp_path / "img" / f"{number}.png")
        rows.append(f"../img/{number}.png,{'ab'[number % 2]}\n")
    (folder / "train.csv").write_text("".join(["path,label\n", *rows]))
    (folder / "test.csv").write_text("".join(["path,label\n", *rows[:2]]))
    return folder


def test_a_table_of_paths_is_as_old_as_its_images(
    table: Path, extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> Examples:
        return Embedded(ImageDataset(path=table, image_column="path"), extractor).load()[0]

    first = load()
    assert (first.ids, labels_of(first)) == ([f"../img/{n}.png" for n in range(6)], [0, 1] * 3)
    Image.new("RGB", (8, 8), (0, 0, 255)).save(table.parent / "img" / "3.png")
    second = load()
    changed = (second.features != first.features).any(1)
    assert changed.tolist() == [False, False, False, True, False, False]
    with monkeypatch.context() as patch:
        patch.setattr(Embedding, "predict_step", lambda *_: pytest.fail("computed"))
        (table / "README.md").write_text("Images.")
        assert torch.equal(load().features, second.features)
        (table.parent / "img").rename(table.parent / "gone")  # only the cache is left
        assert torch.equal(load().features, second.features)


def test_names_of_the_files_are_ids_if_they_are_kept(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": f"{number % 3}.png"} for number in range(4)]
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    for num, expected in ((3, ["0.png", "1.png", "2.png"]), (4, None)):  # two have one name
        whole = Dataset.from_dict(
            {"image": [row | {"path": str(tmp_path / str(row["path"]))} for row in rows[:num]]},
            Features({"image": ImageFeature()}),
        )
        DatasetDict({"train": whole}).save_to_disk(tmp_path / f"data{num}")
        items = ImageDataset(path=tmp_path / f"data{num}", label_column=None)
        found = items.open("train").ids
        assert (None if found is None else [Path(name).name for name in found]) == expected
        if num == 3:
            two = items.stored.read("train[1:]").dataset
            assert two.num_rows == 2
            part = _ids(two, "image", tmp_path)
            assert [Path(name).name for name in part or []] == ["1.png", "2.png"]


def test_splits_of_a_saved_dataset(tmp_path: Path) -> None:
    part_of(["a", "b", "a"], STRING).save_to_disk(tmp_path / "one")
    assert len(ImageDataset(path=tmp_path / "one").open("train")) == 3
    part = ImageDataset(path=tmp_path / "one", splits={"train": "train[:2]"})
    assert len(part.open("train[:2]")) == 2
    with pytest.raises(MissingSplitError, match=r"split test of .*one: found train\. Name"):
        ImageDataset(path=tmp_path / "one").open("test")
    saved(tmp_path / "disk", "disk", "class")
    saved(tmp_path / "parquet", "parquet", "class")
    for folder in ("disk", "parquet"):
        assert len(dataset_of(path=tmp_path / folder).open("train[:5]+test")) == 11
        with pytest.raises(MissingSplitError, match="split tset of .*train.*test.*Name the splits"):
            dataset_of(path=tmp_path / folder).open("tset")
    DatasetDict({"train": part_of(["a"], STRING).select([])}).save_to_disk(tmp_path / "empty")
    with pytest.raises(DataError, match="rows"):
        ImageDataset(path=tmp_path / "empty").open("train")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            [True, False],
            [0, 1],
            "Cannot read 1 of the 2 images.*row 1 of split train .* row is empty",
        ),
        ([True, True], [0, None], "a label for each example of split train .* row 1"),
    ],
)
def test_rows_without_image_or_label(
    images: list[bool],
    labels: list[int | None],
    message: str,
    extractor: FeatureExtractor,
    tmp_path: Path,
) -> None:
    features = Features({"image": ImageFeature(), "label": Value("int64")})
    column = [Image.new("RGB", (4, 4)) if has_image else None for has_image in images]
    part = Dataset.from_dict({"image": column, "label": labels}, features)
    DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        Embedded(ImageDataset(path=tmp_path / "data"), extractor).load()


def test_a_dataset_of_the_hub_is_read_from_its_snapshot(
    extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = saved(tmp_path / COMMIT, "parquet", "class")
    asked = []

    def found(repo_id: str, revision: str, repo_type: str, *_: Any, local_hint: str) -> Path:
        asked.append((repo_id, revision, repo_type, local_hint))
        return snapshot

    monkeypatch.setattr(hub, "snapshot", found)
    source = Embedded(dataset_of("o/n", "main"), extractor)
    first, _ = source.load()
    assert asked[0] == ("o/n", "main", "dataset", "data.path=DIR")
    assert source.entry("train").manifest["content"]["images"]["commit"] == COMMIT
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: pytest.fail("asked the hub"))
    assert torch.equal(source.load()[0].features, first.features)


def test_a_dataset_has_an_id_or_a_path() -> None:
    with pytest.raises(ConfigError, match="`id` or `path`"):
        ImageDataset()
    with pytest.raises(ConfigError, match="`data.path`, got an empty value"):
        ImageDataset(path="")
