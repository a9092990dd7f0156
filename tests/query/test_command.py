"""The command that hands out items to people, as a user runs it."""

import csv
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import dal
from dal.cli import labeling
from dal.cli.command import INTERRUPTED
from dal.labeling.folder import Round
from dal.labeling.project import Step
from tests.query.calls import (
    ANSWERED,
    ARRAYS,
    FIRST,
    SIZE,
    Command,
    begin,
    fill_in,
    run,
    tree,
)


def test_later_calls_name_only_what_is_new(command: Command, tmp_path: Path) -> None:
    status, out, err = command(*FIRST)
    assert (status, err) == (0, "")
    assert "Then: python -m dal.query project=cards labels=cards/round_001/to_label.csv" in out
    first = fill_in(tmp_path / "cards" / "round_001" / "to_label.csv")
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "6 answers taken over." in out
    second = fill_in(tmp_path / "cards" / "round_002" / "to_label.csv", skipped=["card 0"])
    assert len(second) == 6
    assert not {*first} & {*second}
    status, out, err = command(
        "project=cards", "labels=cards/round_002/to_label.csv", "audit=5", "strategy=margin"
    )
    assert (status, err) == (0, "")
    assert "5 random items of the audit sample wait for labels in cards/audit_001." in out
    with (tmp_path / "cards" / "project.csv").open() as stream:
        assert [row["strategy"] for row in csv.DictReader(stream)] == [
            *("typiclust", "bait_binary", "margin")
        ]
    fill_in(tmp_path / "cards" / "audit_001" / "to_label.csv")
    status, out, err = command("project=cards", "labels=cards/audit_001/to_label.csv")
    assert (status, err) == (0, "")
    assert "audit: accuracy on 5 random items, with a 95% interval; unbiased." in out
    assert "Nothing new since cards/round_003" in out
    # Another strategy leaves the keys of the remembered one behind.
    assert command("project=cards", "strategy=typiclust", "strategy.normalize=false")[0] == 0
    assert command("project=cards", "strategy=random")[0] == 0


