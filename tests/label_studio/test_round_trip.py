"""Labeling with a real Label Studio; `tests/label_studio/run` installs one and runs this."""

import csv
import io
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dal import query
from dal.data import Embedded, ImageFolder
from dal.errors import DataError
from dal.labeling import label_studio, thumbnails
from dal.labeling.folder import ProjectFolder
from dal.labeling.picks import Kind, Pick
from dal.labeling.project import Project, Step
from tests.images import CPU, extractor_of, save_images
from tests.label_studio.server import TOKEN, Person

URL = os.environ.get("DAL_TEST_LABEL_STUDIO")  # of the server that tests/label_studio/run starts
pytestmark = pytest.mark.skipif(URL is None, reason="run by tests/label_studio/run")

CLASSES = ["cat", 'a "dog" & <b>', "under $10"]


@pytest.fixture(scope="module")
def owner() -> Person:
    assert URL is not None
    return Person(URL, TOKEN)


def picks(num: int, predicted: str | None) -> list[Pick]:
    """Images whose ids spreadsheets and scripts would misread."""
    ids = ["=1+1.jpg", "a,b.jpg", 'ü "q".jpg', "0012", "<b>.jpg", "$item"]
    pixels = np.random.default_rng(0).integers(0, 256, (num, 500, 700, 3), np.uint8)
    return [
        Pick(
            rank=rank,
            id=ids[rank - 1],
            thumbnail=thumbnails.jpeg(Image.fromarray(image)),
            predicted=predicted,
            confidence=None if predicted is None else 0.5,
            reason="low margin: cat 0.41, dog 0.39",
        )
        for rank, image in enumerate(pixels, start=1)
    ]


def answers(export: bytes) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """For each item of an export as JSON, what each person chose and wrote; a skip is empty."""
    return [
        (
            task["data"]["item"],
            [
                (entry["from_name"], entry["value"].get("choices") or entry["value"]["text"])
                for annotation in task["annotations"]
                for entry in annotation["result"]
            ],
        )
        for task in sorted(json.loads(export), key=lambda task: int(task["data"]["rank"]))
    ]


