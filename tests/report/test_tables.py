import io
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dal.report import answer, comparison_tables, formats, run_tables, screen, tables
from dal.report.results import Results
from dal.report.table import Table, signed
from dal.report.tables import build_tables
from tests.report.conftest import Writer, read

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
def paper(write_run: Writer, tmp_path: Path) -> Results:
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
    return read(tmp_path)


def test_the_papers_table_5(paper: Results) -> None:
    table = tables.benchmark_table(paper)
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
    ranking = paper.ranking
    assert ranking is not None
    assert ranking.left_out == ["bait_exp"]
    assert ranking.ranks.index[0] == "bait_binary"


def test_the_numbers_of_a_table_are_in_full_precision(results: Results) -> None:
    numbers = tables.benchmark_table(results).numbers.set_index(["dataset", "strategy"])
    aucs = 100 * results.frame.groupby(["dataset", "strategy", "seed"])["accuracy"].mean()
    expected = aucs.groupby(["dataset", "strategy"]).agg(["mean", "std"])
    assert numbers["auc"].to_dict() == pytest.approx(expected["mean"].to_dict())
    assert numbers["auc_std"].to_dict() == pytest.approx(expected["std"].to_dict())


def test_marks_are_those_of_the_corrected_tests(results: Results) -> None:
    table = tables.benchmark_table(results)
    compared = results.comparisons.set_index(["dataset", "strategy"])
    for row in table.rows:
        for strategy, cell in zip(("margin", "entropy", "badge"), row[3:], strict=True):
            found = compared.loc[(row[0].text, strategy)]
            assert ("*" in cell.marks) == (found["holm_t"] < 0.05)
            assert ("†" in cell.marks) == (found["holm_wilcoxon"] < 0.05)
            assert cell.text == f"{signed(found['difference'])} ± {found['std']:.2f}"
    assert any("*" in cell.marks for row in table.rows for cell in row)


def test_too_few_seeds_are_said_with_how_many_would_do(results: Results) -> None:
    five = results.subset(results.frame["seed"] < 5)
    warning = answer.warn_of_few_seeds(five)
    assert warning.startswith("All 3 datasets: 5 seeds; 7 are needed before Wilcoxon's test")
    assert warning.count(".") == 1
    one = answer.warn_of_few_seeds(results.subset(results.frame["seed"] < 1))
    assert one.startswith("All 3 datasets: one seed, which allows no claim")
    is_short = (results.frame["dataset"] == "first") & (results.frame["seed"] > 3)
    mixed = answer.warn_of_few_seeds(results.subset(~is_short))
    assert mixed.startswith("first: 4 seeds; 7 are needed")
    assert "second and third: 6 seeds" in mixed


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
    table = tables.benchmark_table(read(tmp_path))
    cells = {
        (row[0].text, name): cell
        for row in table.rows
        for name, cell in zip(table.header, row, strict=True)
    }
    assert cells["toy", "Margin"].notes == ()
    assert "1 of 2 runs left out, without a run of Random" in cells["toy", "BADGE"].notes[0]
    assert "one seed, so there is no spread" in cells["toy", "BADGE"].notes[1]
    assert cells["toy", "BADGE"].text == "+5.00"
    assert "1 of 2 runs unfinished" in cells["toy", "Entropy"].notes[0]
    assert cells["toy", "TypiClust"].text == "–"
    assert "1 of 1 runs unfinished" in cells["toy", "TypiClust"].notes[0]
    assert cells["lonely", "Random"].text == "–"
    assert "no complete run of Random" in cells["lonely", "Random"].notes[0]
    assert cells["lonely", "Margin"].text == "AUC 60.00"
    assert not any(cell.is_best for (name, _), cell in cells.items() if name == "lonely")


def test_random_is_the_best_where_all_others_harm(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "random")
    write_run([0.4], "entropy")
    ((*_, randoms, entropy),) = tables.benchmark_table(read(tmp_path)).rows
    assert randoms.is_best
    assert not entropy.is_best
    assert entropy.text == "−10.00"


def test_tables_3_and_4_have_the_papers_layout(write_run: Writer, tmp_path: Path) -> None:
    times = {"random": 0.0001, "bait_exp": 1096.0, "bait_binary": 13.0, "bait": 1927.0}
    for strategy, seconds in times.items():
        for seed in range(2):
            write_run([0.5, 0.6 + seed / 100], strategy, seed, seconds=seconds)
    write_run([0.5, 0.6], "bait", 0, root="gpu", seconds=83.0, device="RTX 4090")
    results = read(tmp_path / "runs", tmp_path / "gpu")
    three, four = tables.exp_table(results), tables.binary_table(results)
    assert three is not None
    assert four is not None
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
    results = read(tmp_path)
    table = tables.exp_table(results)
    assert table is not None
    assert tables.binary_table(results) is None
    assert table.header[3:] == [f"BAIT (Exp) [top_classes={top}]" for top in (1, 2, 5)]


