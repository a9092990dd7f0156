"""Texts in datasets of the ``datasets`` library, and what is encoded again when they change."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from pyarrow import parquet

from dal.data import Embedded, TextDataset, TextFile
from dal.errors import ConfigError, DataError
from dal.extraction import extractor, hub
from tests.images import Recorder, computed_rows
from tests.letters import letter_extractor

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STRING, KINDS = Value("string"), ClassLabel(names=["ant", "bee"])
TRAIN = {"train": "train", "test": None}


@pytest.fixture(autouse=True)
def _library_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")


def part(texts: list[Any], feature: Any = STRING, **columns: list[Any]) -> Dataset:
    """Texts with labels, which alternate."""
    rows = {"text": texts, "label": [row % 2 for row in range(len(texts))], **columns}
    features = {"text": feature, "label": KINDS} | dict.fromkeys(columns, STRING)
    return Dataset.from_dict(rows, Features(features))


def save(folder: Path, how: str, parts: dict[str, Dataset]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    if how == "disk":
        DatasetDict(parts).save_to_disk(folder)
    else:
        for name, one in parts.items():
            one.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("how", ["disk", "parquet"])
@pytest.mark.parametrize("feature", [STRING, Value("large_string")])
def test_texts_on_disk(how: str, feature: Any, tmp_path: Path) -> None:
    names = [f"0{row}" for row in range(4)]
    train = part(["a", "é\0b", "c\r\nd", "e"], feature, name=names)
    save(
        tmp_path / "data", how, {"train": train, "test": part(["f", "g"], feature, name=["x", "y"])}
    )
    items = TextDataset(path=tmp_path / "data", id_column="name")
    source = Embedded(items, letter_extractor(tmp_path / "cache"))
    found, test = source.load()
    assert test is not None
    assert (found.ids, test.ids) == (names, ["x", "y"])
    assert found.class_names == ["ant", "bee"]
    split = items.open("train")
    assert split.items[:] == ["a", "éb", "c\r\nd", "e"]
    assert split.items[1] == "éb"
    assert split.summary == (
        "4 texts of 2 classes (ant, bee); 1 text had NUL characters, which are left out"
    )
    some = TextDataset(path=tmp_path / "data", splits={"train": "train[2:]"}).open("train[2:]")
    assert (some.items[:], some.notes) == (["c\r\nd", "e"], [])
    assert some.name(1) == f"text in row 1 of split train[2:] of {tmp_path / 'data'}"
    (tmp_path / "data").rename(tmp_path / "away")  # found again by name alone
    assert source.load()[0].ids == names


def test_a_text_that_is_missing_is_an_empty_one(tmp_path: Path) -> None:
    save(tmp_path / "data", "disk", {"train": part(["a", None, " ", "b"])})
    items = TextDataset(path=tmp_path / "data", splits=TRAIN)
    with pytest.raises(DataError, match=r"read 2 of the 4 texts of split train .* in row 1 of"):
        Embedded(items, letter_extractor(tmp_path / "cache")).load()
    left = Embedded(items, letter_extractor(tmp_path / "cache", skip_broken=True)).load()[0]
    assert left.ids == ["0", "3"]
    assert left.labels is not None
    assert left.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"text_column": "texts"}, r"column 'texts' in split train.*text_column.*mean 'text'"),
        (
            {"text_column": "label"},
            r"texts in the column 'label' .*got ClassLabel.*Known: name, t",
        ),
        ({"label_column": "lable"}, r"column 'lable' .*label_column says.*mean 'label'"),
        ({"id_column": "nmae"}, r"column 'nmae' .*id_column says.*mean 'name'"),
        ({"id_column": "name"}, r"distinct ids .*'x' \(2 rows\)"),
        ({"splits": {"train": "trian"}}, "Cannot read split trian.*found train"),
        ({"path": "nowhere"}, "data.path to be a folder, found no .*nowhere"),
    ],
)
def test_datasets_that_are_not_as_expected(
    kwargs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "data", "disk", {"train": part(["a", "b"], name=["x", "x"])})
    arguments: dict[str, Any] = {"path": path, "splits": TRAIN} | kwargs
    items = TextDataset(**arguments)
    with pytest.raises(DataError, match=message):
        items.open(str(items.splits["train"]))


def test_a_text_in_another_encoding(tmp_path: Path) -> None:
    buffers = pyarrow.array(["ab", "cd"]).buffers()
    broken = pyarrow.StringArray.from_buffers(2, buffers[1], pyarrow.py_buffer(b"ab\xff\xfe"))
    (tmp_path / "data").mkdir()
    parquet.write_table(pyarrow.table({"text": broken}), tmp_path / "data" / "train.parquet")
    with pytest.raises(DataError, match="UTF-8 in the column 'text' of split train .* in row 1"):
        TextDataset(path=tmp_path / "data", label_column=None).open("train")


def test_tables_keep_texts_that_look_like_numbers(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\n007,a\n1.50,b\n")
    assert TextDataset(path=tmp_path / "data").open("train").items[:] == ["007", "1.50"]


def test_files_of_lines_are_noticed_when_they_change(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = tmp_path / "data" / "train.txt"
    found = []
    for content in ("a\nbb\n", "a\nbb\nccc\n"):
        lines.write_text(content)
        items = TextDataset(path=tmp_path / "data", label_column=None, splits=TRAIN)
        source = Embedded(items, letter_extractor(tmp_path / "cache"))
        found.append(len(source.load()[0]))
    assert found == [2, 3]


def test_a_dataset_of_the_hub_is_read_from_its_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the layout that the hub gives to datasets that were scripts."""
    for split in ("train", "test"):
        folder = tmp_path / COMMIT / "default" / split
        folder.mkdir(parents=True)
        part([f"{split} a", f"{split} b"]).to_parquet(folder / "0000.parquet")
    asked = []

    def found(*names: str, local_hint: str) -> Path:
        asked.append((*names, local_hint))
        return tmp_path / COMMIT

    monkeypatch.setattr(hub, "snapshot", found)
    items = TextDataset("o/n", COMMIT)
    source = Embedded(items, letter_extractor(tmp_path / "cache"))
    train, test = source.load()
    assert asked == [("o/n", COMMIT, "dataset", "data.path=DIR")]
    assert (len(train), len(test or [])) == (2, 2)
    assert source.entry("test").manifest["content"]["texts"]["commit"] == COMMIT
    assert items.open("test").items[:] == ["test a", "test b"]
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: pytest.fail("asked the hub"))
    again = Embedded(TextDataset("o/n", COMMIT), letter_extractor(tmp_path / "cache")).load()[0]
    assert again.features.equal(train.features)


