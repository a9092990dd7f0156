"""Projects: rounds, answers, and what a killed or repeated call leaves."""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from dal.data import Examples
from dal.errors import ConfigError, DalError, DataError, RecordError
from dal.labeling import item_names
from dal.labeling import predicted as predicted_module
from dal.labeling.project import Project, Step
from dal.runtime import files, locks
from dal.runtime.trainers import DEFAULT_TRAINER

SIZE, NUM_FEATURES = 90, 6
CLASSES = ("cat", "dog", "owl")


class Cards:
    """Clustered features with ids; the class of each is known to the tests alone."""

    def __init__(self, rows: Sequence[int] = range(SIZE)) -> None:
        self.rows = list(rows)

    def load(self) -> tuple[Examples, None]:
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(SIZE, NUM_FEATURES, generator=generator)
        features[:, :3] += 4 * torch.eye(3)[torch.arange(SIZE) % 3]
        return Examples(features[self.rows], ids=[f"card {row}" for row in self.rows]), None


def truth(name: str) -> str:
    return CLASSES[int(name.split()[1]) % 3]


TRAINER = partial(DEFAULT_TRAINER, accelerator="cpu", max_epochs=20)  # enough for these clusters


def project(path: Path, rows: Sequence[int] = range(SIZE), **options: Any) -> Project:
    options.setdefault("trainer", TRAINER)
    return Project(path / "birds", Cards(rows), **options)


