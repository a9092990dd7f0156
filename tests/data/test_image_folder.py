import os
import shutil
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dal.data import ALDataModule, Embedded, HubImageFolder, ImageFolder, folders
from dal.errors import ConfigError, DataError
from dal.extraction import FeatureExtractor, hub
from dal.extraction.items import MissingSplitError
from tests.images import extractor_of, save_images

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NO_TEST = {"train": "train", "test": None}


@pytest.fixture
def extractor(weights: Path, tmp_path: Path) -> FeatureExtractor:
    return extractor_of(weights, tmp_path / "cache")


def test_a_folder_becomes_a_pool(images: Path, extractor: FeatureExtractor, tmp_path: Path) -> None:
    data = ALDataModule(Embedded(ImageFolder(images), extractor), dev_fraction=0.2)
    data.setup()
    assert data.test is not None
    assert data.test.labels is not None
    assert (len(data.train), len(data.test), len(data.dev_indices)) == (17, 5, 3)
    assert (data.num_classes, data.num_features) == (2, 16)
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.train.ids is not None
    assert data.train.ids[9] == "train/bee/000.png"
    maps = Path("/proc/self/maps")
    if maps.exists():  # on Linux
        assert str(tmp_path / "cache" / "features") in maps.read_text()


def test_an_index_is_a_row_as_extracted_whatever_is_held_out(
    images: Path, extractor: FeatureExtractor
) -> None:
    source = Embedded(ImageFolder(images / "train", NO_TEST), extractor)
    features, labels = source.entry("train").load()
    assert labels is not None
    assert source.load()[1] is None
    data = ALDataModule(source, dev_fraction=0.2, scale="none")
    data.setup()
    assert torch.equal(data.train.features, features)  # all rows, those held out among them
    assert data.train.ids == source.entry("train").ids()
    assert data.test is not None
    assert data.test.labels is not None
    assert data.test.labels.bincount().tolist() == [2, 2]
    pool = data.pool.unlabeled_indices
    held_out = [row for row in range(17) if row not in {*pool.tolist(), *data.dev_indices.tolist()}]
    assert (len(pool), len(data.dev_indices), len(held_out)) == (10, 3, 4)
    assert torch.equal(data.test.features, features[held_out])
    assert torch.equal(data.test.labels, labels[held_out])
    data.label(pool[[7, 1]])
    assert torch.equal(data.pool.labels, labels[pool[[7, 1]]])
    rows = data.pool.labeled_rows(torch.device("cpu")).load()
    assert torch.equal(rows, features[pool[[7, 1]]])


def test_what_is_held_out_depends_on_the_split_seed_alone(
    images: Path, extractor: FeatureExtractor
) -> None:
    def held_out(seed: int) -> torch.Tensor:
        source = Embedded(ImageFolder(images / "train", NO_TEST), extractor)
        data = ALDataModule(source, split_seed=seed)
        data.setup()
        assert data.test is not None
        return data.test.features

    assert torch.equal(held_out(0), held_out(0))
    assert not torch.equal(held_out(0), held_out(1))


def test_splits_that_a_folder_has(images: Path) -> None:
    assert len(ImageFolder(images / "train", NO_TEST).open("train")) == 17
    both = {"train": "train+test", "test": None}
    assert len(ImageFolder(images, both).open("train+test")) == 22


def test_images_in_the_folder_itself_have_no_labels(
    images: Path, extractor: FeatureExtractor
) -> None:
    train, _ = Embedded(ImageFolder(images / "train" / "ant", NO_TEST), extractor).load()
    assert (len(train), train.labels) == (9, None)
    assert train.ids is not None
    assert train.ids[0] == "000.png"


def test_classes_are_numbered_by_train(images: Path) -> None:
    shutil.rmtree(images / "test" / "ant")
    test = ImageFolder(images).open("test")
    assert test.labels is not None
    assert test.labels.tolist() == [1, 1]
    (images / "test" / "be").mkdir()
    Image.new("L", (4, 4)).save(images / "test" / "be" / "1.png")
    with pytest.raises(
        DataError, match=r"classes of train in .*test, got 1 .*'be' \(1\).*mean 'bee'"
    ):
        ImageFolder(images).open("test")


