"""What is installed."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import dal

ROOT = Path(__file__).parents[1]


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
    assert {f"dal/labeling/page.{end}" for end in ("css", "js", "html.jinja")} <= names
    assert "dal/conf/query.yaml" in names


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


@pytest.mark.long
def test_an_installed_wheel_labels_anywhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    subprocess.run(
        [sys.executable, "-c", "from dal import query; query.main()", "data=digits", "project=p"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
    )
    page = (tmp_path / "p" / "round_001" / "page.html").read_text()
    for name in ("page.css", "page.js"):
        assert (site / "dal" / "labeling" / name).read_text().strip() in page


def test_one_command_is_installed(wheel: Path) -> None:
    assert _entry_points(wheel).split() == ["[console_scripts]", "dal", "=", "dal.__main__:main"]


def test_one_version_is_named_everywhere() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / ".github" / "CITATION.cff").read_text())
    assert described["version"] == citation["version"] == dal.__version__
    assert citation["license"] == described["license"]
    major_minor = re.escape(dal.__version__.rpartition(".")[0])
    changes = (ROOT / ".github" / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {major_minor}$", changes, re.MULTILINE)


def test_the_citation_is_the_one_of_the_readme() -> None:
    (paper,) = yaml.safe_load((ROOT / ".github" / "CITATION.cff").read_text())["references"]
    (entry,) = re.findall(r"```bibtex\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    entry = re.sub(r"[{}]|\s+(?=\s)", "", entry.replace("\n", " "))
    assert paper["title"] in entry
    assert f"year      = {paper['year']}".replace("      ", " ") in entry
    names = [f"{each['family-names']}, {each['given-names']}" for each in paper["authors"]]
    assert " and ".join(names) in entry


def test_the_source_distribution_holds_what_is_needed_to_work_on_it(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (file,) = tmp_path.glob("dal-*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("this is no checkout")
    assert {*tracked.stdout.splitlines()} - names <= {".pre-commit-config.yaml"}


def _entry_points(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    return archive.read(name).decode()