def answer(path: Path, names: Sequence[str], skipped: Sequence[str] = ()) -> Path:
    """A table as a person would fill it in."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "label"])
        writer.writerows([name, "" if name in skipped else truth(name)] for name in names)
    return path


def advance(path: Path, num_rounds: int, num: int = 6, **options: Any) -> Step:
    """A project after some rounds of answers."""
    step = project(path).advance(num, **options)
    for number in range(num_rounds - 1):
        assert step.round is not None
        labels = answer(path / f"answers_{number}.csv", step.round.ids)
        step = project(path).advance(num, labels, **options)
    return step


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def test_rounds_follow_each_other(tmp_path: Path) -> None:
    step = advance(tmp_path, 4, num=9)
    assert step.round is not None
    assert step.round.number == 4
    handed = [set(known.ids) for known in project(tmp_path).folder.rounds]
    assert sum(map(len, handed)) == len(set.union(*handed)) == 36
    assert [row["strategy"] for row in step.history] == ["typiclust", *["bait_binary"] * 3]
    assert [row["num_labeled"] for row in step.history] == [0, 9, 18, 27]
    assert step.history[-1]["cross_validated_accuracy"] > 0.8
    assert step.history[-1]["agreement"] > 0.8
    assert step.num_waiting == 9
    with (tmp_path / "birds" / "project.csv").open() as stream:
        assert [row["round"] for row in csv.DictReader(stream)] == ["1", "2", "3", "4"]


def test_the_same_call_changes_nothing(tmp_path: Path) -> None:
    step = advance(tmp_path, 2)
    before = tree(tmp_path / "birds")
    again = project(tmp_path).advance(6, tmp_path / "answers_0.csv")
    assert not again.is_new
    assert again.round == step.round
    assert tree(tmp_path / "birds") == before
    assert not project(tmp_path).advance(6).is_new
    assert tree(tmp_path / "birds") == before
    more = project(tmp_path).advance(6, more=True)
    assert more.is_new
    assert more.num_waiting == 12


def test_skipped_items_are_not_shown_again(tmp_path: Path) -> None:
    step = project(tmp_path).advance(8)
    assert step.round is not None
    skipped = step.round.ids[:3]
    labels = answer(tmp_path / "labels.csv", step.round.ids, skipped)
    for _ in range(20):
        step = project(tmp_path).advance(20, labels)
        assert step.round is not None
        assert not set(step.round.ids) & set(skipped)
        if not step.round.ids:
            break
        labels = answer(tmp_path / "labels.csv", step.round.ids)
    assert "No item is left to hand out." in step.notes
    assert step.history[-1]["num_labeled"] == SIZE - 3
    assert step.history[-1]["num_skipped"] == 3


def test_an_audit_sample_is_drawn_once_and_never_fitted_to(tmp_path: Path) -> None:
    step = advance(tmp_path, 3, audit=10)
    (part,) = project(tmp_path).folder.of_kind("audit")
    assert len(part.ids) == 10
    where = tmp_path / "birds" / "audit_001"
    assert f"10 random items of the audit sample wait for labels in {where}." in step.notes
    labels = answer(tmp_path / "audit.csv", part.ids)
    audited = project(tmp_path).advance(6, labels, audit=10)
    assert not audited.is_new  # no head changes, so no other round is asked for
    assert not any("audit sample" in note for note in audited.notes)
    row = audited.history[-1]
    assert row["num_audited"] == 10
    assert row["audit_low"] < row["audit_accuracy"] <= row["audit_high"]
    assert row["num_labeled"] == step.history[-1]["num_labeled"]
    project(tmp_path).advance(6, audit=15)
    first, second = project(tmp_path).folder.of_kind("audit")
    assert first == part
    assert len(second.ids) == 5
    everything = [name for known in project(tmp_path).folder.rounds for name in known.ids]
    assert len(everything) == len(set(everything))


def test_labels_of_ones_own_come_first(tmp_path: Path) -> None:
    labels = answer(tmp_path / "mine.csv", [f"card {row}" for row in range(12)])
    step = project(tmp_path).advance(5, labels)
    assert step.num_taken == 12
    assert step.history[0]["strategy"] == "bait_binary"


def test_one_class_is_no_head(tmp_path: Path) -> None:
    labels = answer(tmp_path / "mine.csv", ["card 0", "card 3"])
    step = project(tmp_path).advance(5, labels)
    assert step.history[0]["strategy"] == "typiclust"
    assert any("All labels are 'cat'" in note for note in step.notes)


def test_items_may_join_and_leave(tmp_path: Path) -> None:
    project(tmp_path, range(60)).advance(6)
    (first,) = project(tmp_path).folder.rounds
    gone = int(first.ids[0].split()[1])
    labels = answer(tmp_path / "labels.csv", first.ids[1:])
    step = project(tmp_path, [row for row in range(SIZE) if row != gone]).advance(6, labels)
    assert f"1 items are gone, and their labels are not used: card {gone}." in step.notes
    assert "30 items are new and have joined the pool." in step.notes
    assert step.history[-1]["num_unlabeled"] == SIZE - 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": -1}, "`num` of at least 0"),
        ({"audit": -1}, "`audit` of at least 0"),
        ({"audit": SIZE + 1}, "`audit` of at most"),
        ({"strategy": "margin"}, "got 'margin', which needs a fitted head.*one of core_set,"),
        ({"strategy": "margn"}, "Did you mean 'margin'"),
        ({"labels": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_bad_input_changes_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DalError, match=message):
        project(tmp_path).advance(**options)
    assert tree(tmp_path) == {}
    advance(tmp_path, 1)
    before = tree(tmp_path)
    with pytest.raises(DalError, match=message):
        project(tmp_path).advance(**options)
    assert tree(tmp_path) == before


def test_unknown_items_and_contradictions_are_refused(tmp_path: Path) -> None:
    advance(tmp_path, 2)
    before = tree(tmp_path / "birds")
    labeled = project(tmp_path).folder.taken[0]
    for content, message in (
        ("id,label\nkard 1,cat\n", "kard 1"),
        (f"id,label\n{labeled.id},bird\n", "relabel=true"),
        ("id,label\ncard 1,cat\ncard 1,dog\n", "card 1"),
    ):
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(DalError, match=message):
            project(tmp_path).advance(6, tmp_path / "bad.csv")
        assert tree(tmp_path / "birds") == before
    (tmp_path / "bad.csv").write_text(f"id,label\n{labeled.id},bird\n")
    step = project(tmp_path).advance(6, tmp_path / "bad.csv", relabel=True)
    assert step.num_taken == 1
    assert {known.label for known in project(tmp_path).folder.taken} >= {"bird"}


def test_other_data_are_refused(tmp_path: Path) -> None:
    project(tmp_path, range(50), made_from={"data.path": "/a"}).advance(5)
    with pytest.raises(DataError, match=r"data.path was /a, is /b"):
        project(tmp_path, range(50, SIZE), made_from={"data.path": "/b"}).advance(5)
    moved = project(tmp_path, range(50), made_from={"data.path": "/b"}).advance(5)
    assert moved.notes[0] == "The items are the same, though data.path was /a, is /b."


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "photo.jpg").touch()
    with pytest.raises(RecordError, match=r"an empty folder.*found photo.jpg"):
        project(tmp_path).advance(5)
    assert [file.name for file in (tmp_path / "birds").iterdir()] == ["photo.jpg"]


def test_a_second_process_says_so(tmp_path: Path) -> None:
    advance(tmp_path, 1)
    with (
        locks.hold(tmp_path / "birds" / ".lock", "", lambda _: None),
        pytest.raises(RecordError, match="Another process"),
    ):
        project(tmp_path).advance(6)


@pytest.mark.parametrize(("name", "content"), [("labels.csv", "id\n1"), ("project.yaml", "[")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    advance(tmp_path, 2)
    (tmp_path / "birds" / name).write_text(content)
    with pytest.raises(RecordError, match=f"{name} is damaged"):
        project(tmp_path).advance(6)


class Killed(BaseException):
    """In the place of SIGKILL: nothing catches it."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lets a call die at its n-th replacement of a file or a folder, before or after it."""
    replace = os.replace

    def arm(number: int, after: bool) -> None:
        count = 0

        def dying(source: Any, target: Any) -> None:
            nonlocal count
            count += 1
            if count == number and not after:
                raise Killed
            replace(source, target)
            if count == number:
                raise Killed

        monkeypatch.setattr(os, "replace", dying)
        monkeypatch.setattr(files, "remove_quietly", lambda _: None)  # nobody cleans up

    yield arm
    monkeypatch.undo()


