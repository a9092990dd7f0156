"""What the README and the pages beside the code show runs, and does what it says."""

import csv
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from safetensors import safe_open

from dal import query, train
from dal.experiment.record import CURVE, DIAGNOSTICS
from tests.images import save_images

ROOT = Path(__file__).parents[1]
PAGES = {
    str(file.relative_to(ROOT)): file.read_text()
    for pattern in ("README.md", "[a-z]*/README.md", "dal/*/README.md")
    for file in sorted(ROOT.glob(pattern))
}
ALL = "\n".join(PAGES.values())
PYTHON = re.findall(r"```python\n(.*?)```", ALL, re.DOTALL)
OWN_PARTS = PAGES["conf/README.md"]
YAML = dict(re.findall(r"```yaml\n# FOLDER/(\S+)\n(.*?)```", OWN_PARTS, re.DOTALL))
(PARTS_COMMAND,) = re.findall(r"^python -m dal\.train (.*logger=printer)$", ALL, re.MULTILINE)


def test_the_first_page_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(((?!https?:)[^)]*)\)", PAGES[page])
    assert links, "a page without a way back"
    for link in links:
        name, _, anchor = link.partition("#")
        target = (folder / name).resolve() if name else ROOT / page
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings
            }, link


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"`((?:dal|conf|tests|sweeps|slurm)/[^`*]*?)`", ALL))
    assert len(named) > 8
    for name in named:
        assert (ROOT / name).exists() or "NAME" in name, name


@pytest.mark.parametrize("block", PYTHON)
def test_python_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    if re.search(r"^ {0,4}print\(", block, re.MULTILINE) and "class " not in block:
        assert capsys.readouterr().out
    for name, thing in names.items():
        if name.startswith("test_") and isinstance(thing, Callable):  # type: ignore[arg-type]
            thing()  # type: ignore[operator]


def test_a_strategy_takes_less_than_twenty_lines() -> None:
    (block,) = (block for block in PYTHON if "(Strategy)" in block)
    assert len(block.splitlines()) < 20


def test_the_parts_of_a_strangers_own_run_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Strategy, head, source and logger, from the text of the page alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    classes = re.findall(r"```python\n(.*?)```", OWN_PARTS, re.DOTALL)
    classes = [block for block in classes if "class " in block]
    assert len(classes) == len(YAML) == 4
    (tmp_path / "mypackage.py").write_text("\n".join(classes))
    for name, text in YAML.items():
        file = tmp_path / "FOLDER" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "argv", ["dal.train", *PARTS_COMMAND.split(), "trainer.max_epochs=20"])
    train.main()
    out = capsys.readouterr().out
    assert "moons farthest seed 0" in out
    assert "210 labels: " in out
    assert re.search(r"^AUC \d\d\.\d\d$", out, re.MULTILINE)
    run = tmp_path / "outputs" / "moons" / "farthest" / "seed_0"
    assert len((run / CURVE).read_text().splitlines()) == 22
    assert '"scores": [' in (run / DIAGNOSTICS).read_text()


def test_commands_compose(tmp_path: Path) -> None:
    """Every command that Hydra configures, up to the point where it would compute."""
    from hydra import compose, initialize_config_dir

    from dal.cli import config

    config.register()
    commands = re.findall(r"^python -m dal\.(train|extract|query)(.*)$", ALL, re.MULTILINE)
    variables = dict(re.findall(r"^([A-Z]+)=(\S*)$", ALL, re.MULTILINE))
    assert len(commands) >= 14
    for which, command in commands:
        for name, value in variables.items():
            command = command.replace(f"${name}", value)
        command = re.sub(r"\$\([^)]*\)", "DIR", command)  # what another command prints
        words = shlex.split(command, comments=True)
        overrides = [
            re.sub(r"=([^=,]+),.*", r"=\1", word).replace("DIR", str(tmp_path))
            for word in words
            # Without plugins, which may be missing, and what only they understand.
            if "=" in word and not word.startswith("hydra") and "interval(" not in word
        ]
        if "--config-dir" in words:
            continue  # test_the_parts_of_a_strangers_own_run_together
        with initialize_config_dir(str(config.folder()), version_base="1.3"):
            compose("config" if which == "train" else which, overrides=overrides)


def test_people_label_as_the_readme_says(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its commands in a row, with a person who fills in the table and then uses the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    _write_data(tmp_path)
    small = ["backbone.transform.resize=32", "backbone.transform.crop=28"]
    small += [f"backbone.weights={weights}", "extraction.num_workers=0"]
    page = PAGES["dal/labeling/README.md"]
    commands = re.findall(r"^python -m dal\.query (.*)$", page, re.MULTILINE)
    birds = Path("birds")
    for number, command in enumerate(commands):
        if number == 1:
            _fill_in(birds / "round_001" / "to_label.csv")
        if number == 2:
            shutil.copy(birds / "round_002" / "to_label.csv", "labels.csv")
            _fill_in(Path("labels.csv"))
        words = shlex.split(command.replace("DIR", "table"), comments=True)
        begins = "data=arrays" not in words and any(word.startswith("data=") for word in words)
        arguments = [*words, *(small if begins else []), "trainer.max_epochs=5"]
        monkeypatch.setattr(sys, "argv", ["dal.query", *arguments])
        query.main()
    out = capsys.readouterr().out
    assert out.count("50 answers taken over.") == 2
    assert "cross-val.: accuracy by cross-validation" in out
    for name in ("page.html", "to_label.csv", "label_studio.json", "label_studio.xml", "images"):
        assert f"`{name}" in page
        assert (birds / "round_003" / name).exists()
    assert {file.name for file in birds.iterdir() if not file.name.startswith(".")} == {
        *("round_001", "round_002", "round_003", "audit_001", "labels.csv", "items.jsonl"),
        *("project.yaml", "project.csv", "progress.png"),
    }
    for file in list((birds / "round_003" / "images").iterdir()):
        folder = file.parent / file.name.partition("_")[0]
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    monkeypatch.setattr(sys, "argv", ["dal.query", "project=birds", f"labels={file.parent}"])
    query.main()
    assert "20 answers taken over." in capsys.readouterr().out
    with safe_open(birds / "round_003" / "head.safetensors", "pt") as head:
        described = json.loads(head.metadata()["head"])
        assert described["classes"] == ["robin", "wren"]
        assert described["scale"] > 0
    predictions = parquet.read_table(birds / "round_003" / "predictions.parquet")
    assert {"id", "predicted", "confidence", "second", "state"} <= {*predictions.column_names}
    assert len(predictions) == 220
    with Path("vectors/round_001/to_label.csv").open(encoding="utf-8-sig") as table:
        assert len(table.readlines()) == 201


def _write_data(folder: Path) -> None:
    """What the commands of "Label your own data" name."""
    save_images(folder / "classes", {"robin": 110, "wren": 110})
    (folder / "photos").mkdir()
    for file in (folder / "classes").rglob("*.*"):
        file.rename(folder / "photos" / f"{file.parent.name}_{file.name}")
    (folder / "table").mkdir()
    files = sorted((folder / "photos").iterdir())[:60]
    rows = [f"{file},{number}\n" for number, file in enumerate(files)]
    (folder / "table" / "train.csv").write_text("".join(["img,file\n", *rows]))
    np.save(folder / "embeddings.npy", np.random.default_rng(0).normal(size=(300, 8)))
    (folder / "ids.txt").write_text("".join(f"item {row}\n" for row in range(300)))


def _fill_in(table: Path) -> None:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"label": row["id"].partition("_")[0]} for row in rows)
