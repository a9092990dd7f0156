import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from dal.data import HubImageFolder, ImageDataset, ImageFolder
from dal.errors import ConfigError, DataError
from dal.extraction import Backbone, FeatureCache, FeatureExtractor, Transform, hub
from dal.runtime.trainers import DEFAULT_TRAINER
from tests.images import save_images

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def extractor(weights: Path, tmp_path: Path) -> FeatureExtractor:
    return FeatureExtractor(
        Backbone(weights=weights, transform=Transform(32, 28)),
        FeatureCache(tmp_path / "cache"),
        partial(DEFAULT_TRAINER, accelerator="cpu"),
        dtype="float32",
        num_workers=0,
    )


def test_a_folder_is_a_datamodule(
    images: Path, extractor: FeatureExtractor, tmp_path: Path
) -> None:
    data = ImageFolder(images, extractor, dev_fraction=0.2)
    data.setup()
    assert (len(data.train), len(data.test), len(data.dev_indices)) == (17, 5, 3)
    assert (data.num_classes, data.num_features) == (2, 16)
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1]
    maps = Path("/proc/self/maps")
    if maps.exists():  # on Linux
        assert str(tmp_path / "cache" / "features") in maps.read_text()


def test_a_folder_without_splits_holds_a_part_out(
    images: Path, extractor: FeatureExtractor
) -> None:
    splits = {"train": "train", "test": None}
    data = ImageFolder(images / "train", extractor, splits)
    train, test = data.load()
    assert (len(train), len(test)) == (13, 4)
    assert test.labels.bincount().tolist() == [2, 2]
    again, _ = ImageFolder(images / "train", extractor, splits).load()
    assert torch.equal(train.features, again.features)
    other, _ = ImageFolder(images / "train", extractor, splits, split_seed=1).load()
    assert not torch.equal(train.features, other.features)
    assert data.available_splits() == ["train"]


def test_images_in_the_folder_itself_have_no_labels(
    images: Path, extractor: FeatureExtractor
) -> None:
    data = ImageFolder(images / "train" / "ant", extractor)
    features, labels = data.entry("train").load()
    assert (len(features), labels) == (9, None)
    with pytest.raises(DataError, match="Expected labels of the images in train"):
        data.load()


def test_classes_are_numbered_by_train(images: Path, extractor: FeatureExtractor) -> None:
    shutil.rmtree(images / "test" / "ant")
    _, test = ImageFolder(images, extractor).load()
    assert test.labels.tolist() == [1, 1]
    (images / "test" / "be").mkdir()
    Image.new("L", (4, 4)).save(images / "test" / "be" / "1.png")
    with pytest.raises(DataError, match=r"one of train's classes, got .*test/be/1.png.*'bee'"):
        ImageFolder(images, extractor).load()


def test_other_files_are_passed_over(images: Path, extractor: FeatureExtractor) -> None:
    (images / "train" / "ant" / "notes.txt").write_text("x")
    (images / "train" / "ant" / "._000.png").write_bytes(b"x")
    (images / "train" / ".thumbnails").mkdir()
    Image.new("L", (4, 4)).save(images / "train" / ".thumbnails" / "1.png")
    (images / "train" / "ant" / "deeper").mkdir()
    Image.new("L", (4, 4)).save(images / "train" / "ant" / "deeper" / "1.PNG")
    entry = ImageFolder(images, extractor).entry("train")
    assert len(entry) == 18
    assert entry.manifest["class_names"] == ["ant", "bee"]


def test_folders_that_are_not_as_expected(images: Path, extractor: FeatureExtractor) -> None:
    with pytest.raises(DataError, match="found no .*nowhere"):
        ImageFolder(images / "nowhere", extractor).load()
    with pytest.raises(DataError, match="a folder 'val' in .*found test, train.*splits.test=null"):
        ImageFolder(images, extractor, {"train": "train", "test": "val"}).load()
    Image.new("L", (4, 4)).save(images / "train" / "stray.png")
    with pytest.raises(DataError, match="an image in a folder of a class, got .*stray.png"):
        ImageFolder(images, extractor).load()