def test_censored_savings_are_plain(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(3):
        write_run([0.2, 0.4, 0.6], "random", seed)
        write_run([0.2, 0.3, 0.5], "entropy", seed)
        write_run([0.2, 0.6, 0.7 if seed else 0.5], "margin", seed)
    table = comparison_tables.savings_table(read(tmp_path))
    assert table is not None
    rows = {row[1].text: [cell.text for cell in row] for row in table.rows}
    assert rows["Random"][2:5] == ["3 of 3", "30", "1.00"]
    assert rows["Entropy"][2:] == ["0 of 3", "not reached", "not reached", "not reached"]
    assert rows["Margin"][2:5] == ["3 of 3", "20", "0.67"]


def test_runs_that_others_have_are_named(write_run: Writer, tmp_path: Path) -> None:
    for seed in range(6):
        write_run([0.5], "random", seed)
    write_run([0.5], "margin", 4)
    write_run([0.5], "margin", 0)
    table = run_tables.run_counts_table(read(tmp_path))
    assert table is not None
    (row,) = table.rows
    assert [cell.text for cell in row] == ["toy", "6 of 6", "2 of 6"]
    assert row[2].notes == ("toy, Margin: no run of seeds 1–3, 5.",)


def test_configurations_show_what_differs(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], "random", name="one")
    write_run([0.5], "random", name="two", config={"head": {"lr": 0.01}})
    write_run([0.5], "margin", name="two", config={"head": {"lr": 0.01}})
    table = run_tables.configuration_table(read(tmp_path))
    assert table is not None
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["head.lr", "0.2", "one"],
        ["head.lr", "0.01", "two"],
    ]
    assert run_tables.configuration_table(read(tmp_path / "runs" / "one")) is None


def test_a_wide_table_is_transposed(results: Results) -> None:
    table = tables.benchmark_table(results)
    assert table.fit_to_page() is table
    margin = results.frame[results.frame["strategy"] == "margin"]
    copies = [margin.assign(strategy=name, run=margin["run"] + name) for name in "uvwxyz"]
    many = pd.concat([results.frame, *copies])
    wide = tables.benchmark_table(Results(many, results.configurations))
    transposed = wide.fit_to_page()
    assert [row[0].text for row in transposed.rows[: transposed.num_pinned]] == ["Seeds", "Random"]
    assert transposed.header == ["Strategy", "first", "second", "third"]
    assert [row[0].text for row in transposed.rows] == wide.header[1:]
    assert transposed.rows[2][1] == wide.rows[0][3]


def test_markdown_has_every_row(results: Results) -> None:
    for table in tables.build_tables(results):
        text = formats.markdown(table)
        lines = [line for line in text.splitlines() if line.startswith("|")]
        on_page = table.fit_to_page()
        assert len(lines) == 2 + len(on_page.rows)
        cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
        assert {len(row) for row in cells} == {len(on_page.header)}


def test_latex_is_whole(results: Results) -> None:
    for table in tables.build_tables(results):
        text = formats.latex(table)
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(lines) == 1 + len(table.fit_to_page().rows)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {
            len(table.fit_to_page().header) - 1
        }
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert text.isascii() or "š" in text
        assert not re.search(r"(?<!\\)[_#%]", text.replace(rf"\label{{tab:{table.name}}}", ""))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(results: Results, tmp_path: Path) -> None:
    body = "\n".join(formats.latex(table) for table in tables.build_tables(results))
    preamble = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{preamble}\n{body}\n\\end{{document}}\n", "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "all.pdf").exists()


def shown(table: Table, width: int, **options: Any) -> str:
    file = io.StringIO()
    screen.show(table, Console(width=width, file=file, markup=False, **options))
    return file.getvalue()


def test_the_terminal_shows_cells_and_notes(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "random")
    write_run([0.5, 0.7], "margin")
    table = tables.benchmark_table(read(tmp_path))
    text = shown(table, 100)
    assert "▸+5.00¹" in text
    assert "¹ toy, Margin: one seed" in text
    assert "▸ marks what is in bold" in text
    bold = shown(table, 100, force_terminal=True, color_system="standard", legacy_windows=False)
    assert "▸" not in bold
    assert "\x1b[1m+5.00¹" in bold


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_every_cell_is_on_one_line_of_the_terminal(results: Results, width: int) -> None:
    for table in build_tables(results):
        lines = [line.plain for line in screen.lines(table, width, can_be_bold=False)]
        rest = "\n".join(lines)
        for cell in (cell for row in table.rows for cell in row):
            assert cell.text in rest
        for word in " ".join(table.header[1:]).split():
            assert word in rest
        if table.name != "runs":  # whose paths may be longer than a line
            assert max(map(len, lines)) <= max(width, 46)
        if width == 200:
            assert len(lines) <= 1 + max(len(table.rows), len(table.header))


def test_a_table_that_is_too_wide_goes_on_below(results: Results) -> None:
    table = tables.TABLES["penalties"](results)
    assert table is not None
    whole = screen.lines(table, 200)
    parts = screen.lines(table, 40)
    assert [line.plain.split()[0] for line in parts if line.plain].count("Strategy") == 2
    cells = Counter(word for line in parts for word in line.plain.split())
    names = [row[0].text for row in table.rows]
    once = Counter(word for line in whole for word in line.plain.split())
    repeated = Counter(word for name in [*names, "Strategy"] for word in name.split())
    assert cells == once + repeated
