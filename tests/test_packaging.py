"""What is installed, and what the README promises."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--wheel-dir", str(folder)]
    # With what is installed: isolation would ask the network for the build backend.
    subprocess.run([*command, "--no-deps", "--no-build-isolation", "--quiet"], check=True)
    (file,) = folder.glob("dal-*.whl")
    return file


def test_the_wheel_holds_the_package_and_its_configuration(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in (("dal", "dal"), ("conf", "dal/conf")):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{inside}/{file.relative_to(ROOT / folder).as_posix()}" in names
    assert not any(name.startswith(("tests/", "conf/")) for name in names)


def test_an_installed_wheel_runs_anywhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "from dal import train; from dal.cli import config; "
        "assert 'site' in str(config.folder()); train.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--cfg", "job", "+experiment=digits"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_target_: dal.data.Digits" in done.stdout
    assert "dal-train = dal.train:main" in _entry_points(wheel)


def _entry_points(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    return archive.read(name).decode()


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_of_the_readme_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    if "print(" in block:
        assert capsys.readouterr().out


def test_a_strategy_takes_less_than_twenty_lines() -> None:
    (block,) = (
        b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "(Strategy)" in b
    )
    assert len(block.splitlines()) < 20


def test_commands_of_the_readme_compose(tmp_path: Path) -> None:
    """Every command that Hydra configures, up to the point where it would compute."""
    from hydra import compose, initialize_config_dir

    from dal.cli import config

    config.register()
    commands = re.findall(r"^python -m dal\.(train|extract)(.*)$", README, re.MULTILINE)
    variables = dict(re.findall(r'^([A-Z]+)="?([^"\n]*)"?$', README, re.MULTILINE))
    assert len(commands) >= 9
    for which, command in commands:
        for name, value in variables.items():
            command = command.replace(f"${name}", value)
        words = command.split("#")[0].split()
        overrides = [
            re.sub(r"=([^=,]+),.*", r"=\1", word).replace("DIR", str(tmp_path))
            for word in words
            if "=" in word
        ]
        with initialize_config_dir(str(config.folder()), version_base="1.3"):
            compose({"train": "config", "extract": "extract"}[which], overrides=overrides)