def test_the_same_command_changes_nothing(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    before = tree(tmp_path)
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "Nothing new since cards/round_002" in out
    assert tree(tmp_path) == before


def test_paths_are_remembered_wherever_the_command_is_run(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my (first) cards"
    folder.mkdir()
    (tmp_path / "embeddings.npy").rename(folder / "embeddings.npy")
    (tmp_path / "ids.txt").rename(folder / "the ids.txt")
    place = f"project={tmp_path / 'a project'}"
    data = ["data=arrays", f"data.path={folder.name}/embeddings.npy"]
    ids = f"ids='{folder.name}/the ids.txt'"  # as somebody writes who knows Hydra
    status, out, err = command(*data, ids, place, "num=3")
    assert (status, err) == (0, "")
    assert f"'labels={tmp_path / 'a project'}/round_001/to_label.csv'" in out
    (tmp_path / "elsewhere").mkdir()
    status, out, err = run(tmp_path / "elsewhere", place)
    assert (status, err) == (0, "")
    assert "Nothing new since" in out
    with (tmp_path / "a project" / "round_001" / "page.html").open() as page:
        assert "python -m dal.query &#39;project=a project&#39; labels=labels.csv" in page.read()


def test_equal_answers_give_equal_bytes(command: Command, tmp_path: Path) -> None:
    """But for where the files are, which project.yaml remembers."""
    projects = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        for name in ("embeddings.npy", "ids.txt"):
            shutil.copy(tmp_path / name, tmp_path / place / name)
        data = ["data=arrays", f"data.path={place}/embeddings.npy", f"ids={place}/ids.txt"]
        project = f"project={place}/cards"
        assert command(*data, project, "num=6", "audit=4", "trainer.max_epochs=5")[0] == 0
        for table in ("round_001", "audit_001", "round_002"):
            fill_in(tmp_path / place / "cards" / table / "to_label.csv", ["card 5"])
            labels = f"labels={place}/cards/{table}/to_label.csv"
            assert command(project, labels)[0] == 0
        projects.append(tree(tmp_path / place / "cards"))
    for files in projects:
        files.pop(".lock")
    here, there = (files.pop("project.yaml") or b"" for files in projects)
    assert here.replace(b"/here/", b"/there/") == there
    assert "round_003/head.safetensors" in projects[0]
    assert projects[0] == projects[1]


def test_files_have_ordinary_permissions(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    (tmp_path / "mine").touch()
    expected = (tmp_path / "mine").stat().st_mode
    modes = {
        path.stat().st_mode
        for path in (tmp_path / "cards").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    assert modes == {expected}


def test_help_teaches(command: Command, tmp_path: Path) -> None:
    before = tree(tmp_path)
    status, out, err = command("--help")
    assert (status, err) == (0, "")
    for word in (
        "data=imagefolder data.path=photos project=birds num=50",
        "bait_binary, ",
        "more=",
    ):
        assert word in out
    assert command("--version") == (0, f"dal {dal.__version__}\n", "")
    assert command("--help", "project=cards", *ARRAYS)[0] == 0
    assert tree(tmp_path) == before


def test_ctrl_c_leaves_no_project_and_says_how_to_continue(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dal.labeling import selection

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    before = tree(tmp_path)
    monkeypatch.setattr(selection, "choose", press)
    status, _, err = command(*FIRST)
    assert status == INTERRUPTED
    assert err == "Interrupted. Run the same command again to resume.\n"
    assert tree(tmp_path) == before


def test_the_summary_fits_80_columns() -> None:
    history: list[Mapping[str, Any]] = [
        {
            "round": number,
            "strategy": "least_confidence",
            "num_labeled": 12_345,
            "num_classes": 1_000,
            "cross_validated_accuracy": 1.0,
            "audit_accuracy": 1.0,
            "audit_low": 0.99,
            "audit_high": 1.0,
            "num_audited": 1_000,
            "agreement": 1.0,
            "num_unlabeled": 1_000_000,
        }
        for number in range(95, 108)
    ]
    handed = Round("round", 107, ["a"], "", "least_confidence")
    step = Step(handed, True, 3, 1, 1, ["A note."], history)
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for part in labeling.summary(step, Path("birds")):
        console.print(part, soft_wrap=True)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines[0] == "3 answers taken over, 1 of them skipped."
    table = lines[1 : lines.index(lines[-6])]
    assert table[0].split() == [
        *("round", "by", "labels", "classes", "cross-val.", "audit", "agrees", "left")
    ]
    rows = [row.split() for row in table[1:] if row[:5].strip()]
    assert [row[0] for row in rows] == [str(number) for number in range(98, 108)]
    numbers = ["12,345", "1,000", "100.0%", "100.0%", "(99–100)", "100.0%", "1,000,000"]
    assert all(row[2:] == numbers for row in rows)
    assert max(map(len, table)) <= 80
    assert [line.partition(" ")[0] for line in lines[-6:]] == [
        *("cross-val.:", "audit:", "agrees:", "A", "Handed", "Then:")
    ]


def test_tables_as_spreadsheets_save_them(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    (handed,) = {*(tmp_path / "cards").glob("round_002/to_label.csv")}
    first, second, third = fill_in(handed)[:3]
    for content in (
        f"\ufeffid,label\n{first},cat\n".encode(),
        f"id;label\n{second};cat\n".encode(),
        f"id\tlabel\r\n{third}\tcat\r\n".encode("utf-16"),
    ):
        (tmp_path / "l.csv").write_bytes(content)
        status, out, err = command("project=cards", "labels=l.csv")
        assert (status, err) == (0, "")
        assert "1 answers taken over." in out


def test_one_class_is_no_error(command: Command, tmp_path: Path) -> None:
    assert command(*FIRST)[0] == 0
    fill_in(tmp_path / "cards" / "round_001" / "to_label.csv", only="cat")
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "All labels are 'cat': a head needs two classes at least" in out
    assert "Handed out cards/round_002" in out


def test_what_is_left_is_handed_out_until_all_is_labeled(command: Command, tmp_path: Path) -> None:
    status, out, err = command(*FIRST, f"num={SIZE + 1}")
    assert (status, err) == (0, "")
    assert "Only 60 items are left, fewer than num=61." in out
    fill_in(tmp_path / "cards" / "round_001" / "to_label.csv")
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "60 answers taken over." in out
    assert "No item is left to hand out." in out
    before = tree(tmp_path)
    for arguments in (ANSWERED, ["project=cards"], ["project=cards", "more=true"]):
        status, out, err = command(*arguments)
        assert (status, err) == (0, "")
        assert "No item is left to hand out." in out
        assert tree(tmp_path) == before


def test_items_that_are_not_kept_in_memory(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    (tmp_path / "cards").rename(tmp_path / "kept")
    status, _, err = command(*FIRST, "in_memory=false")
    assert (status, err) == (0, "")
    fill_in(tmp_path / "cards" / "round_001" / "to_label.csv")
    status, out, err = command(*ANSWERED)  # the project remembers the choice
    assert (status, err) == (0, "")
    assert "are read from the pool in each pass" in " ".join(out.split())
    for name in ("to_label.csv", "predictions.parquet"):
        kept, read = (tmp_path / p / "round_002" / name for p in ("kept", "cards"))
        assert kept.read_bytes() == read.read_bytes()
