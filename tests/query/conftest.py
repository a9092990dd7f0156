"""Folders in which the command is called."""

from functools import partial
from pathlib import Path

import pytest

from tests.query.calls import Command, begin, run, write_data


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command in a folder with embeddings and their ids."""
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAL_CACHE", str(tmp_path / "cache"))
    return partial(run, tmp_path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a project of two rounds, in which every call is refused."""
    folder = tmp_path_factory.mktemp("begun")
    write_data(folder)
    begin(partial(run, folder), folder)
    return folder