def test_what_is_passed_over_is_counted(images: Path) -> None:
    ant = images / "train" / "ant"
    for name in ("1.HEIC", "2.heic", "notes.pdf", "clip.mpg", "plain"):
        (ant / name).write_bytes(b"x")
    for name in ("._000.png", "Thumbs.db", ".DS_Store"):
        (ant / name).write_bytes(b"x")
    for folder in ("@eaDir", ".thumbnails", "deeper"):
        (ant / folder).mkdir()
        Image.new("L", (4, 4)).save(ant / folder / "1.PNG")
    (images / "train" / "__MACOSX").mkdir()
    Image.new("L", (4, 4)).save(images / "train" / "__MACOSX" / "1.png")
    (images / "extra").mkdir()
    split = ImageFolder(images).open("train")
    assert split.summary == (
        "18 images of 2 classes (ant, bee); 5 files passed over: 2 .heic, 1 .mpg, 1 .pdf, "
        "1 without an extension"
    )
    assert ImageFolder(images).passed_over() == "1 folder passed over: extra"
    assert ImageFolder(images, NO_TEST).passed_over() == "2 folders passed over: extra, test"
    assert ImageFolder(images / "train", NO_TEST).passed_over() == ""
    assert split.ids is not None
    assert "train/ant/deeper/1.PNG" in split.ids
    assert ImageFolder(images / "train" / "bee", NO_TEST).open("train").summary == (
        "8 images without labels"
    )


def test_extensions_are_those_of_images() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif"} <= folders.extensions()
    assert not {".pdf", ".eps", ".ps", ".mpg", ".h5", ".hdf", ".wmf"} & folders.extensions()


def test_folders_that_are_not_as_expected(images: Path) -> None:
    with pytest.raises(DataError, match="found no .*nowhere"):
        ImageFolder(images / "nowhere").open("train")
    (images / "file").write_text("x")
    with pytest.raises(DataError, match="found the file .*file"):
        ImageFolder(images / "file").open("train")
    with pytest.raises(DataError, match="a folder 'val' in .*found test, train.*splits.test=null"):
        ImageFolder(images, {"train": "train", "test": "val"}).open("val")
    Image.new("L", (4, 4)).save(images / "train" / "stray.png")
    with pytest.raises(DataError, match="an image in the folder of a class, got .*stray.png"):
        ImageFolder(images).open("train")
    split = ImageFolder(images, partly_labeled=True).open("train")
    assert split.labels is not None
    assert split.ids is not None
    unknown = [split.ids[row] for row in (split.labels == -1).nonzero()[0]]
    assert (unknown, split.class_names) == (["train/stray.png"], ["ant", "bee"])
    (images / "none" / "train").mkdir(parents=True)
    (images / "none" / "train" / "1.heic").write_text("x")
    with pytest.raises(DataError, match="Expected images in .*1 file passed over: 1 .heic"):
        ImageFolder(images / "none").open("train")


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "validation"), ("x", "VAL")])
def test_folders_that_are_called_like_splits_are_no_classes(
    names: tuple[str, str], tmp_path: Path
) -> None:
    for name in names:
        save_images(tmp_path / name, {"ant": 2, "bee": 2})
    with pytest.raises(MissingSplitError, match=f"'train' in .*{names[1]}.*data.splits.train=NAME"):
        ImageFolder(tmp_path, NO_TEST).open("train")
    splits = dict(zip(("train", "test"), names, strict=True))
    assert len(ImageFolder(tmp_path, splits).open(names[0])) == 4


def test_a_split_that_the_user_names_must_exist(images: Path) -> None:
    for splits in ({"train": "trian", "test": None}, {"train": "trian", "test": "tset"}):
        with pytest.raises(MissingSplitError, match="Expected a folder 'trian'"):
            ImageFolder(images, splits).open("trian")


@pytest.mark.parametrize("inner", [("train", "test"), ("ant", "bee")])
def test_one_level_too_high_is_refused(inner: tuple[str, str], tmp_path: Path) -> None:
    for name in inner:
        save_images(tmp_path / "images" / name, {"x": 2, "y": 2})
    with pytest.raises(DataError, match="found 'images', which holds only folders .*one level"):
        ImageFolder(tmp_path, NO_TEST).open("train")
    nested = ImageFolder(tmp_path / "images", {"train": inner[0], "test": None})
    assert len(nested.open(inner[0])) == 4


def test_a_table_of_labels_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "train" / "1.png")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n1.png,cat\n")
    with pytest.raises(DataError, match=f"metadata.csv .*data=dataset data.path={tmp_path}"):
        ImageFolder(tmp_path).open("train")


def test_images_are_not_multiplied_by_links(images: Path) -> None:
    (images / "train" / "ant" / "up").symlink_to("..")
    assert len(ImageFolder(images).open("train")) == 17


def test_names_that_are_no_text_or_two_lines(images: Path, extractor: FeatureExtractor) -> None:
    ant = images / "train" / "ant"
    (ant / "000.png").rename(ant / "a\nb\u2028c.png")
    (ant / "001.jpg").rename(ant / os.fsdecode(b"caf\xe9.jpg"))
    entry = Embedded(ImageFolder(images), extractor).entry("train")
    names = entry.ids()
    assert names is not None
    assert len(names) == len(entry) == 17
    assert {"train/ant/a\nb\u2028c.png", "train/ant/caf\\xe9.jpg"} <= set(names)


