"""``python -m dal.query`` on datasets with ids, with broken rows, and on data with labels."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from dal import query
from dal.data import Embedded, ImageDataset
from dal.errors import DataError
from dal.extraction.entry import IDS, Entry
from dal.labeling import thumbnails
from dal.labeling.catalog import Catalog
from tests.images import extractor_of, save_images

Command = Callable[..., tuple[int, str, str]]
SMALL = ["backbone.transform.resize=32", "backbone.transform.crop=28", "extraction.num_workers=0"]
SHORT = ["trainer.max_epochs=3", "project=mine", "num=4"]
CLASSES = ("ant", "bee")


@pytest.fixture
def command(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs `python -m dal.query` in this process and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")

    def run(*arguments: str) -> tuple[int, str, str]:
        of_images = {"data=dataset", "data=imagefolder"} & set(arguments)
        images = [*SMALL, f"backbone.weights={weights}"] if of_images else []
        monkeypatch.setattr(sys, "argv", ["dal.query", *arguments, *images])
        status = 0
        try:
            query.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        out, err = capsys.readouterr()
        return status, out, err

    return run


def encoded(row: int) -> bytes:
    """A PNG in a shade that names its row."""
    content = io.BytesIO()
    Image.new("RGB", (24, 16), (8 * row, 8 * row, 200)).save(content, "PNG")
    return content.getvalue()


def shade(jpeg: bytes | None) -> int:
    """The row of an image of :func:`encoded`, as people see it."""
    assert jpeg is not None
    with Image.open(io.BytesIO(jpeg)) as image:
        return round(float(np.asarray(image)[..., 0].mean()) / 8)


def save(
    folder: Path, num: int = 20, broken: Sequence[int] = (), ids: bool = True, labels: bool = False
) -> Path:
    """A parquet file that holds its images."""
    images = [
        {"bytes": b"no" if row in broken else encoded(row), "path": None} for row in range(num)
    ]
    columns: dict[str, Any] = {"image": images}
    features: dict[str, Any] = {"image": ImageFeature()}
    if ids:
        columns["file"] = [f"photo {row:03d}" for row in range(num)]
        features["file"] = Value("string")
    if labels:
        columns["kind"] = [row % 2 for row in range(num)]
        features["kind"] = ClassLabel(names=list(CLASSES))
    folder.mkdir()
    Dataset.from_dict(columns, Features(features)).to_parquet(folder / "train.parquet")
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def answer(file: Path) -> Path:
    """The table as a person fills it in."""
    rows = rows_of(file)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            number = int(row["id"].removeprefix("photo "))
            writer.writerow(row | {"label": CLASSES[number % 2]})
    return file


def test_a_dataset_with_ids_works_like_a_folder(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data")
    capsys.readouterr()
    begin = ["data=dataset", "data.path=data", "data.id_column=file", *SHORT]
    status, out, err = command(*begin)
    assert (status, err) == (0, "")
    assert "which are not used" not in out
    first = tmp_path / "mine" / "round_001"
    rows = rows_of(first / "to_label.csv")
    assert list(rows[0]) == ["rank", "id", "predicted", "confidence", "score", "label"]
    assert all(row["id"].startswith("photo ") for row in rows)
    assert (first / "page.html").read_text().count("data:image/jpeg") == 4
    assert not (first / "images").exists()
    answer(first / "to_label.csv")
    status, out, err = command("project=mine", "labels=mine/round_001/to_label.csv")
    assert (status, err) == (0, "")
    assert "4 answers taken over" in out
    assert "Computing features" not in out
    assert {
        row["id"] for row in rows_of(tmp_path / "mine" / "round_002" / "to_label.csv")
    }.isdisjoint(row["id"] for row in rows)
    status, _, err = command("project=mine", "data.id_column=null")
    assert (status, "data.id_column was file, is None" in err) == (1, True)


def test_no_dataset_without_its_column_of_ids(command: Command, tmp_path: Path) -> None:
    save(tmp_path / "data")
    status, _, err = command("data=dataset", "data.path=data", "data.id_column=name", *SHORT)
    assert (status, "Expected a column 'name'" in err) == (1, True)
    assert not (tmp_path / "mine" / "project.yaml").exists()


def catalog(source: Embedded) -> Catalog:
    ids = source.load()[0].ids
    assert ids is not None
    return Catalog(source, ids)


@pytest.fixture
def source(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    """Images without ids, of which rows 2 and 5 are broken and left out."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    path = save(tmp_path / "data", num=9, broken=(2, 5), ids=False)
    items = ImageDataset(path=path, label_column=None, splits={"train": "train"})
    return Embedded(items, extractor_of(weights, tmp_path / "cache", skip_broken=True))


