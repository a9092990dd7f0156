"""Label Studio: tasks to import, and how its page for people looks."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from dal.errors import DataError
from dal.labeling.picks import Kind, Pick, common_kind

# The names by which exports call what a person chose, and the class that was not in the list.
LABEL = "label"
NEW_CLASS = "new_class"
SHOWN = "shown"  # the image or the text that both belong to

# Label Studio shows the predictions of one model in a project, the first one's: every round's has
# the same name.
MODEL_VERSION = "dal"

MAX_LISTED = 20  # classes without a field to search them
MAX_HOTKEYS = 9  # one for each digit but 0

_NOT_IN_XML = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def tasks(
    picks: Sequence[Pick], project: str, pictures: Mapping[str, bytes] | None = None
) -> list[dict[str, Any]]:
    """Tasks in order, as Label Studio imports them from JSON.

    A task needs no other file or server: an image is in it. Exports repeat what is in ``data``: the
    item's id is ``data.item`` there, the project ``data.project``.

    Args:
        picks: The items.
        project: The id of the project, by which an export of another one is noticed.
        pictures: By the item's id, larger JPEGs than the thumbnails, where there are any. An export
            as CSV has them in cells, and Python's reader of CSV refuses cells above 131,072
            characters: a picture should have at most ``thumbnails.PICTURE.num_bytes``.
    """
    kind = common_kind(picks)
    return [_task(pick, kind, project, pictures or {}) for pick in picks]


def _task(pick: Pick, kind: Kind, project: str, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    data: dict[str, Any] = {"item": pick.id, "project": project, "rank": pick.rank}
    if kind == "image":
        data["image"] = data_uri(pictures.get(pick.id, pick.thumbnail or b""))
    elif kind == "text":
        data["text"] = pick.text
    data["reason"] = pick.reason
    if pick.predicted is None:
        return {"data": data}
    # People who write a new class often leave the prediction chosen: with it in the data, an export
    # shows which of the two was theirs.
    data["predicted"] = pick.predicted
    choice = {
        "from_name": LABEL,
        "to_name": SHOWN,
        "type": "choices",
        "value": {"choices": [pick.predicted]},
    }
    prediction: dict[str, Any] = {"model_version": MODEL_VERSION, "result": [choice]}
    if pick.confidence is not None:
        prediction["score"] = pick.confidence
    return {"data": data, "predictions": [prediction]}


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that holds the image itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def configuration(classes: Sequence[str], kind: Kind) -> str:
    """The labeling configuration, in XML: the item, the classes, and a field for a new class.

    Keys 1 to 9 choose the first nine classes. The field is above a long list, where it is seen.

    Args:
        classes: The classes known so far, in the order in which they are shown; may be empty.
        kind: What people see of the items.

    Raises:
        DataError: If XML cannot hold a class's name.
    """
    view = ElementTree.Element("View")
    shown = {"image": ("Image", "$image"), "text": ("Text", "$text"), "id": ("Text", "$item")}
    tag, value = shown[kind]
    ElementTree.SubElement(view, tag, {"name": SHOWN, "value": value})
    is_long = len(classes) > MAX_LISTED
    if is_long:
        _add_field(view, "Another class, if none below fits")
        find = {"name": "find", "toName": LABEL, "minlength": "0", "placeholder": "Find a class"}
        ElementTree.SubElement(view, "Filter", find)
    if classes:
        attributes = {"name": LABEL, "toName": SHOWN, "choice": "single"}
        attributes |= {} if is_long else {"showInline": "true"}
        choices = ElementTree.SubElement(view, "Choices", attributes)
        for number, name in enumerate(classes, start=1):
            ElementTree.SubElement(choices, "Choice", _choice(name, number))
    if not is_long:
        _add_field(view, "Another class, if none fits" if classes else "The class")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _add_field(view: ElementTree.Element, placeholder: str) -> None:
    attributes = {"name": NEW_CLASS, "toName": SHOWN, "maxSubmissions": "1", "rows": "1"}
    ElementTree.SubElement(view, "TextArea", {**attributes, "placeholder": placeholder})


def _choice(name: str, number: int) -> dict[str, str]:
    """The attributes of a class in the list."""
    refused = _NOT_IN_XML.search(name)
    if refused:
        raise DataError(
            f"Expected names of classes without control characters, got {name!r}: Label Studio "
            "cannot show it. Rename the class in the labels."
        )
    hotkey = {"hotkey": str(number)} if number <= MAX_HOTKEYS else {}
    if "$" in name:
        # Label Studio would replace it, and the word that follows, by a field of the task, unless
        # an invisible character is between them. What it exports is the alias.
        return {"value": name.replace("$", "$\N{WORD JOINER}"), "alias": name, **hotkey}
    return {"value": name, **hotkey}
