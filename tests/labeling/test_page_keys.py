"""The page in a real browser: keys, buttons, and what it keeps."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from dal.labeling import page, thumbnails
from dal.labeling.page import Header
from dal.labeling.picks import Pick
from tests.labeling import browser
from tests.labeling.browser import Browser, browsing

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="Chromium is not installed")

IDS = ["a.jpg", 'b,"c".jpg', "d\r\ne", " f ", "__proto__", "</script>"]
CONTROL = 2  # of the DevTools protocol


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def show(tab: Browser, tmp_path: Path) -> Callable[..., Browser]:
    """Opens a page of texts; each test has a project of its own."""

    def show(classes: list[str], number: int = 1, ids: list[str] = IDS) -> Browser:
        picks = [
            Pick(rank, id_, text=f"Text of {id_}", predicted="cat" if classes else None)
            for rank, id_ in enumerate(ids, start=1)
        ]
        header = Header("p", tmp_path.name, f"round {number}", "margin", "command")
        file = tmp_path / f"{number}.html"
        file.write_text(page.html(picks, header, dict.fromkeys(classes, 1)), "utf-8", newline="")
        tab.resize(1280, 900)
        tab.open(file.as_uri())
        return tab

    return show


def given(tab: Browser) -> dict[str, str]:
    """What the file that the page offers says."""
    rows = list(csv.reader(io.StringIO(tab.evaluate("table()"), newline="")))
    assert rows[0] == ["id", "label"]
    return dict(rows[1:])


def text(tab: Browser, name: str) -> str:
    return str(tab.evaluate(f"document.getElementById({json.dumps(name)}).textContent"))


def click(tab: Browser, selector: str) -> None:
    tab.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def test_keys_label_one_item_after_the_other(show: Callable[..., Browser]) -> None:
    tab = show(["cat", "dog"])
    assert (text(tab, "progress"), text(tab, "place")) == ("0 of 6", "Item 1 of 6")
    tab.press("2", "1", "s", "Enter", "0", "9")  # there is no ninth class
    assert text(tab, "progress") == "5 of 6"
    assert given(tab) == dict(zip(IDS[:5], ["dog", "cat", "", "cat", ""], strict=True))
    assert text(tab, "id") == IDS[5]
    assert tab.evaluate("document.getElementById('finish').hidden")
    tab.press("2")
    assert given(tab)[IDS[5]] == "dog"
    assert not tab.evaluate("document.getElementById('finish').hidden")
    assert tab.problems == []
    assert len(tab.requests) == 1  # the page itself


def test_undo_restores_what_was_before(show: Callable[..., Browser]) -> None:
    tab = show(["cat", "dog"])
    tab.press("1", "ArrowLeft", "2")  # the first item, changed
    assert given(tab) == {IDS[0]: "dog"}
    tab.press("u")
    assert given(tab) == {IDS[0]: "cat"}
    assert text(tab, "place") == "Item 1 of 6"
    tab.press("Backspace", "u")
    assert given(tab) == {}
    assert text(tab, "progress") == "0 of 6"


def test_new_classes_are_found_and_added(show: Callable[..., Browser]) -> None:
    tab = show([])
    tab.press("1", "Enter")  # nothing to choose yet
    assert given(tab) == {}
    tab.press("/", *"  Owl ", "Enter")
    tab.press("1")
    tab.press("/", *"ow", "Enter")  # the first that is found
    tab.press("/", *"ow")
    click(tab, "#classes .new")
    tab.press("/", *"2sx", "Escape", "2")  # typing is no command
    expected = dict(zip(IDS[:5], ["Owl", "Owl", "Owl", "ow", "ow"], strict=True))
    assert given(tab) == expected
    tab.press("/", *'"q",', "Enter")
    assert given(tab)[IDS[5]] == '"q",'


def test_browser_keeps_answers_of_a_round(show: Callable[..., Browser]) -> None:
    tab = show(["cat", "dog"])
    tab.press("2", "s")
    tab.reload()
    assert given(tab) == {IDS[0]: "dog", IDS[1]: ""}
    assert text(tab, "place") == "Item 3 of 6"
    tab.press("u")
    assert given(tab) == {IDS[0]: "dog"}
    assert given(show(["cat", "dog"], number=2)) == {}
    # Another page of the same round, for example with fewer items, keeps to its own.
    assert given(show(["cat", "dog"], ids=IDS[1:])) == {}


def test_browser_that_keeps_nothing_warns(show: Callable[..., Browser]) -> None:
    tab = show(["cat"])
    tab.evaluate("Storage.prototype.setItem = () => { throw new Error('full'); }")
    tab.press("1")
    assert not tab.evaluate("document.getElementById('warning').hidden")
    assert given(tab) == {IDS[0]: "cat"}


def test_shortcuts_of_the_browser_are_left_alone(show: Callable[..., Browser]) -> None:
    tab = show(["cat"])
    tab.press("s", "u", "1", modifiers=CONTROL)
    assert given(tab) == {}


def test_buttons_do_the_same(show: Callable[..., Browser]) -> None:
    tab = show(["cat", "dog"])
    click(tab, ".item:nth-child(4) .show")
    click(tab, "#classes button:nth-child(2)")
    click(tab, "#skip")
    assert given(tab) == {IDS[3]: "dog", IDS[4]: ""}
    click(tab, "#undo")
    tab.press("1")
    assert given(tab) == {IDS[3]: "dog", IDS[4]: "cat"}
    shown = "document.querySelector('.item:nth-child(5) .chip').textContent"
    assert tab.evaluate(shown) == "✓ cat"


def test_answers_are_downloaded(show: Callable[..., Browser], tmp_path: Path) -> None:
    tab = show(["cat", "Größe"])
    assert tab.evaluate("document.getElementById('download').disabled")
    tab.press("2", "1", "s", "2", "1", "1")
    folder = tmp_path / "downloads"
    tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    click(tab, "#download")
    file = folder / "labels.csv"
    deadline = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (
        file.read_bytes()
        == (
            'id,label\na.jpg,Größe\n"b,""c"".jpg",cat\n"d\r\ne",\n" f ",Größe\n__proto__,cat\n'
            "</script>,cat\n"
        ).encode()
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_the_screen(tab: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    long = "a_very_long_name_without_any_space" * 4
    thumbnail = thumbnails.jpeg(Image.new("RGB", (1200, 300), "navy"))
    picks = [
        Pick(rank, f"{long}{rank}", None, None, thumbnail, long, 0.5, None, long)
        for rank in range(1, 40)
    ]
    header = Header(long, f"fits {width} {dark}", "round 1", "margin", long)
    file = tmp_path / "page.html"
    file.write_text(page.html(picks, header, dict.fromkeys([long, "b"], 1), {long: 3}), "utf-8")
    tab.resize(width, 844, dark)
    tab.open(file.as_uri())
    tab.press(*20 * "1")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The item in focus is in sight, and on a phone not below what stays on top.
    top, bottom, covered = tab.evaluate(
        "(() => { const box = cards[focus].getBoundingClientRect();"
        "const panel = document.querySelector('.panel').getBoundingClientRect();"
        "return [box.top, box.bottom, innerWidth < 800 ? panel.bottom : 0]; })()"
    )
    assert covered - 1 <= top < 844
    assert bottom <= 845 or bottom - top > 844 - covered
    ink, paper = tab.evaluate(
        "['color', 'backgroundColor'].map(name => "
        "Number(getComputedStyle(document.body)[name].match(/\\d+/)[0]))"
    )
    assert (ink > paper) == dark
