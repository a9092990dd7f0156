import base64
import csv
from xml.etree import ElementTree

import pytest

from dal.errors import DataError
from dal.labeling import label_studio, thumbnails
from dal.labeling.picks import Kind, Pick


def test_tasks_of_images() -> None:
    picks = [
        Pick(1, "b.jpg", thumbnail=b"\xff\xd8", predicted="cat", confidence=0.25, reason="why"),
        Pick(2, "a.jpg", thumbnail=b"\xff\xd9"),
    ]
    result = {
        "from_name": "label",
        "to_name": "shown",
        "type": "choices",
        "value": {"choices": ["cat"]},
    }
    data = {"item": "b.jpg", "project": "mine", "rank": 1, "image": "data:image/jpeg;base64,/9g="}
    assert label_studio.tasks(picks, "mine") == [
        {
            "data": {**data, "reason": "why", "predicted": "cat"},
            "predictions": [{"model_version": "dal", "score": 0.25, "result": [result]}],
        },
        {
            "data": {
                "item": "a.jpg",
                "project": "mine",
                "rank": 2,
                "image": "data:image/jpeg;base64,/9k=",
                "reason": "",
            }
        },
    ]


def test_tasks_of_texts_and_ids() -> None:
    [task] = label_studio.tasks([Pick(1, "x", text="</script>", predicted="cat")], "mine")
    assert task["data"]["text"] == "</script>"
    assert "score" not in task["predictions"][0]
    [task] = label_studio.tasks([Pick(1, "x")], "mine")
    assert task == {"data": {"item": "x", "project": "mine", "rank": 1, "reason": ""}}


def test_larger_pictures_take_the_place_of_thumbnails() -> None:
    picks = [Pick(1, "a", thumbnail=b"small"), Pick(2, "b", thumbnail=b"small")]
    tasks = label_studio.tasks(picks, "mine", {"b": b"large"})
    images = [task["data"]["image"].partition(",")[2] for task in tasks]
    assert list(map(base64.b64decode, images)) == [b"small", b"large"]


def test_the_largest_picture_fits_into_a_cell() -> None:
    picture = label_studio.data_uri(bytes(thumbnails.PICTURE.num_bytes))
    assert len(picture) <= csv.field_size_limit()


def test_configuration_for_images() -> None:
    assert label_studio.configuration(['a "b" & <c>', "d"], "image") == (
        "<View>\n"
        '  <Image name="shown" value="$image" />\n'
        '  <Choices name="label" toName="shown" choice="single" showInline="true">\n'
        '    <Choice value="a &quot;b&quot; &amp; &lt;c&gt;" hotkey="1" />\n'
        '    <Choice value="d" hotkey="2" />\n'
        "  </Choices>\n"
        '  <TextArea name="new_class" toName="shown" maxSubmissions="1" rows="1" '
        'placeholder="Another class, if none fits" />\n'
        "</View>\n"
    )


@pytest.mark.parametrize(
    ("kind", "shown"), [("image", "$image"), ("text", "$text"), ("id", "$item")]
)
def test_configuration_without_classes_asks_for_the_first(kind: Kind, shown: str) -> None:
    view = ElementTree.fromstring(label_studio.configuration([], kind))
    item, field = view
    assert item.get("value") == shown
    assert (field.tag, field.get("name")) == ("TextArea", "new_class")


def test_long_lists_can_be_searched() -> None:
    names = [f"class {number}" for number in range(30)]
    view = ElementTree.fromstring(label_studio.configuration(names, "text"))
    assert [child.tag for child in view] == ["Text", "TextArea", "Filter", "Choices"]
    assert [choice.get("value") for choice in view[3]] == names
    assert [choice.get("hotkey") for choice in view[3]] == [*map(str, range(1, 10)), *21 * [None]]


def test_names_with_a_dollar_sign_are_exported_as_they_are() -> None:
    view = ElementTree.fromstring(label_studio.configuration(["under $10"], "text"))
    choice = view[1][0]
    assert choice.get("alias") == "under $10"
    assert choice.get("value") == "under $\u206010"  # without it, "under undefined" is shown


def test_control_characters_are_refused() -> None:
    with pytest.raises(DataError, match=r"without control characters, got 'a\\x01'"):
        label_studio.configuration(["a\x01"], "text")