def cells(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    names = ("item", "project", "predicted", "label", "new_class")
    item, project, predicted, label, new_class = (row.get(name) or "" for name in names)
    return item, project, predicted, label, new_class


def test_exports_carry_ids_and_answers(owner: Person) -> None:
    items = picks(6, "cat")
    pictures = {
        pick.id: thumbnails.jpeg(Image.effect_noise((1500, 1500), 90), thumbnails.PICTURE)
        for pick in items
    }
    project = owner.create("images", label_studio.configuration(CLASSES, "image"))
    tasks = owner.upload(project, label_studio.tasks(items, "mine", pictures))
    second = owner.invite("second@example.org")

    owner.annotate(tasks[0], "under $10")
    second.annotate(tasks[0], "cat")
    owner.annotate(tasks[1], 'a "dog" & <b>')
    owner.annotate(tasks[2], new_class="Größe, „q“")
    owner.annotate(tasks[3], "cat", new_class="lynx")  # the prediction was chosen already
    owner.skip(tasks[4])

    ids = [pick.id for pick in items]
    assert answers(owner.export(project, "JSON")) == [
        (ids[0], [("label", ["under $10"]), ("label", ["cat"])]),
        (ids[1], [("label", ['a "dog" & <b>'])]),
        (ids[2], [("new_class", ["Größe, „q“"])]),
        (ids[3], [("label", ["cat"]), ("new_class", ["lynx"])]),
        (ids[4], []),
    ]
    expected = [
        (ids[0], "mine", "cat", "cat", ""),
        (ids[0], "mine", "cat", "under $10", ""),
        (ids[1], "mine", "cat", 'a "dog" & <b>', ""),
        (ids[2], "mine", "cat", "", "Größe, „q“"),
        (ids[3], "mine", "cat", "cat", "lynx"),
    ]
    short = json.loads(owner.export(project, "JSON_MIN"))
    assert sorted(map(cells, short)) == sorted(expected)
    # With the standard limit of a cell: pictures are in them.
    table = csv.DictReader(io.StringIO(owner.export(project, "CSV").decode()))
    assert sorted(map(cells, table)) == sorted(expected)


def test_project_continues_with_classes_that_people_added(owner: Person) -> None:
    project = owner.create("rounds", label_studio.configuration([], "image"))
    first = owner.upload(project, label_studio.tasks(picks(2, None), "mine"))
    owner.annotate(first[0], new_class="owl")

    owner.configure(project, label_studio.configuration(["owl"], "image"))
    items = [Pick(1, "next", thumbnail=b"\xff", predicted="owl", confidence=0.9)]
    for _ in range(2):  # the predictions of every round are those that people are shown
        [task] = owner.upload(project, label_studio.tasks(items, "mine"))
        [prediction] = owner.call("GET", f"/api/tasks/{task}")["predictions"]
        shown = owner.call("GET", f"/api/projects/{project}")["model_version"]
        assert prediction["model_version"] == shown
        assert prediction["score"] == 0.9
    owner.annotate(task, "owl")
    assert answers(owner.export(project, "JSON")) == [
        ("=1+1.jpg", [("new_class", ["owl"])]),
        ("next", [("label", ["owl"])]),
    ]


@pytest.mark.parametrize("kind", ["image", "text", "id"])
@pytest.mark.parametrize("classes", [[], CLASSES, [f"class {number}" for number in range(1000)]])
def test_configuration_is_accepted(owner: Person, classes: list[str], kind: Kind) -> None:
    project = owner.create("a title", label_studio.configuration(classes, kind))
    known = owner.call("GET", f"/api/projects/{project}")["parsed_label_config"]
    assert known["new_class"]["type"] == "TextArea"
    if classes:
        assert known["label"]["type"] == "Choices"
        assert len(known["label"]["labels"]) == len(classes)


COLOURS = {"ant": 14, "bee": 13, "cow": 3}  # images that tests.images draws in a colour each


class Annotated:
    """A project of images without labels, and a project of Label Studio in which people label it.

    Args:
        owner: Of Label Studio.
        folder: For the images, and the project.
        weights: Of a small network.
        name: Of the project.
    """

    def __init__(self, owner: Person, folder: Path, weights: Path, name: str) -> None:
        self.owner, self.folder, self.weights, self.name = owner, folder, weights, name
        if not (folder / "photos").exists():
            for label, path in self._draw(folder / "drawn"):
                target = folder / "photos" / f"{label}_{path.name}"
                target.parent.mkdir(exist_ok=True)
                path.rename(target)
        self.export = folder / f"{name}.json"
        self.number: int | None = None
        self.tasks: dict[str, int] = {}

    @staticmethod
    def _draw(folder: Path) -> list[tuple[str, Path]]:
        save_images(folder, COLOURS)
        return [(path.parent.name, path) for path in sorted(folder.glob("*/*"))]

    def advance(self, *, with_labels: bool = True, **options: Any) -> Step:
        """A call of the project, with what Label Studio exports."""
        items = ImageFolder(self.folder / "photos", {"train": "train", "test": None})
        source = Embedded(items, extractor_of(self.weights, self.folder / "cache"))
        trainer = partial(CPU, max_epochs=5)
        if with_labels:
            assert self.number is not None
            self.export.write_bytes(self.owner.export(self.number, "JSON"))
        project = Project(self.folder / self.name, source, trainer=trainer)
        return project.advance(6, self.export if with_labels else None, **options)

    def upload(self, step: Step) -> list[str]:
        """Imports the tasks of a round as people do; the ids of its items."""
        assert step.round is not None
        files = self.folder / self.name / step.round.name
        configuration = (files / "label_studio.xml").read_text()
        if self.number is None:
            self.number = self.owner.create(self.name, configuration)
        self.owner.configure(self.number, configuration)
        numbers = self.owner.upload(
            self.number, json.loads((files / "label_studio.json").read_text())
        )
        self.tasks |= dict(zip(step.round.ids, numbers, strict=True))
        return step.round.ids

    def answer(self, person: Person, name: str, classes: list[str]) -> None:
        """Somebody chooses the true class, or writes it if it is not in the list."""
        label = name.partition("_")[0]
        if label in classes:
            person.annotate(self.tasks[name], label)
        else:
            person.annotate(self.tasks[name], new_class=label)


def test_three_rounds_and_a_second_opinion(owner: Person, tmp_path: Path, weights: Path) -> None:
    mine = Annotated(owner, tmp_path, weights, "insects")
    second = owner.invite("third@example.org")
    step = mine.advance(with_labels=False)
    known: set[str] = set()
    skipped = ""
    for number in range(1, 4):
        assert step.round is not None
        assert step.round.number == number
        ids = mine.upload(step)
        classes = sorted(known)
        if number == 1:
            skipped, *ids = ids
            owner.skip(mine.tasks[skipped])
        for name in ids:
            mine.answer(owner, name, classes)
        known |= {name.partition("_")[0] for name in ids}
        if number == 2:  # an item on which two people do not agree is open
            other = next(label for label in classes if not ids[0].startswith(label))
            second.annotate(mine.tasks[ids[0]], other)
            mine.answer(second, ids[1], classes)
            disputed, votes = ids[0], (other, ids[0].partition("_")[0])
        step = mine.advance()
        assert step.num_taken == (5 if number == 2 else 6)
        assert step.num_skipped == (1 if number == 1 else 0)
        listed = [note for note in step.notes if note.endswith(": open")]
        assert len(listed) == (number >= 2)
        if listed:
            assert listed[0].startswith(f"{disputed}: ")
            assert all(f"'{label}' (" in listed[0] for label in votes)
    folder = ProjectFolder(tmp_path / "insects")
    taken = {answer.id: answer.label for answer in folder.taken}
    assert len(taken) == 17
    assert disputed not in taken
    assert taken.pop(skipped) is None
    assert all(name.startswith(f"{label}_") for name, label in taken.items())
    assert [row["num_labeled"] for row in step.history] == [0, 5, 10, 16]

    theirs = Annotated(owner, tmp_path, weights, "others")
    theirs.upload(theirs.advance(with_labels=False))
    theirs.answer(owner, next(iter(theirs.tasks)), [])
    theirs.number, number_of_theirs = mine.number, theirs.number
    with pytest.raises(DataError, match="an export of another Label Studio project"):
        theirs.advance()
    assert number_of_theirs != mine.number
    assert not ProjectFolder(tmp_path / "others").taken


def test_the_command_reads_an_export(
    owner: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("embeddings.npy", np.random.default_rng(0).normal(size=(30, 4)))

    def call(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["dal.query", "project=birds", *arguments])
        query.main()

    call("data=arrays", "data.path=embeddings.npy", "num=4", "trainer.max_epochs=2")
    files = Path("birds/round_001")
    project = owner.create("birds", (files / "label_studio.xml").read_text())
    tasks = owner.upload(project, json.loads((files / "label_studio.json").read_text()))
    for number, task in enumerate(tasks):
        owner.annotate(task, new_class=("owl", "swan")[number % 2])
    for form in ("JSON", "JSON_MIN", "CSV"):  # the last two say nothing new
        Path("export").write_bytes(owner.export(project, form))
        call("labels=export")
    with Path("birds/labels.csv").open() as stream:
        assert [row["label"] for row in csv.DictReader(stream)].count("owl") == 2
    assert Path("birds/round_002/page.html").exists()
    assert not Path("birds/round_003").exists()
