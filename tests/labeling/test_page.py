"""What the page says; `test_page_keys` uses it."""

import json
from collections import defaultdict
from html.parser import HTMLParser

import pytest

from dal.labeling import page
from dal.labeling.page import Header
from dal.labeling.picks import Pick

HEADER = Header("Birds & co", "b1", "round 3", "bait_binary", "python -m dal.query <x>")
NASTY = ["</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "&amp;", "a\nb"]


class Document(HTMLParser):
    """Texts of a page by the class or id of the innermost element that has one."""

    VOID = ("meta", "link", "img", "input")

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.path: list[str] = []
        self.texts: dict[str, list[str]] = defaultdict(list)
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        assert not any(name.startswith("on") for name in found)
        self.addresses += [found[name] or "" for name in ("src", "href") if name in found]
        if tag not in self.VOID:
            self.path.append(found.get("id") or found.get("class") or tag)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self.path.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts[self.path[-1]].append(data)


def test_page_of_images() -> None:
    picks = [
        Pick(1, "b.jpg", thumbnail=b"\xff\xd8", predicted="owl", confidence=0.416, reason="why"),
        Pick(2, "a.jpg", thumbnail=b"\xff\xd9"),
    ]
    html = page.html(picks, HEADER, {"owl": 1, "emu": 3}, {"owl": 30, "emu": 10})
    document = Document(html)
    assert document.path == []
    assert document.texts["h1"] == ["Birds & co"]
    assert document.texts["title"] == ["Birds & co: round 3"]
    assert "Round 3: 2 items to label, chosen by bait_binary." in html
    assert document.addresses == [
        "data:,",
        "data:image/jpeg;base64,/9g=",
        "data:image/jpeg;base64,/9k=",
    ]
    assert document.texts["copy"] == ["b.jpg", "a.jpg"]
    assert document.texts["sure"] == ["42 %"]
    assert 'style="width: 41.6%"' in html
    table = [text for tag in ("th", "td") for text in document.texts[tag]]
    assert table == [
        "Class",
        "Labeled",
        "Predicted in the pool",
        "emu",
        "owl",
        "3",
        "10",
        "1",
        "30",
    ]
    [data] = document.texts["data"]
    assert json.loads(data) == {
        "key": "dal b1 round 3",
        "items": [
            {"id": "b.jpg", "predicted": "owl", "reason": "why"},
            {"id": "a.jpg", "predicted": None, "reason": ""},
        ],
        "classes": ["owl", "emu"],
    }
    assert html == page.html(picks, HEADER, {"owl": 1, "emu": 3}, {"owl": 30, "emu": 10})


@pytest.mark.parametrize("nasty", NASTY)
def test_everything_is_escaped(nasty: str) -> None:
    header = Header(nasty, nasty, nasty, nasty, nasty)
    pick = Pick(1, nasty, text=nasty, predicted=nasty, confidence=0.5, reason=nasty)
    plain = Document(
        page.html([Pick(1, "x", text="x", predicted="x", confidence=0.5)], HEADER, {"x": 1})
    )
    document = Document(page.html([pick], header, {nasty: 1}))
    assert document.tags == plain.tags
    assert document.texts["text"] == document.texts["copy"] == document.texts["h1"] == [nasty]
    [data] = document.texts["data"]
    assert json.loads(data)["items"] == [{"id": nasty, "predicted": nasty, "reason": nasty}]


def test_first_round_knows_no_class() -> None:
    document = Document(page.html([Pick(1, "7")], HEADER, {}))
    assert "table" not in document.tags
    assert document.texts["text"] == ["7"]


def test_pool_without_a_model_has_no_predictions() -> None:
    document = Document(page.html([Pick(1, "7")], HEADER, {"owl": 2}))
    assert document.texts["td"] == ["2", "–"]


def test_long_rounds_are_cut_and_say_so() -> None:
    html = page.html([Pick(rank, str(rank)) for rank in range(1, 1_202)], HEADER, {})
    assert "1201 items to label" in html
    assert "This page shows the first 1000; all are in <code>to_label.csv</code>." in html
    assert html.count("<li class") == 1_000
