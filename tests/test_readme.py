"""What the README shows runs, and does what it says."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dal import train
from dal.experiment.record import CURVE, DIAGNOSTICS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
YAML = dict(re.findall(r"```yaml\n# FOLDER/(\S+)\n(.*?)```", README, re.DOTALL))
(PARTS_COMMAND,) = re.findall(r"^python -m dal\.train (.*logger=printer)$", README, re.MULTILINE)


def test_every_link_within_the_page_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    links = re.findall(r"\]\(#([^)]*)\)", README)
    assert len(links) > 10
    assert set(links) <= anchors
    for file in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / file).is_file()


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"`((?:dal|conf|tests|sweeps|slurm)/[^`*]*?)`", README))
    assert len(named) > 8
    for name in named:
        assert (ROOT / name).exists() or "NAME" in name, name


@pytest.mark.parametrize("block", PYTHON)
def test_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
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
    """Strategy, head, source and logger, from the text of the README alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    classes = [block for block in PYTHON if "class " in block]
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


def test_commands_of_the_readme_compose(tmp_path: Path) -> None:
    """Every command that Hydra configures, up to the point where it would compute."""
    from hydra import compose, initialize_config_dir

    from dal.cli import config

    config.register()
    commands = re.findall(r"^python -m dal\.(train|extract)(.*)$", README, re.MULTILINE)
    variables = dict(re.findall(r"^([A-Z]+)=(\S*)$", README, re.MULTILINE))
    assert len(commands) >= 9
    for which, command in commands:
        for name, value in variables.items():
            command = command.replace(f"${name}", value)
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
            compose({"train": "config", "extract": "extract"}[which], overrides=overrides)