def test_rows_that_are_left_out_shift_no_other(source: Embedded) -> None:
    shown = catalog(source)
    assert shown.ids == ["0", "1", "3", "4", "6", "7", "8"]
    for name in shown.ids:
        assert shade(shown.jpeg(name, thumbnails.THUMBNAIL)) == int(name)
        assert shade(shown.pick(1, name).thumbnail) == int(name)


def test_features_that_do_not_say_which_rows_were_left_out(
    source: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = catalog(source)
    monkeypatch.setattr(Entry, "ids", lambda _: None)  # as an earlier version has written them
    assert (source.entry("train").path / IDS).exists()
    with pytest.raises(DataError, match="which rows were left out. Delete the folder"):
        shown.jpeg("3", thumbnails.THUMBNAIL)


def test_the_former_name_of_an_image_in_a_row_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = {"image": [{"bytes": encoded(3), "path": "a.png"}]}
    Dataset.from_dict(rows, Features({"image": ImageFeature()})).to_parquet(
        tmp_path / "data" / "train.parquet"
    )
    (tmp_path / "a.png").write_bytes(encoded(30))  # another image
    items = ImageDataset(path=tmp_path / "data", label_column=None, splits={"train": "train"})
    shown = Catalog(Embedded(items, extractor_of(weights, tmp_path / "cache")), ["a.png"])
    assert shown.path("a.png") is None
    assert shade(shown.jpeg("a.png", thumbnails.THUMBNAIL)) == 3


def test_labels_in_folders_of_classes_are_said_to_be_unused(
    command: Command, tmp_path: Path
) -> None:
    save_images(tmp_path / "photos", {"ant": 8, "bee": 7})
    status, out, err = command("data=imagefolder", "data.path=photos", *SHORT)
    assert (status, err) == (0, "")
    labels = f"labels={tmp_path / 'photos'}"
    assert (
        f"The data has labels of 2 classes ('ant', 'bee'), which are not used. To begin with them, "
        f"add {labels}.\n" in out
    )
    assert "which are not used" in command("project=mine")[1]
    status, out, err = command("project=mine", labels)
    assert (status, err) == (0, "")
    assert "15 answers taken over" in out
    assert "which are not used" not in out
    taken = {row["id"]: row["label"] for row in rows_of(tmp_path / "mine" / "labels.csv")}
    assert len(taken) == 15
    assert all(name.startswith(label) for name, label in taken.items())


def test_images_beside_folders_of_classes(command: Command, tmp_path: Path) -> None:
    save_images(tmp_path / "photos", {"ant": 3, "bee": 3, "none": 9})
    for file in (tmp_path / "photos" / "none").iterdir():
        file.rename(tmp_path / "photos" / file.name)
    (tmp_path / "photos" / "none").rmdir()
    begin = ["data=imagefolder", "data.path=photos", *SHORT]
    status, out, err = command(*begin, "labels=photos")
    assert (status, err) == (0, "")
    assert "15 images of 2 classes (ant, bee), 9 of them without a label" in out
    assert "6 answers taken over" in out
    handed = rows_of(tmp_path / "mine" / "round_001" / "to_label.csv")
    assert not any("/" in row["id"] for row in handed)


def test_labels_in_a_column_are_read_only_if_it_is_named(command: Command, tmp_path: Path) -> None:
    save(tmp_path / "data", labels=True)
    begin = ["data=dataset", "data.path=data", "data.id_column=file", "data.label_column=kind"]
    status, out, _ = command(*begin, *SHORT)
    assert status == 0
    assert "labels of 2 classes ('ant', 'bee'), which are not used" in out
    assert "a table with the columns id and label, and add labels=FILE." in out
    assert "data.label_column=kind" in (tmp_path / "mine" / "project.yaml").read_text()
    status, out, _ = command(*begin[:-1], SHORT[0], "project=other", "num=4")
    assert (status, "which are not used" in out) == (0, False)


def test_labels_beside_arrays_are_said_to_be_unused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    np.save(tmp_path / "data" / "train_features.npy", rng.normal(size=(20, 4)))
    np.save(tmp_path / "data" / "train_labels.npy", np.arange(20) % 3 - 1)  # a third is unknown
    status, out, err = command("data=arrays", "data.path=data", *SHORT)
    assert (status, err) == (0, "")
    assert "The data has labels of 2 classes ('0', '1'), which are not used." in out
