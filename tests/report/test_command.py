import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pandas as pd
import pytest
from rich.console import Console

from dal.report import __main__ as command
from dal.report import (
    comparisons,
    drawing,
    formats,
    page,
    picks,
    rankings,
    savings,
    scores,
    standings,
)
from dal.report.tables import build_tables
from tests.report.conftest import Writer, read, writer


def run(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dal.report", *map(str, arguments)])
    command.main()


class Report(NamedTuple):
    """What the command made of some runs."""

    paths: list[Path]
    folder: Path
    shown: str
    num_calls: Counter[str]


# All that is computed from the frame.
COMPUTED = [
    (scores, "select_complete_runs"),
    (scores, "score_runs"),
    (scores, "time_selections"),
    (comparisons, "choose_baselines"),
    (comparisons, "pair_runs"),
    (comparisons, "pair_cycles"),
    (comparisons, "compare_by_dataset"),
    (comparisons, "compare_over_datasets"),
    (comparisons, "average_aucs"),
    (comparisons, "compare_final_scores"),
    (standings, "best_of_datasets"),
    (standings, "rank_by_difference"),
    (picks, "read_picks"),
    (picks, "measure_overlaps"),
    (picks, "measure_balance"),
    (savings, "measure_savings"),
    (savings, "summarize_savings"),
    (rankings, "penalty_matrix"),
    (rankings, "rank_strategies"),
]


@pytest.fixture(scope="module")
def report(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The whole report on two datasets and a run that is not finished, written once."""
    more = tmp_path_factory.mktemp("report") / "<more> & unfinished"
    writer(more)([0.2, 0.3], "margin", 17, "first", num_cycles=8, fingerprint="first")
    paths = [study / "first", study / "second", more]
    num_calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            num_calls[name] += 1
            return function(*args, **kwargs)

        return call

    shown = io.StringIO()
    arguments = [*map(str, paths), "--out", str(more.parent / "out")]
    with pytest.MonkeyPatch.context() as patch:
        for module, name in COMPUTED:
            patch.setattr(module, name, counted(name, getattr(module, name)))
        command.run(command.parser().parse_args(arguments), Console(file=shown, width=200))
    return Report(paths, more.parent / "out", shown.getvalue(), num_calls)


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return (report.folder / "report.html").read_text("utf-8")


def test_everything_is_written(report: Report) -> None:
    assert report.shown.startswith("Margin is best on both datasets (")
    assert "Overview" in report.shown
    assert "49 runs read." in report.shown
    tables = [
        "overview",
        "table_5",
        "acquisition_time",
        "final_scores",
        "comparisons",
        "over_datasets",
        "savings",
        "penalties",
        "ranking",
        "overlaps",
        "class_balance",
        "run_counts",
        "configuration",
        "runs",
    ]
    figures = [
        "learning_curves",
        "improvement",
        "acquisition_time",
        "accuracy_against_time",
        "penalties",
        "ranking",
    ]
    written = {path.name for path in (report.folder / "tables").iterdir()}
    assert written == {f"{name}.{form}" for name in tables for form in ("md", "tex", "csv")}
    written = {path.name for path in (report.folder / "figures").iterdir()}
    assert written == {f"{name}.{form}" for name in figures for form in ("pdf", "png")}
    for path in (report.folder / "figures").iterdir():
        assert path.read_bytes().startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")
    results = read(*report.paths)
    assert len(pd.read_csv(report.folder / "cycles.csv")) == len(results.frame) == 48 * 8 + 2
    compared = pd.read_csv(report.folder / "tables" / "comparisons.csv")
    assert compared["difference"].to_numpy() == pytest.approx(
        results.comparisons["difference"].to_numpy()
    )
    text = (report.folder / "report.md").read_text()
    assert text.startswith("# Active learning report\n\n**Margin is best on both datasets** (")


def test_everything_is_computed_once(report: Report) -> None:
    assert report.num_calls == {name: 1 for _, name in COMPUTED}


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


def test_the_page_fetches_nothing_and_hangs_together(report: Report, html: str) -> None:
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert outline.loads == []
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not re.search(r"""src=(?!["']?data:)""", html)
    assert not re.search(r"//(?!www\.w3\.org/)\w", html)
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.targets
    inside = {target for target in outline.targets if target.startswith("#")}
    assert {target.removeprefix("#") for target in inside} <= set(outline.ids)
    others = [unquote(target) for target in outline.targets if target not in inside]
    assert len(others) == 49
    for target in others:
        assert not Path(target).is_absolute()
        assert (report.folder / target / "curve.csv").exists()
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= set(outline.ids)
    assert "&lt;more&gt; &amp; unfinished" in html


def test_the_page_says_what_is_missing_and_follows_the_theme(html: str) -> None:
    assert "has 2 of 8 cycles" in html
    assert "1 of 7 runs unfinished and left out" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert 'name="viewport"' in html
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    large = [picture for picture in pictures if "<text" in picture]
    assert len(large) == 3 * 2 + 1  # curves, improvement, times of two datasets, and the ranking
    for picture in large:
        assert "currentColor" in picture
        assert drawing.INK.lower() not in picture.lower()


def test_the_page_is_the_same_each_time(report: Report, html: str) -> None:
    results = read(*report.paths)
    tables = [page.with_relative_links(table, report.folder) for table in build_tables(results)]
    (made,) = re.findall(r"Made on .*? by dal [^<]*", html)
    assert page.html(results, tables, unescape(made)) == html


def test_tables_can_be_copied_from_the_page(report: Report, html: str) -> None:
    found = re.search(r'<script type="application/json" id="copies">(.*?)</script>', html)
    assert found
    copies = json.loads(found[1])
    for name in re.findall(r'data-table="(\w+)" data-form="CSV"', html):
        assert copies[name]["CSV"] == (report.folder / "tables" / f"{name}.csv").read_text()
    latex = (report.folder / "tables" / "final_scores.tex").read_text()
    assert copies["final_scores"]["LaTeX"] == latex
    assert 'data-text="python -m dal.train --config-path ' in html


def test_the_page_holds_each_number_once(html: str) -> None:
    """The first screen first; times, penalties and ranks in one place each; nothing empty."""
    names = re.findall(r'<table[^>]* aria-describedby="(\w+)-caption"', html)
    assert names[0] == "overview"
    assert len(names) == len(set(names))
    assert not {"table_3", "table_4", "ranking"} & set(names)
    assert html.index('class="answer"') < html.index('class="figures') < html.index("<table")
    first, *rest = re.findall(r"<details[^>]*>", html)
    assert "open" in first  # AUC by dataset, as there are two
    assert not any("open" in fold for fold in rest)
    for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
        cells = re.findall(r"<td[^>]*>\s*(?:<\w+>)?([^<]*)", table)
        assert set(cells) != {"–"}


def test_only_what_was_asked_for_is_shown(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "write", lambda *_: None)
    run(study / "first", "--show", "savings", "--out", tmp_path / "o", monkeypatch=monkeypatch)
    shown = capsys.readouterr().out
    assert "Label savings" in shown
    assert "Overview" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Expected a directory of runs, got nowhere, which is not there"),
        (["empty"], "got none with a finished cycle"),
        (
            ["runs", "--show", "table5"],
            "Unknown table 'table5' for --show. Did you mean 'table_5'?",
        ),
        (
            ["runs", "--baseline", "randon"],
            "No run of the baseline 'randon'. Did you mean 'random'?",
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


def test_commands_of_the_page_are_understood(
    write_run: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `python -m dal.report` of its page runs, on other directories."""
    page = (Path(command.__file__).parent / "README.md").read_text()
    commands = re.findall(r"^python -m dal\.report(.*)$", page, re.MULTILINE)
    assert commands
    monkeypatch.chdir(tmp_path)
    write_run([0.5, 0.6], name="digits", root="outputs")
    write_run([0.5, 0.6], "badge", name="digits", root="outputs")
    monkeypatch.setattr(command, "write", lambda *_: None)
    for line in commands:
        run(*line.split("#")[0].split(), monkeypatch=monkeypatch)


def loaded_by(code: str, *names: str) -> list[str]:
    """Which of some modules a new process has loaded after some code."""
    code += f"; import sys, json; print(json.dumps([m for m in {names!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import dal.report.__main__", "torch", "pandas", "matplotlib") == []


def test_a_report_loads_nothing_that_runs_experiments(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6])
    code = (
        "import dal.report, dal.report.page, dal.report.formats, dal.report.tables; "
        f"dal.report.tables.build_tables(dal.report.load({str(tmp_path)!r}))"
    )
    assert loaded_by(code, "pandas", "hydra", "lightning", "wandb", "torchmetrics") == ["pandas"]


def test_runs_link_to_where_a_tracker_shows_them(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(2):
        path = write_run([0.5, 0.6], seed=seed)
    url = "https://wandb.ai/me/dal/runs/1a2b"
    tracking = {"id": "1a2b", "mode": "online", "url": url, "finished": True}
    (path / "tracking.json").write_text(json.dumps(tracking))
    (path.parent / "seed_0" / "tracking.json").write_text("damaged")  # which hides no result
    results = read(tmp_path)
    (table,) = (table for table in build_tables(results) if table.name == "runs")
    assert [row[-1].text for row in table.rows] == ["–", "1a2b"]
    table = page.with_relative_links(table, tmp_path)
    assert f'<a href="{url}">1a2b</a>' in page.html(results, [table], "")
    assert f"[1a2b](<{url}>)" in formats.markdown(table)
