"""``dal``, the command for all commands."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from dal import __main__ as dal_main
from dal import __version__
from dal.cli import config
from dal.cli.commands import COMMANDS
from dal.cli.overrides import quote_unreadable

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "dal", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_shows_every_command_with_an_example(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dal", *arguments])
    dal_main.main()
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", out, re.MULTILINE)
        assert command.example in out
    assert max(map(len, out.splitlines())) <= 100


def test_every_runnable_module_is_a_command() -> None:
    package = ROOT / "dal"
    runnable = {file.parent.name for file in package.glob("*/__main__.py")}
    runnable |= {
        file.stem for file in package.glob("*.py") if "\nif __name__ ==" in file.read_text()
    }
    assert runnable - {"__main__"} == {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_read(name: str) -> None:
    command = COMMANDS[name]
    words = shlex.split(command.example.removeprefix('eval "$(').removesuffix(')"'))
    assert words[:2] == ["dal", name]
    if command.config is None:
        importlib.import_module(f"dal.{name}.__main__").parser().parse_args(words[2:])
    else:
        config.register()
        with initialize_config_dir(str(config.folder()), version_base="1.3"):
            compose(command.config, quote_unreadable(words[2:]))


def test_the_version_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dal", "--version"])
    dal_main.main()
    assert capsys.readouterr().out == f"dal {__version__}\n"


@pytest.mark.parametrize(("name", "hint"), [("trian", "mean 'train'"), ("xyz", "Known: bench, ")])
def test_an_unknown_command_is_named(
    name: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dal", name, "strategy=margin"])
    with pytest.raises(SystemExit, match="2"):
        dal_main.main()
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Unknown command '{name}'." in err
    assert hint in err


@pytest.mark.parametrize(
    ("words", "argument"),
    [(["train", "seed=3"], "seed=3"), (["help", "train"], "--help")],
)
def test_a_command_runs_as_the_main_module(
    words: list[str], argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(sys, "argv", ["dal", *words])
    monkeypatch.setattr(
        "runpy.run_module", lambda name, **_: calls.append((name, list(sys.argv[1:])))
    )
    dal_main.main()
    assert calls == [("dal.train", [argument])]


def test_a_command_is_what_its_module_is() -> None:
    for shell in ("bash", "powershell"):
        done = subprocess.run(
            [sys.executable, "-m", "dal.completion", shell], capture_output=True, text=True
        )
        assert run("completion", shell) == (done.returncode, done.stdout, done.stderr)


def test_help_and_version_load_little() -> None:
    for argument in ("--help", "--version"):
        code = (
            f"import sys; sys.argv[1:] = ['{argument}']; from dal.__main__ import main; main(); "
            "print({'torch', 'hydra', 'rich', 'numpy'} & {*sys.modules})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.endswith("set()\n")
