"""Labeling with a real Label Studio; `tests/label_studio/run` installs one and runs this."""

import csv
import io
import json
import os
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dal.labeling import label_studio, thumbnails
from dal.labeling.picks import Kind, Pick
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
