import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from dal.report import __main__ as command
from dal.report import figures, page, runs, tables
from tests.report.conftest import Writer, writer


def run(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dal.report", *map(str, arguments)])
    command.main()


def test_everything_is_written(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    run(study, "--out", out, monkeypatch=monkeypatch)
    shown = capsys.readouterr().out
    assert "Accuracy (AUC)" in shown
    assert "72 runs read." in shown
    names = {
        *("table_5", "acquisition_time", "comparisons", "over_datasets", "savings"),
        *("penalties", "ranking", "runs", "configuration"),
    }
    written = {path.name for path in (out / "tables").iterdir()}
    assert written == {f"{name}.{form}" for name in names for form in ("md", "tex", "csv")}
    drawn = {
        *("learning_curves", "improvement", "acquisition_time", "accuracy_against_time"),
        *("penalties", "ranking"),
    }
    for name in drawn:
        assert (out / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    cycles = pd.read_csv(out / "cycles.csv")
    assert len(cycles) == 72 * 8
    compared = pd.read_csv(out / "tables" / "comparisons.csv")
    assert compared["difference"].to_numpy() == pytest.approx(
        tables.comparisons(runs.read([study]).frame).numbers["difference"].to_numpy()
    )
    assert (out / "report.md").read_text().startswith("# Active learning report")


class Outline(HTMLParser):
    """What a browser would fetch, and how the page hangs together."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("link", "iframe", "img", "object", "embed") or "src" in given:
            self.loads.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        target = given.get("href") or given.get("xlink:href")
        if target and not target.startswith("data:"):
            self.targets.append(target)
        if tag not in ("meta", "br", "path", "use", "rect", "image"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "use", "rect", "image"):
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(study: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    writer(folder)([0.2, 0.3], "margin", 17, "first", num_cycles=8, fingerprint="first")
    reading = runs.read([study / "first", study / "second", folder])
    made = [*tables.all_tables(reading.frame), tables.configuration(reading.configurations)]
    return page.html(reading, made, "<runs> & more")


def test_the_page_fetches_nothing_and_hangs_together(html: str) -> None:
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert outline.loads == []
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not re.search(r"""(src|href)=(?!["']?(#|data:))""", html)
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.targets
    assert {target.removeprefix("#") for target in outline.targets} <= set(outline.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= set(outline.ids)
    assert "&lt;runs&gt; &amp; more" in html


def test_the_page_says_what_is_missing_and_follows_the_theme(html: str) -> None:
    assert "has 2 of 8 cycles" in html
    assert "1 of 7 runs unfinished and left out" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert 'name="viewport"' in html
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 4 * 2 + 2
    for picture in pictures:
        assert "currentColor" in picture
        assert figures.INK.lower() not in picture.lower()


def test_the_page_is_the_same_each_time(study: Path) -> None:
    reading = runs.read([study / "first" / "random", study / "first" / "margin"])
    made = tables.all_tables(reading.frame)
    assert page.html(reading, made, "x") == page.html(reading, made, "x")


def test_figures_are_drawn_whatever_is_missing(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "mine", 0, "lonely", seconds=0.0)
    write_run([0.5, 0.6], "margin", 0, "begun", num_cycles=4, seconds=0.1)
    write_run([0.5, 0.6, 0.7], "random", 0, "devices", device="cpu")
    write_run([0.5, 0.6, 0.7], "margin", 0, "devices", device="cpu")
    write_run([0.5, 0.6, 0.7], "margin", 1, "devices", device="gpu", seconds=0.001)
    frame = runs.read([tmp_path]).frame
    for draw in (figures.curves, figures.improvement, figures.times, figures.worth):
        assert figures.encoded(draw(frame), "png").startswith(b"\x89PNG")
    assert figures.encoded(figures.penalties(frame), "png").startswith(b"\x89PNG")
    assert figures.ranking(frame) is None


def test_a_mean_curve_is_the_mean(study: Path) -> None:
    frame = runs.read([study]).frame
    first = frame[frame["dataset"] == "first"]
    (axes,) = figures.curves(first).axes
    of = first[first["strategy"] == "random"]
    expected = 100 * of.groupby("num_labeled")["accuracy"].mean()
    line = axes.lines[0]
    assert np.asarray(line.get_xdata()).tolist() == expected.index.tolist()
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(expected.tolist())
    assert line.get_color() == "#7F7F7F"


def test_a_figure_is_as_wide_as_a_page(study: Path) -> None:
    frame = runs.read([study]).frame
    assert imread(BytesIO(figures.encoded(figures.curves(frame), "png"))).shape[1] == 2100
    one = frame[frame["dataset"] == "first"]
    assert imread(BytesIO(figures.encoded(figures.curves(one), "png"))).shape[1] == 1020


def test_only_what_was_asked_for_is_shown(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "write", lambda *_: None)
    run(study, "--show", "savings", "--out", tmp_path / "o", monkeypatch=monkeypatch)
    shown = capsys.readouterr().out
    assert "Label savings" in shown
    assert "Accuracy (AUC)" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Expected a directory of runs, got nowhere, which is not there"),
        (["empty"], "got none with a finished cycle"),
        (
            ["runs", "--show", "table5"],
            "Unknown table 'table5' for --show. Did you mean 'table_5'?",
        ),
        (["runs", "--out", "file"], "Expected a folder for --out, got file, which is a file"),
        (["runs", "--out", "file/below"], "Cannot write file/below"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    message: str,
    write_run: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run([0.5])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run(*arguments, monkeypatch=monkeypatch)
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_commands_of_the_readme_are_understood(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `python -m dal.report` of the README runs, on other directories."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    commands = re.findall(r"^python -m dal\.report(.*)$", readme, re.MULTILINE)
    assert commands
    monkeypatch.chdir(tmp_path)
    shutil.copytree(study / "first", tmp_path / "outputs" / "digits")
    monkeypatch.setattr(command, "write", lambda *_: None)
    for line in commands:
        run(*line.split("#")[0].split(), monkeypatch=monkeypatch)


def test_the_command_line_loads_nothing_heavy() -> None:
    code = (
        "import dal.report.__main__, sys, json;"
        "print(json.dumps([m for m in ('torch', 'pandas', 'matplotlib') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
