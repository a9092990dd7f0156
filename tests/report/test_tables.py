import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dal.report import formats, palette, runs, statistics, tables
from tests.report.conftest import Writer

# Huseljic et al. (2024), table 5, as published.
STRATEGIES = ["margin", "badge", "typiclust", "bait_exp", "bait_binary"]
PAPER = """
CIFAR-10       82.05  +2.38  +2.55  +3.57 +5.43  +5.74
STL-10         85.79  +4.42  +3.91  +3.70 +6.19  +6.45
Snacks         71.93  +3.32  +3.08  +7.29 +7.50  +8.60
CIFAR-100      67.20  +1.49  +1.48  +3.09 –      +4.73
Food-101       68.05  +0.62  +0.99  +3.42 –      +3.54
Flowers102     56.00 +12.05 +10.08 +17.64 –     +18.23
StanfordDogs   65.79  +2.39  +2.59  +4.22 –      +3.46
Tiny-ImageNet  63.71  +0.67  +1.21  +2.52 –      +3.46
ImageNet       60.74  +0.88  +1.34  −5.76 –      +1.48
"""


@pytest.fixture
def paper(write_run: Writer, tmp_path: Path) -> pd.DataFrame:
    """Runs whose AUC are the published ones: a slope around the mean, over three cycles."""
    slope = np.array([-0.1, 0.0, 0.1])
    for line in PAPER.split("\n")[1:-1]:
        dataset, first, *rest = line.split()
        base = float(first) / 100
        write_run(base + slope, "random", name=dataset, fingerprint=dataset)
        for strategy, text in zip(STRATEGIES, rest, strict=True):
            if text != "–":
                gain = float(text.replace("−", "-")) / 100
                write_run(base + gain + slope, strategy, name=dataset, fingerprint=dataset)
    return runs.read([tmp_path]).frame


def test_the_papers_table_5(paper: pd.DataFrame) -> None:
    table = tables.benchmark(paper)
    names = ["Random", "Margin", "BADGE", "TypiClust", "BAIT (Exp)", "BAIT (Binary)"]
    assert table.header == ["Dataset", "Seeds", *names]
    published = {line.split()[0]: line.split()[1:] for line in PAPER.split("\n")[1:-1]}
    found = {row[0].text: row for row in table.rows}
    assert {name: [cell.text for cell in row[2:]] for name, row in found.items()} == published
    best = {
        name: [h for h, c in zip(table.header, row, strict=True) if c.is_best]
        for name, row in found.items()
    }
    assert best == {
        name: ["TypiClust" if name == "StanfordDogs" else "BAIT (Binary)"] for name in published
    }
    # BAIT (Exp) is missing in 6 of 9 datasets, and the other five are ranked.
    ranking = statistics.ranking(paper)
    assert ranking is not None
    assert ranking.left_out == ["bait_exp"]
    assert ranking.ranks.index[0] == "bait_binary"


def test_the_numbers_of_a_table_are_in_full_precision(frame: pd.DataFrame) -> None:
    numbers = tables.benchmark(frame).numbers.set_index(["dataset", "strategy"])
    aucs = 100 * frame.groupby(["dataset", "strategy", "seed"])["accuracy"].mean()
    expected = aucs.groupby(["dataset", "strategy"]).agg(["mean", "std"])
    assert numbers["auc"].to_dict() == pytest.approx(expected["mean"].to_dict())
    assert numbers["auc_std"].to_dict() == pytest.approx(expected["std"].to_dict())


def test_marks_are_those_of_the_corrected_tests(frame: pd.DataFrame) -> None:
    table = tables.benchmark(frame)
    compared = statistics.comparisons(frame).set_index(["dataset", "strategy"])
    for row in table.rows:
        for strategy, cell in zip(("margin", "entropy", "badge"), row[3:], strict=True):
            found = compared.loc[(row[0].text, strategy)]
            assert ("*" in cell.marks) == (found["holm_t"] < 0.05)
            assert ("†" in cell.marks) == (found["holm_wilcoxon"] < 0.05)
            assert cell.text == f"{tables.signed(found['difference'])} ± {found['std']:.2f}"
    assert any("*" in cell.marks for row in table.rows for cell in row)


def test_too_few_seeds_are_said_with_how_many_would_do(frame: pd.DataFrame) -> None:
    five = frame[frame["seed"] < 5]
    remarks = tables.benchmark(five).remarks
    assert len(remarks) == 3
    assert "With 5 its p-value is at least 0.0625, 0.188 after Holm's" in remarks[0]
    assert "with 7 seeds it can" in remarks[0]
    (one, *_) = tables.benchmark(frame[frame["seed"] < 1]).remarks
    assert "one seed allows no claim" in one