def test_a_dataset_has_an_id_or_a_path() -> None:
    with pytest.raises(ConfigError, match="`id` or `path`"):
        TextDataset()


Write = Callable[[list[str]], Embedded]


@pytest.fixture(params=["csv", "disk"])
def write(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes texts to a file, or as a dataset, and loads them, in parts of about 4 rows."""
    monkeypatch.setattr(extractor, "PART_ROWS", 4)

    def load(texts: list[str]) -> Embedded:
        items: TextFile | TextDataset
        if request.param == "csv":
            lines = [f"{text},{'ab'[row % 2]}\n" for row, text in enumerate(texts)]
            (tmp_path / "data.csv").write_text("".join(["text,label\n", *lines]))
            items = TextFile(tmp_path / "data.csv", splits=TRAIN)
        else:
            items = TextDataset(
                path=save(tmp_path / "data", "disk", {"train": part(texts)}), splits=TRAIN
            )
        source = Embedded(items, letter_extractor(tmp_path / "cache", batch_size=2))
        source.load()
        return source

    return load


@pytest.mark.parametrize("change", ["replaced", "removed", "added"])
def test_a_changed_text_costs_the_part_that_it_is_in(
    change: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a" * row + "b" for row in range(60)]
    before = write(texts).entry("train")
    computed = computed_rows(monkeypatch)
    assert write(texts).entry("train") == before
    if change == "removed":
        del texts[40]
    elif change == "added":
        texts.insert(40, "new")
    else:
        texts[40] = "new"
    source = write(texts)
    assert 0 < sum(computed) <= 16
    assert isinstance(source.extractor.listener, Recorder)
    assert any("has changed" in message for message in source.extractor.listener.messages)
    features = source.load()[0].features
    assert features[:, 0].tolist() == [text.count("a") + 0.5 for text in texts]


def test_the_same_texts_elsewhere_are_not_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text {row}" for row in range(20)]
    save(tmp_path / "data", "parquet", {"train": part(texts)})
    stored = TextDataset(path=tmp_path / "data", splits=TRAIN)
    first = Embedded(stored, letter_extractor(tmp_path / "cache")).entry("train")
    computed = computed_rows(monkeypatch)
    kinds = [("ant", "bee")[row % 2] for row in range(20)]
    lines = [f"{text}\t{kind}\n" for text, kind in zip(texts, kinds, strict=True)]
    (tmp_path / "a.tsv").write_text("".join(["text\tlabel\n", *lines]))
    items = TextFile(tmp_path / "a.tsv", splits=TRAIN)
    assert Embedded(items, letter_extractor(tmp_path / "cache")).entry("train") == first
    assert computed == []
    (tmp_path / "a.tsv").write_text("".join(["text\tlabel\n", *lines]).replace("\tant", "\tcow"))
    changed = Embedded(items, letter_extractor(tmp_path / "cache")).entry("train")
    assert changed.class_names == ["ant", "bee"]  # of an object that has listed the files before
    fresh = TextFile(tmp_path / "a.tsv", splits=TRAIN)
    changed = Embedded(fresh, letter_extractor(tmp_path / "cache")).entry("train")
    assert changed.class_names == ["bee", "cow"]
    assert computed == []
