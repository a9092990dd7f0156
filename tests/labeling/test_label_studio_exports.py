"""Exports of Label Studio; those in exports/ are of a real one, version 1.23.2.

There, three people saw ten texts, most with a prediction: see the expected answers below.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from dal.errors import DataError
from dal.labeling.agreement import agree
from dal.labeling.answers import read_answers

EXPORTS = Path(__file__).parent / "exports"
UNUSUAL = 'a "b" & <c>'
SKIPPED = '=cmd "x"ü'  # the id of the item that somebody skipped
LABELS = {
    "row,0": "dog",
    "row,1": "owl",  # a class that was not in the list
    "row,4": "lynx",  # written, where the prediction had chosen cat
    "row,5": None,  # submitted without a choice
    "row,6": UNUSUAL,
    "row,7": "dog",
    "row,8": "owl",
}
TIE = "row,3: 'cat' (1), 'dog' (2): open"


def choice(*labels: object, name: str = "label") -> dict[str, Any]:
    return {"type": "choices", "from_name": name, "value": {"choices": list(labels)}}


def text(*labels: object) -> dict[str, Any]:
    return {"type": "textarea", "from_name": "new_class", "value": {"text": list(labels)}}


def task(number: int, *results: dict[str, Any], **annotation: object) -> dict[str, Any]:
    return {
        "id": number,
        "data": {"item": f"{number}.jpg", "project": "birds-1"},
        "annotations": [{"id": 7, "completed_by": 1, "result": list(results), **annotation}],
        "predictions": [{"result": [choice("wrong")]}],
        "drafts": [{"result": [choice("wrong")]}],
    }


def write(folder: Path, value: object, name: str = "export.json") -> Path:
    file = folder / name
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


@pytest.mark.parametrize("name", ["json.json", "json_min.json", "csv.csv", "tsv.tsv"])
def test_real_exports(name: str) -> None:
    agreement = agree(read_answers(EXPORTS / name, project_id="proj-1"))
    found = {str(disagreement).partition(": ")[0] for disagreement in agreement.disagreements}
    if name == "json.json":  # the one that has what people skipped
        assert agreement.labels == LABELS | {SKIPPED: None}
        assert found == {"row,3", "row,7", "row,8"}
    else:
        assert agreement.labels == LABELS
        assert found == {"row,3", "row,8"}
    assert str(agreement.disagreements[0]) == TIE


@pytest.mark.parametrize("name", ["json.json", "json_min.json", "csv.csv", "tsv.tsv"])
def test_an_export_of_another_project(name: str) -> None:
    with pytest.raises(DataError, match="'birds-1' in .*another Label Studio project.*'proj-1' in"):
        read_answers(EXPORTS / name, project_id="birds-1")


def test_a_table_saved_by_excel(tmp_path: Path) -> None:
    text = (EXPORTS / "csv.csv").read_text()
    file = tmp_path / "export.csv"
    file.write_bytes(text.replace('","', '";"').replace(",", ";").encode("utf-16"))
    assert agree(read_answers(file)).labels.keys() >= {"row;0", "row;8"}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (task(1, choice("cat")), "cat"),
        (task(1, choice("cat"), was_cancelled=True), None),
        (task(1), None),
        (task(1, choice()), None),
        (task(1, text("owl")), "owl"),
        (task(1, choice("cat"), text("owl")), "owl"),
        (task(1, choice("cat"), text("")), "cat"),
        (task(1, choice("cat", name="kind")), "cat"),
        (task(1, choice("cat"), choice("blurred", name="quality")), "cat"),
        (task(1, choice("cat", name="choice"), choice("blurred", name="quality")), "cat"),
    ],
)
def test_annotations(annotation: object, expected: str | None, tmp_path: Path) -> None:
    (answer,) = read_answers(write(tmp_path, [annotation]), project_id="birds-1")
    assert (answer.id, answer.label, answer.annotator) == ("1.jpg", expected, "1")
    assert answer.where == "export.json, task 1"


@pytest.mark.parametrize(
    ("who", "name"),
    [(3, "3"), ({"id": 3, "email": "a@b.c"}, "a@b.c"), ({"id": 3, "email": ""}, "3"), (None, None)],
)
def test_who_annotated(who: object, name: str | None, tmp_path: Path) -> None:
    (answer,) = read_answers(write(tmp_path, [task(1, choice("cat"), completed_by=who)]))
    assert answer.annotator == name


def test_one_task_as_a_storage_has_it(tmp_path: Path) -> None:
    assert [answer.label for answer in read_answers(write(tmp_path, task(4, choice("x"))))] == ["x"]


def flat(**values: object) -> dict[str, object]:
    row: dict[str, object] = {
        "id": 5,
        "item": "5.jpg",
        "project": "birds-1",
        "annotation_id": 9,
        "annotator": 2,
    }
    return row | {"lead_time": 1.5} | values


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (flat(label="cat"), ["cat"]),
        (flat(choice="cat"), ["cat"]),
        (flat(label="{odd}"), ["{odd}"]),
        (flat(label=["cat"]), ["cat"]),
        (flat(label={"choices": ["cat"]}), ["cat"]),
        (flat(label='{"choices": ["cat"]}'), ["cat"]),
        (flat(label="cat", new_class={"text": ["owl"]}), ["owl"]),
        (flat(label=""), [None]),
    ],
)
def test_flat_rows(row: object, expected: list[str | None], tmp_path: Path) -> None:
    read = read_answers(write(tmp_path, [row]), project_id="birds-1")
    assert [answer.label for answer in read] == expected
    assert (read[0].id, read[0].annotator) == ("5.jpg", "2")
    assert read[0].where == "export.json, task 5, annotation 9"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([task(1, choice("cat", "dog"))], "one class in export.json, task 1, got 'cat' and 'dog'"),
        ([task(1, choice(["animal", "cat"]))], 'task 1, got ."animal", "cat".. Use single'),
        ([task(1, choice(" "))], "task 1, got only white space"),
        ([flat(label={"choices": ["cat", "dog"]})], "annotation 9, got 'cat' and 'dog'"),
        ([flat(label='{"choices": ["cat", "dog"]}')], "annotation 9, got 'cat' and 'dog'"),
        ([flat(lable="cat")], "choices called 'label' in export.json, got lable. Did you mean"),
        ([flat(label="x", annotation_id=None)], "has no row, or no annotation"),
        (
            [flat(label="x", item=None)],
            "1 of 1 without data.item, the first in .*task 5",
        ),
        ([flat(label="x") | {"project": 3}], "1 of 1 tasks have another data.project, the first 3"),
        ([task(1, choice("a")), task(2) | {"data": {"image": "x"}}], "1 of 2 without data.item"),
        ([task(1, choice("a")), {"id": 2, "data": {}}], "something else as number 1 of the list"),
        ([task(1) | {"annotations": [3]}], "something else as number 0 of the list"),
        ([task(1) | {"annotations": []}], "has no row, or no annotation"),
        ([task(1, {"type": "choices", "from_name": "label"})], "a result without a value"),
        (
            [task(1, {"type": "rectanglelabels", "from_name": "box", "value": {}})],
            r"choices called 'label' in export.json, got box \(rectanglelabels\)",
        ),
        (
            [task(1, choice("cat", name="kind"), choice("blurred", name="quality"))],
            r"got kind \(choices\), quality \(choices\)",
        ),
        ([{"data": {"item": "1.jpg"}, "predictions": []}], "the tasks that Label Studio imports"),
    ],
)
def test_bad_exports(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_answers(write(tmp_path, value), project_id="birds-1")


def test_choices_by_another_name(tmp_path: Path) -> None:
    two = [choice("cat", name="kind"), choice("blurred", name="quality")]
    for value in ([task(1, *two)], [flat(kind="cat", quality="blurred")]):
        (answer,) = read_answers(write(tmp_path, value), label_column="kind")
        assert answer.label == "cat"
