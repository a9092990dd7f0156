"""Texts from a file to labels, as users of the commands run it."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from dal import extract, query, train
from tests.letters import save_backbone

Command = Callable[..., tuple[int, str, str]]
LETTERS = ["--config-dir", "cfg", "backbone=letters", "extraction.num_workers=0"]
SHORT = ["trainer.max_epochs=3", "trainer.accelerator=cpu"]
CLASSES = ("ant", "bee")


def text(row: int) -> str:
    return f"{'aab' if row % 2 else 'xxz'} {'é<b>&' * (row % 3)} {'c' * row}"


def save_table(file: Path, num: int = 30) -> None:
    rows = [(f"t{row:02d}", text(row), CLASSES[row % 2]) for row in range(num)]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("name", "text", "label"), *rows])


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command in this process and a folder of its own."""
    save_backbone(tmp_path / "cfg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    modules = {"extract": extract, "query": query, "train": train}

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"dal.{name}", *LETTERS, *arguments])
        status = 0
        capsys.readouterr()
        try:
            modules[name].main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        return status, *capsys.readouterr()

    return run


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def answer(table: Path) -> list[str]:
    """Fills in a table that was handed out, as a person would; the ids in it."""
    rows = rows_of(table)
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"label": CLASSES[int(row["id"][-2:]) % 2]} for row in rows)
    return [row["id"] for row in rows]


@pytest.mark.parametrize("source", ["file", "dataset"])
def test_texts_are_labeled_like_images(source: str, command: Command, tmp_path: Path) -> None:
    save_table(tmp_path / "pool.csv")
    data = ["data=texts", "data.path=pool.csv"]
    if source == "dataset":
        Dataset.from_list(rows_of(tmp_path / "pool.csv")).save_to_disk(tmp_path / "pool")
        data = ["data=text_dataset", "data.path=pool"]
    begin = [*data, "data.id_column=name", "project=mine", "num=4", *SHORT]
    status, out, err = command("query", *begin)
    assert (status, err) == (0, "")
    assert "30 texts without labels" in out  # its column of labels was not asked for
    first = tmp_path / "mine" / "round_001"
    rows = rows_of(first / "to_label.csv")
    assert list(rows[0]) == ["rank", "id", "text", "predicted", "confidence", "score", "label"]
    assert all(row["text"] == text(int(row["id"][1:])) for row in rows)
    tasks = json.loads((first / "label_studio.json").read_text())
    assert [task["data"]["text"] for task in tasks] == [row["text"] for row in rows]
    assert '<Text name="shown" value="$text" />' in (first / "label_studio.xml").read_text()
    page = (first / "page.html").read_text()
    assert page.count('<span class="text"') == 4
    assert not (first / "images").exists()
    labeled = answer(first / "to_label.csv")
    status, out, err = command("query", "project=mine", "labels=mine/round_001/to_label.csv")
    assert (status, err) == (0, "")
    assert "4 answers taken over" in out
    assert "Computing features" not in out
    second = rows_of(tmp_path / "mine" / "round_002" / "to_label.csv")
    assert not {row["id"] for row in second} & set(labeled)
    assert {row["predicted"] for row in second} <= set(CLASSES)


def test_labels_of_a_file_are_used_as_answers(command: Command, tmp_path: Path) -> None:
    save_table(tmp_path / "pool.csv")
    data = ["data=texts", "data.path=pool.csv", "data.id_column=name", "data.label_column=label"]
    status, out, _ = command("query", *data, "project=mine", "num=4", *SHORT)
    assert status == 0
    assert "labels of 2 classes ('ant', 'bee'), which are not used" in out
    status, out, err = command("query", "project=mine", "labels=pool.csv", "id_column=name")
    assert (status, err) == (0, "")
    assert "30 answers taken over" in out


def test_texts_to_features_and_to_a_curve(command: Command, tmp_path: Path) -> None:
    save_table(tmp_path / "texts.csv")
    plain = ["data=texts", "data.path=texts.csv"]
    status, out, err = command("extract", *plain, "data.id_column=name", "out=features")
    assert (status, err) == (0, "")
    assert "train: 30 texts of 2 classes (ant, bee)." in out
    assert np.load(tmp_path / "features" / "train_features.npy").shape == (30, 26)
    assert (tmp_path / "features" / "train_ids.txt").read_text().split("\n")[:2] == ["t00", "t01"]
    small = ["al.num_init=4", "al.acq_size=2", "al.num_acq=2", "strategy=margin", *SHORT]
    status, out, err = command("train", *plain, "data.splits.test=null", *small)
    assert (status, err) == (0, "")
    run = tmp_path / "outputs" / "texts" / "margin" / "seed_0"
    assert len(rows_of(run / "curve.csv")) == 3
    (tmp_path / "both").mkdir()
    save_table(tmp_path / "both" / "train.csv")
    save_table(tmp_path / "both" / "test.csv", 10)
    both = ["data=texts", "data.path=both", "name=both"]
    status, out, err = command("train", *both, *small)
    assert (status, err) == (0, "")
    assert "test: 10 texts of 2 classes (ant, bee)." in out


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train", ["data.path=a.csv"], "got the file {}/a.csv. To hold out a part of it for"),
        ("train", ["data.path=b.csv", "data.splits.test=null"], "found no {}/b.csv. Did you mean"),
        ("extract", ["data.path=a.csv", "data.label_column=lable"], "Did you mean 'label'?"),
        ("extract", ["data.path=a.csv", "data.text_column=txt"], "Did you mean 'text'?"),
        ("extract", ["data.path=empty.csv"], "text in row 1 (line 3) of {}/empty.csv: it is empty"),
        ("query", ["data.path=empty.csv", "project=p"], "leave them out with extraction.skip_br"),
        ("query", ["data.path=latin.csv", "project=p"], "line 3 is no UTF-8"),
        ("query", ["project=p"], "Expected a value for 'data.path'"),
        ("query", ["data.path=a.csv", "data.id_column=label", "project=p"], "'ant' (15 rows)"),
        ("query", ["data.path=a.csv", "ids=a.csv", "project=p"], "`ids` with data=arrays alone"),
    ],
)
def test_bad_input_is_one_message(
    name: str, arguments: list[str], message: str, command: Command, tmp_path: Path
) -> None:
    save_table(tmp_path / "a.csv")
    (tmp_path / "empty.csv").write_text("text,label\na,b\n ,c\n")
    (tmp_path / "latin.csv").write_bytes("text,label\na,b\né,c\n".encode("latin-1"))
    status, _, err = command(name, "data=texts", *arguments)
    assert status == 1
    assert err.count("\n") == 1
    assert message.format(tmp_path) in err


def test_empty_texts_are_left_out_and_all_others_keep_their_rows(
    command: Command, tmp_path: Path
) -> None:
    lines = [f"{text(row) if row % 5 else ' '}\n" for row in range(20)]
    (tmp_path / "pool.tsv").write_text("".join(["text\n", *lines]))
    data = ["data=texts", "data.path=pool.tsv", "extraction.skip_broken=true"]
    status, out, err = command("query", *data, "project=mine", "num=16", *SHORT)
    assert (status, err) == (0, "")
    assert "4 left out, which cannot be read: text in row 0 (line 2) of " in out
    rows = rows_of(tmp_path / "mine" / "round_001" / "to_label.csv")
    assert all(row["text"].strip() == text(int(row["id"])).strip() for row in rows)
    assert len(rows) == 16
