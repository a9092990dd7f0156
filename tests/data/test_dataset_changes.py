"""What is computed again when a dataset on disk changes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features
from datasets import Image as ImageFeature
from PIL import Image

from dal.data import Embedded, ImageDataset
from dal.extraction import extractor
from tests.images import Recorder, computed_rows, extractor_of

NUM_TRAIN, NUM_TEST = 60, 20
Load = Callable[..., Embedded]


def examples(num: int, seed: int, names: tuple[str, ...] = ("cat", "dog")) -> Dataset:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)
    return Dataset.from_dict(
        {
            "image": [Image.fromarray(image) for image in pixels],
            "label": [row % len(names) for row in range(num)],
        },
        Features({"image": ImageFeature(), "label": ClassLabel(names=list(names))}),
    )


@pytest.fixture
def load(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads the dataset in ``data``, in parts of about 4 rows."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(extractor, "PART_ROWS", 4)

    def make(cache: str = "cache", folder: str = "data", column: str = "image") -> Embedded:
        items = ImageDataset(path=tmp_path / folder, image_column=column)
        source = Embedded(items, extractor_of(weights, tmp_path / cache))
        source.load()
        return source

    return make


def save(folder: Path, how: str, train: Dataset, test: Dataset) -> None:
    """Writes train as two files, in parquet or as ``save_to_disk`` does."""
    shutil.rmtree(folder, ignore_errors=True)
    if how == "disk":
        parts = DatasetDict({"train": train, "test": test})
        parts.save_to_disk(folder, num_shards={"train": 2, "test": 1})
        return
    folder.mkdir()
    for number in range(2):
        shard = train.shard(2, number, contiguous=True)
        shard.to_parquet(folder / f"train-0000{number}-of-00002.parquet")
    test.to_parquet(folder / "test-00000-of-00001.parquet")


@pytest.mark.parametrize("how", ["disk", "parquet"])
def test_what_is_no_image_costs_nothing(
    how: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    train, test = examples(NUM_TRAIN, 0), examples(NUM_TEST, 1)
    save(data, how, train, test)
    first = load().entry("train")
    computed = computed_rows(monkeypatch)
    (data / "README.md").write_text("---\nlicense: mit\n---\nCats and dogs.")
    (data / "out").mkdir()
    (data / "out" / "extraction.json").write_text("{}")  # as `out=` in there leaves it
    assert load().entry("train") == first
    save(data, how, train, test.select(range(10)))  # another split
    assert load().entry("train") == first
    if how == "disk":  # in one file more
        shutil.rmtree(data)
        parts = DatasetDict({"train": train, "test": test.select(range(10))})
        parts.save_to_disk(data, num_shards={"train": 3, "test": 1})
        assert load().entry("train") == first
    assert sum(computed) < 10  # of the shorter test split, a part that ends elsewhere


@pytest.mark.parametrize("how", ["disk", "parquet"])
@pytest.mark.parametrize("change", ["replaced", "removed", "added", "labels"])
def test_a_changed_file_costs_the_parts_of_its_changed_rows(
    how: str, change: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = examples(NUM_TRAIN, 0), examples(NUM_TEST, 1)
    save(tmp_path / "data", how, train, test)
    load()
    rows: list[dict[str, object]] = list(train)
    if change == "removed":
        del rows[40]
    elif change == "added":
        rows.insert(40, {"image": Image.new("RGB", (8, 8)), "label": 1})
    elif change == "replaced":
        rows[40] = {"image": Image.new("RGB", (8, 8)), "label": 1}
    else:
        rows[40]["label"] = 1
    changed = Dataset.from_list(rows, features=train.features)
    save(tmp_path / "data", how, changed, test)
    computed = computed_rows(monkeypatch)
    source = load()
    assert isinstance(source.extractor.listener, Recorder)
    assert [split.where.split()[1] for split in source.extractor.listener.splits] == (
        ["train"] if change != "labels" else []
    )
    assert (0 < sum(computed) <= 16) if change != "labels" else not computed
    entry, scratch = source.entry("train"), load("scratch").entry("train")
    for name in ("features.npy", "labels.npy"):
        assert (entry.path / name).read_bytes() == (scratch.path / name).read_bytes()


def test_other_splits_and_columns_use_what_was_computed(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "data", "disk", examples(NUM_TRAIN, 0), examples(NUM_TEST, 1))
    source = load()
    computed = computed_rows(monkeypatch)
    no_labels = ImageDataset(path=tmp_path / "data", label_column=None)
    entry = Embedded(no_labels, source.extractor).entry("train")
    assert computed == []
    assert entry.load()[1] is None
    most = ImageDataset(path=tmp_path / "data", splits={"train": "train[:90%]"})
    assert len(Embedded(most, source.extractor).entry("train[:90%]")) == 54
    assert sum(computed) <= 16
    half = extractor_of(tmp_path / "none", tmp_path / "cache", dtype="float16")
    half.backbone = source.extractor.backbone
    computed.clear()
    Embedded(most, half).entry("train[:90%]")
    assert sum(computed) == 54  # of another type


def test_images_in_a_folder_as_the_library_reads_it(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split, seed in (("train", 0), ("test", 1)):
        folder = tmp_path / "data" / split
        folder.mkdir(parents=True)
        for row, image in enumerate(examples(12, seed)["image"]):
            image.save(folder / f"{row:02d}.png")
        lines = [f"{row:02d}.png,{'ab'[row % 2]}\n" for row in range(12)]
        (folder / "metadata.csv").write_text("".join(["file_name,label\n", *lines]))
    computed = computed_rows(monkeypatch)
    assert load().entry("train").ids() == [f"train/{row:02d}.png" for row in range(12)]
    assert sum(computed) == 24
    computed.clear()
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "train" / "07.png")
    load()
    assert 0 < sum(computed) < 12
    computed.clear()
    (tmp_path / "data").rename(tmp_path / "moved")
    load(folder="moved")
    assert computed == []


def test_images_beside_a_saved_dataset(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{row}.png" for row in range(6)]
    for file, image in zip(files, examples(6, 0)["image"], strict=True):
        image.save(file)
    rows = {"image": [{"path": str(file), "bytes": None} for file in files], "label": [0, 1] * 3}
    feature = Features({"image": ImageFeature(), "label": ClassLabel(names=["a", "b"])})
    with monkeypatch.context() as patch:  # as earlier versions of the library have saved it
        patch.setattr("datasets.arrow_writer.embed_table_storage", lambda table, **_: table)
        whole = Dataset.from_dict(rows, feature)
        DatasetDict({"train": whole, "test": whole}).save_to_disk(tmp_path / "data")
    computed = computed_rows(monkeypatch)
    first = load().entry("train").load()[0]
    assert sum(computed) == 6  # test has the same images
    Image.new("RGB", (8, 8)).save(files[2])
    second = load().entry("train").load()[0]
    has_changed = ((first - second).abs() > 1e-5).any(1)
    assert has_changed.tolist() == [False, False, True, False, False, False]