def test_what_is_known_stands_at_its_number(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(3):
        write_run([0.5, 0.6], "random", seed)
        write_run([0.5, 0.7], "margin", seed)
    write_run([0.5, 0.7], "badge", 0)
    write_run([0.5, 0.7], "badge", 9)
    write_run([0.5, 0.7], "entropy", 0)
    write_run([0.5], "entropy", 1, num_cycles=2)
    write_run([0.5], "typiclust", 0, num_cycles=2)
    write_run([0.5, 0.7], "margin", 0, name="lonely")
    table = tables.benchmark(runs.read([tmp_path]).frame)
    cells = {
        (row[0].text, name): cell
        for row in table.rows
        for name, cell in zip(table.header, row, strict=True)
    }
    assert cells["toy", "Margin"].notes == ()
    assert "1 of 2 runs left out, without a run of random" in cells["toy", "BADGE"].notes[0]
    assert "one seed, hence no spread" in cells["toy", "BADGE"].notes[1]
    assert cells["toy", "BADGE"].text == "+5.00"
    assert "1 of 2 runs unfinished" in cells["toy", "Entropy"].notes[0]
    assert cells["toy", "TypiClust"].text == "–"
    assert "1 of 1 runs unfinished" in cells["toy", "TypiClust"].notes[0]
    assert cells["lonely", "Random"].text == "–"
    assert "no complete run of random" in cells["lonely", "Random"].notes[0]
    assert cells["lonely", "Margin"].text == "AUC 60.00"
    assert not any(cell.is_best for (name, _), cell in cells.items() if name == "lonely")


def test_random_is_the_best_where_all_others_harm(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "random")
    write_run([0.4], "entropy")
    ((*_, randoms, entropy),) = tables.benchmark(runs.read([tmp_path]).frame).rows
    assert randoms.is_best
    assert not entropy.is_best
    assert entropy.text == "−10.00"


def test_tables_3_and_4_have_the_papers_layout(write_run: Writer, tmp_path: Path) -> None:
    times = {"random": 0.0001, "bait_exp": 1096.0, "bait_binary": 13.0, "bait": 1927.0}
    for strategy, seconds in times.items():
        for seed in range(2):
            write_run([0.5, 0.6 + seed / 100], strategy, seed, seconds=seconds)
    write_run([0.5, 0.6], "bait", 0, root="gpu", seconds=83.0, device="RTX 4090")
    frame = runs.read([tmp_path / "runs", tmp_path / "gpu"]).frame
    three, four = tables.bait_tables(frame)
    assert [three.name, four.name] == ["table_3", "table_4"]
    assert three.header[2:] == ["Random", "BAIT (Exp)", "BAIT"]
    assert four.header[2:] == ["Random", "BAIT (Binary)", "BAIT"]
    shown = {row[1].text: [cell.text for cell in row[2:]] for row in three.rows}
    assert shown["Acquisition time (cpu)"] == ["0.1 ms", "18:16", "32:07"]
    assert shown["Acquisition time (RTX 4090)"] == ["–", "–", "83.0 s"]
    assert shown["Accuracy (AUC)"][1] == "+0.00 ± 0.00"


def test_variants_of_a_strategy_are_columns_of_table_3(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "random")
    for place, top in enumerate((1, 2, 5)):
        strategy = {"_target_": "package.bait_exp", "top_classes": top}
        write_run([0.5, 0.6], "bait_exp", root=str(place), config={"strategy": strategy})
    (table,) = tables.bait_tables(runs.read([tmp_path]).frame)
    assert table.header[3:] == [f"BAIT (Exp) [top_classes={top}]" for top in (1, 2, 5)]


def test_censored_savings_are_plain(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(3):
        write_run([0.2, 0.4, 0.6], "random", seed)
        write_run([0.2, 0.3, 0.5], "entropy", seed)
        write_run([0.2, 0.6, 0.7 if seed else 0.5], "margin", seed)
    frame = runs.read([tmp_path]).frame
    rows = {row[1].text: [cell.text for cell in row] for row in tables.savings(frame).rows}
    assert rows["Random"][2:5] == ["3 of 3", "30", "1.00"]
    assert rows["Entropy"][2:] == ["0 of 3", "not reached", "not reached", "not reached"]
    assert rows["Margin"][2:5] == ["3 of 3", "20", "0.67"]


def test_runs_that_others_have_are_named(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(6):
        write_run([0.5], "random", seed)
    write_run([0.5], "margin", 4)
    write_run([0.5], "margin", 0)
    (row,) = tables.coverage(runs.read([tmp_path]).frame).rows
    assert [cell.text for cell in row] == ["toy", "6 of 6", "2 of 6"]
    assert row[2].notes == ("toy, Margin: no run of seeds 1–3, 5.",)


def test_configurations_show_what_differs(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "random", name="one")
    write_run([0.5], "random", name="two", config={"head": {"lr": 0.01}})
    write_run([0.5], "margin", name="two", config={"head": {"lr": 0.01}})
    table = tables.configuration(runs.read([tmp_path]).configurations)
    assert table.header == ["Key", "one", "two"]
    assert [[cell.text for cell in row] for row in table.rows] == [["head.lr", "0.2", "0.01"]]


def test_a_wide_table_is_turned_on_its_side(frame: pd.DataFrame) -> None:
    table = tables.benchmark(frame)
    assert table.fitted() is table
    margin = frame[frame["strategy"] == "margin"]
    copies = [margin.assign(strategy=name, run=margin["run"] + name) for name in "uvwxyz"]
    many = pd.concat([frame, *copies])
    wide = tables.benchmark(many)
    turned = wide.fitted()
    assert turned.header == ["Strategy", "first", "second", "third"]
    assert [row[0].text for row in turned.rows] == wide.header[1:]
    assert turned.rows[2][1] == wide.rows[0][3]


def test_markdown_has_a_row_a_row(frame: pd.DataFrame) -> None:
    for table in tables.all_tables(frame):
        text = formats.markdown(table)
        lines = [line for line in text.splitlines() if line.startswith("|")]
        fitted = table.fitted()
        assert len(lines) == 2 + len(fitted.rows)
        cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
        assert {len(row) for row in cells} == {len(fitted.header)}


def test_latex_is_whole(frame: pd.DataFrame) -> None:
    for table in tables.all_tables(frame):
        text = formats.latex(table)
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(lines) == 1 + len(table.fitted().rows)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {
            len(table.fitted().header) - 1
        }
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert text.isascii() or "š" in text
        assert not re.search(r"(?<!\\)[_#%]", text.replace(rf"\label{{tab:{table.name}}}", ""))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(frame: pd.DataFrame, tmp_path: Path) -> None:
    body = "\n".join(formats.latex(table) for table in tables.all_tables(frame))
    preamble = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{preamble}\n{body}\n\\end{{document}}\n", "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "all.pdf").exists()


def test_the_terminal_shows_cells_and_notes(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "random")
    write_run([0.5, 0.7], "margin")
    console = Console(width=100, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(formats.rich(tables.benchmark(runs.read([tmp_path]).frame)))
    text = console.export_text()
    assert "+5.00¹" in text
    assert "¹ toy, Margin: one seed" in text


def test_known_strategies_are_told_apart_by_everyone() -> None:
    """Colours that are close under a colour-blindness differ in marker and line."""
    styles = {name: style for name, (_, style) in palette.KNOWN.items()}
    assert len({style.color for style in styles.values()}) == len(styles)
    assert len({style.marker for style in styles.values()}) == len(styles)
    # Machado et al. (2009), severity 1: protanopia and deuteranopia, in linear RGB.
    blindness = [
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ]
    for matrix in [np.eye(3), *map(np.array, blindness)]:
        seen = {name: _lab(matrix @ _linear(style.color)) for name, style in styles.items()}
        for first in seen:
            for second in seen:
                if first < second and styles[first].dash == styles[second].dash:
                    # The closest two of Okabe and Ito's own are 7.6 apart.
                    assert math.dist(seen[first], seen[second]) > 7.5, (first, second)


def test_colours_are_seen_on_white_and_on_dark() -> None:
    for name in [*palette.KNOWN, "mine", "yours", "bait_exp [top_classes=5]"]:
        luminance = _linear(palette.style(name).color) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 1.9, name
        assert (luminance + 0.05) / (0.0085 + 0.05) > 2.3, name


def _linear(color: str) -> np.ndarray:
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """Oklab × 100 (Ottosson 2020)."""
    lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ) @ linear.clip(0, 1)
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(100 * to_lab @ np.cbrt(lms))