def test_a_class_has_one_name_in_all_forms_of_unicode(tmp_path: Path) -> None:
    for folder, form in (("train", "NFC"), ("test", "NFD")):
        name = unicodedata.normalize(form, "café")  # type: ignore[arg-type]
        save_images(tmp_path / folder, {name: 2, "tea": 1})
    test = ImageFolder(tmp_path).open("test")
    assert test.labels is not None
    assert test.labels.tolist() == [0, 0, 1]


def test_a_folder_without_images_is_one_that_is_not_there(
    images: Path, extractor: FeatureExtractor
) -> None:
    known = Embedded(ImageFolder(images), extractor).entry("train")
    images.rename(images.with_name("away"))
    images.mkdir()  # as the mount point of a disk that is not mounted
    assert Embedded(ImageFolder(images), extractor).entry("train") == known
    (images / "train").mkdir()
    assert Embedded(ImageFolder(images), extractor).entry("train") == known


def test_features_of_test_depend_on_the_names_of_trains_classes_alone(
    images: Path, extractor: FeatureExtractor
) -> None:
    known = Embedded(ImageFolder(images), extractor).entry("test")
    shutil.copy(images / "train" / "ant" / "000.png", images / "train" / "bee" / "x.png")
    assert Embedded(ImageFolder(images), extractor).entry("test") == known
    save_images(images / "train", {"aphid": 1})
    entry = Embedded(ImageFolder(images), extractor).entry("test")
    assert entry != known
    labels = entry.load()[1]
    assert labels is not None
    assert labels.tolist() == [0, 0, 0, 2, 2]


def test_an_empty_path_is_not_the_current_folder() -> None:
    for path in ("", None):
        with pytest.raises(ConfigError, match="`data.path`, got an empty value"):
            ImageFolder(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": None}, "`splits.train`"),
        ({"train": "a", "tset": "b"}, "Did you mean 'test'"),
        ({"train": ["a"]}, "`splits.train` to be a name or null, got \\['a'\\]"),
    ],
)
def test_splits_are_checked(splits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImageFolder("x", splits=splits)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that an archive on the hub was made of; the hub's snapshot has that archive."""
    save_images(tmp_path / "raw" / "deep" / "train", {"a": 3, "b": 3})
    save_images(tmp_path / "raw" / "deep" / "test", {"a": 2, "b": 1})
    (tmp_path / COMMIT).mkdir()
    with zipfile.ZipFile(tmp_path / COMMIT / "images.zip", "w") as archive:
        for file in (tmp_path / "raw").rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path / "raw"))
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: tmp_path / COMMIT)
    return tmp_path / "raw"


def test_an_archive_of_the_hub(
    raw: Path, extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(**kwargs: Any) -> list[torch.Tensor]:
        items = HubImageFolder("o/snacks", "images.zip", cache_dir=tmp_path / "cache", **kwargs)
        train, test = Embedded(items, extractor).load()
        assert test is not None
        return [train.features, test.features]

    first = load()
    assert [len(features) for features in first] == [6, 3]
    local = load(path=raw / "deep")
    assert all(map(torch.equal, first, local))
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: pytest.fail("asked the hub"))
    assert all(map(torch.equal, first, load()))


def test_an_archive_is_unpacked_once(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del raw
    items = HubImageFolder("o/n", "images.zip", cache_dir=tmp_path / "cache")
    left_behind = tmp_path / "cache" / "archives" / f".{COMMIT}-images.zip.tmp"
    left_behind.mkdir(parents=True)  # by a killed process
    (left_behind / "half").write_text("x")
    assert len(items.open("train")) == 6
    assert not left_behind.exists()
    assert not list((tmp_path / "cache").rglob("half"))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("unpacked again"))
    again = HubImageFolder("o/n", "images.zip", cache_dir=tmp_path / "cache")
    assert len(again.open("test")) == 3


def test_an_archive_that_was_copied_but_not_unpacked(raw: Path, tmp_path: Path) -> None:
    del raw
    with pytest.raises(DataError, match=r"found the archive. Unpack it, .*unzip images.zip"):
        HubImageFolder("o/n", "images.zip", path=tmp_path / COMMIT).open("train")


def test_an_archive_that_is_damaged(raw: Path, tmp_path: Path) -> None:
    items = HubImageFolder("o/n", "images.zip", cache_dir=tmp_path / "cache")
    del raw
    (tmp_path / COMMIT / "images.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match="Cannot unpack .*images.zip"):
        items.open("train")
    assert not list((tmp_path / "cache" / "archives").glob(f"*{COMMIT}*.tmp"))
