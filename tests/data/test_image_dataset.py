from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from dal.data import Embedded, Examples, ImageDataset
from dal.errors import ConfigError, DataError
from dal.extraction import FeatureExtractor, hub
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
        ({"splits": {"train": "trian", "test": "test"}}, "Cannot read split trian"),
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


def test_a_label_that_train_does_not_have(tmp_path: Path) -> None:
    parts = {"train": dataset(2, 0, "string"), "test": dataset(3, 1, "string")}
    DatasetDict(parts).save_to_disk(tmp_path / "data")
    with pytest.raises(DataError, match=r"classes of train in split test.*'eel' \(1\)"):
        dataset_of(path=tmp_path / "data").open("test")


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