@pytest.mark.parametrize(
    ("splits", "message"),
    [({"train": None}, "`splits.train`"), ({"train": "a", "tset": "b"}, "Did you mean 'test'")],
)
def test_splits_are_checked(splits: dict[str, str | None], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImageFolder("x", splits=splits)


def test_an_extractor_is_needed(images: Path) -> None:
    with pytest.raises(ConfigError, match="Expected an `extractor`"):
        ImageFolder(images).setup()


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
    how: str,
    labels: str,
    extractor: FeatureExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    path = saved(tmp_path / "data", how, labels)
    data = ImageDataset(path=path, image_column="img", label_column="kind", extractor=extractor)
    train, test = data.load()
    assert train.labels.tolist() == [0, 1, 2] * 4
    assert test.labels.tolist() == [0, 1, 2] * 2
    names = data.entry("test").manifest["class_names"]
    assert names == (None if labels == "integer" else ["cat", "dog", "eel"])
    both = ImageDataset(
        path=path,
        image_column="img",
        label_column="kind",
        extractor=extractor,
        splits={"train": "train+test", "test": "test"},
    )
    joined, _ = both.load()
    assert torch.allclose(joined.features, torch.cat([train.features, test.features]), atol=1e-6)
    path.rename(tmp_path / "away")
    assert torch.equal(data.load()[0].features, train.features)


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
    kwargs: dict[str, Any], message: str, extractor: FeatureExtractor, tmp_path: Path
) -> None:
    path = saved(tmp_path / "data", "disk", "class")
    arguments: dict[str, Any] = {
        "path": path,
        "image_column": "img",
        "label_column": "kind",
    } | kwargs
    with pytest.raises(DataError, match=message):
        ImageDataset(extractor=extractor, **arguments).load()


def test_rows_without_image_or_label(extractor: FeatureExtractor, tmp_path: Path) -> None:
    features = Features({"image": ImageFeature(), "label": Value("int64")})
    image = Image.new("RGB", (4, 4))
    for number, (images, labels, message) in enumerate(
        (
            ([image, None], [0, 1], "Cannot read the image row 1 of split train"),
            ([image, image], [0, None], "a label for every image in split train .* row 1"),
        )
    ):
        part = Dataset.from_dict({"image": images, "label": labels}, features)
        path = tmp_path / f"data{number}"
        DatasetDict({"train": part, "test": part}).save_to_disk(path)
        with pytest.raises(DataError, match=message):
            ImageDataset(path=path, extractor=extractor).load()


def test_a_dataset_of_the_hub_is_read_from_its_snapshot(
    extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = saved(tmp_path / COMMIT, "parquet", "class")
    asked = []

    def found(repo_id: str, revision: str, repo_type: str, *_: Any, local_hint: str) -> Path:
        asked.append((repo_id, revision, repo_type, local_hint))
        return snapshot

    monkeypatch.setattr(hub, "snapshot", found)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    data = ImageDataset("o/n", "main", image_column="img", label_column="kind", extractor=extractor)
    first, _ = data.load()
    assert asked[0] == ("o/n", "main", "dataset", "data.path=DIR")
    entry = data.entry("train")
    assert entry.manifest["content"]["images"]["commit"] == COMMIT
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: pytest.fail("asked the hub"))
    assert torch.equal(data.load()[0].features, first.features)


def test_an_archive_of_the_hub(
    extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_images(tmp_path / "raw" / "deep" / "train", {"a": 3, "b": 3})
    save_images(tmp_path / "raw" / "deep" / "test", {"a": 2, "b": 1})
    (tmp_path / COMMIT).mkdir()
    with zipfile.ZipFile(tmp_path / COMMIT / "images.zip", "w") as archive:
        for file in (tmp_path / "raw").rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path / "raw"))
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: tmp_path / COMMIT)
    data = HubImageFolder("o/snacks", "images.zip", extractor=extractor)
    train, test = data.load()
    assert (len(train), len(test)) == (6, 3)
    local = HubImageFolder(
        "o/snacks", "images.zip", path=tmp_path / "raw" / "deep", extractor=extractor
    )
    assert torch.equal(local.load()[0].features, train.features)
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: pytest.fail("asked the hub"))
    again = HubImageFolder("o/snacks", "images.zip", extractor=extractor)
    assert torch.equal(again.load()[1].features, test.features)


def test_an_archive_that_is_damaged(
    extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / COMMIT).mkdir()
    (tmp_path / COMMIT / "images.zip").write_bytes(b"no archive")
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: tmp_path / COMMIT)
    with pytest.raises(DataError, match="Cannot unpack .*images.zip"):
        HubImageFolder("o/n", "images.zip", extractor=extractor).load()
    with pytest.raises(ConfigError, match="`id` or `path`"):
        ImageDataset()