@pytest.mark.long
def test_a_call_killed_at_any_write_is_finished_by_the_same_call(
    tmp_path: Path, kill_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_kills, labels = [0, 0], None
    before = tmp_path / "before"
    before.mkdir()
    for call in range(2):
        undisturbed = tmp_path / f"after {call}"
        shutil.copytree(before, undisturbed)
        step = project(undisturbed).advance(6, labels, audit=4)
        expected = tree(undisturbed / "birds")
        for after in (False, True):
            for number in range(1, 30):
                path = tmp_path / f"{call} {after} {number}"
                shutil.copytree(before, path)
                kill_at(number, after)
                try:
                    project(path).advance(6, labels, audit=4)
                except Killed:
                    num_kills[call] += 1
                    monkeypatch.undo()
                    project(path).advance(6, labels, audit=4)
                    assert tree(path / "birds") == expected, (call, number, after)
                else:
                    monkeypatch.undo()
                    break
        before = undisturbed
        assert step.round is not None
        labels = answer(tmp_path / "answers.csv", step.round.ids)
    # Before and after each: settings, items, audit, and round, table and picture of two calls, with
    # the labels between them.
    assert num_kills == [12, 8]


def test_records_are_plain(tmp_path: Path) -> None:
    advance(tmp_path, 2)
    record = json.loads((tmp_path / "birds" / "round_002" / "round.json").read_text())
    assert record["measures"]["counts"] == {
        name: sum(truth(known.id) == name for known in project(tmp_path).folder.taken)
        for name in sorted({truth(known.id) for known in project(tmp_path).folder.taken})
    }
    assert item_names.digest("a", 1) != item_names.digest("a1")


def test_the_head_is_kept_with_what_it_takes_to_use_it(tmp_path: Path) -> None:
    from safetensors import safe_open

    advance(tmp_path, 2)
    folder = tmp_path / "birds" / "round_002"
    with safe_open(folder / "head.safetensors", "pt") as stored:
        described = json.loads(stored.metadata()["head"])
        weight, bias = (stored.get_tensor(f"network.{name}") for name in ("weight", "bias"))
    features = Cards().load()[0].features * described["scale"]
    predicted = (features @ weight.T + bias).argmax(1).tolist()
    written = predicted_by_id(folder)
    names = [described["classes"][number] for number in predicted]
    assert [written[f"card {row}"] for row in range(SIZE)] == names


def predicted_by_id(folder: Path) -> dict[str, str]:
    found = predicted_module.read(folder, [f"card {row}" for row in range(SIZE)])
    assert found is not None
    return found


def test_no_labels_in_a_new_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        project(tmp_path).advance(5, strategy="bait_binary")


class Unnamed(Cards):
    """The same items without names: row numbers are their ids."""

    def load(self) -> tuple[Examples, None]:
        return Examples(super().load()[0].features), None


def test_items_without_names_are_like_those_named_by_row_numbers(tmp_path: Path) -> None:
    class Numbered(Cards):
        def load(self) -> tuple[Examples, None]:
            return Examples(super().load()[0].features, ids=[*map(str, range(SIZE))]), None

    steps = []
    for source, name in ((Unnamed(), "unnamed"), (Numbered(), "numbered")):
        folder = tmp_path / name / "birds"
        step = Project(folder, source, trainer=TRAINER, in_memory=False).advance(8, audit=3)
        for _ in range(2):
            assert step.round is not None
            rows = [[item, CLASSES[int(item) % 3]] for item in step.round.ids]
            text = "".join(",".join(row) + "\n" for row in [["id", "label"], *rows])
            (tmp_path / "labels.csv").write_text(text)
            project = Project(folder, source, trainer=TRAINER, in_memory=True)
            step = project.advance(8, tmp_path / "labels.csv", audit=3)
        steps.append(step)
    assert steps[0].round == steps[1].round
    assert steps[0].history == steps[1].history
    items = (tmp_path / "unnamed" / "birds" / "items.jsonl").read_text()
    assert items == f'{{"num_rows": {SIZE}}}\n'
    trees = [tree(tmp_path / name) for name in ("unnamed", "numbered")]
    for one in trees:
        del one["birds/items.jsonl"]
    assert trees[0] == trees[1]


def test_a_list_of_row_numbers_becomes_a_number(tmp_path: Path) -> None:
    """As an earlier version has written it; items that are gone are known by both."""
    folder = tmp_path / "birds"
    step = Project(folder, Unnamed(), trainer=TRAINER).advance(8)
    (folder / "items.jsonl").write_text("".join(f'"{row}"\n' for row in range(SIZE)))
    again = Project(folder, Unnamed(), trainer=TRAINER).advance(8)
    assert not again.is_new
    assert again.round == step.round
    assert (folder / "items.jsonl").read_text() == f'{{"num_rows": {SIZE}}}\n'
    (folder / "items.jsonl").write_text(f'{{"num_rows": {SIZE + 2}}}\n')
    notes = Project(folder, Unnamed(), trainer=TRAINER).advance(8).notes
    assert any(note.startswith("2 items are gone") for note in notes)
    (folder / "items.jsonl").write_text('{"rows": 3}\n')
    with pytest.raises(RecordError, match="items.jsonl is damaged"):
        Project(folder, Unnamed(), trainer=TRAINER).advance(8)
