"""The command that shows and cleans the feature cache."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dal.cache import __main__ as cache
from dal.data import Embedded, ImageFolder
from dal.errors import DataError
from dal.extraction import FeatureCache
from dal.extraction.inference import PartWriter
from dal.runtime import locks
from tests.images import extractor_of

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    images: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs the command on a cache with two entries, a replaced one, a draft and an archive."""
    folder = tmp_path / "cache"
    Embedded(ImageFolder(images), extractor_of(weights, folder)).load()
    Image.new("RGB", (9, 9)).save(images / "train" / "ant" / "000.png")
    Embedded(ImageFolder(images), extractor_of(weights, folder)).entry("train")
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(PartWriter, "on_predict_batch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            Embedded(ImageFolder(images / "train" / "ant"), extractor_of(weights, folder)).entry(
                "train"
            )
    (folder / "archives" / "abc-images.zip").mkdir(parents=True)
    (folder / "archives" / "abc-images.zip.lock").write_text("")
    monkeypatch.setenv("DAL_CACHE", str(folder))
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dal.cache", *arguments])
        status = 0
        try:
            cache.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        return status, *capsys.readouterr()

    return run


def kinds(out: str) -> list[str]:
    return sorted(line.split()[1] for line in out.splitlines()[1:-1])


def test_everything_is_listed(command: Command, images: Path) -> None:
    status, out, err = command()
    assert (status, err) == (0, "")
    assert kinds(out) == ["archive", "draft", "entry", "entry", "replaced"]
    line = next(line for line in out.splitlines() if "test of" in line)
    assert line.split()[2] == "5"
    assert f"test of {images}" in line


def test_what_is_chosen_is_removed_and_nothing_else(command: Command, tmp_path: Path) -> None:
    _, before, _ = command()
    status, out, _ = command("--clean", "drafts", "replaced", "--dry-run")
    assert status == 0
    assert kinds(out) == ["draft", "replaced"]
    assert command()[1] == before
    command("--clean", "drafts", "replaced")
    _, out, _ = command()
    assert kinds(out) == ["archive", "entry", "entry"]
    test = next(line.split()[0] for line in out.splitlines() if "test of" in line)
    assert command("--remove", test)[0] == 0
    indexed = [json.loads(file.read_text()) for file in (tmp_path / "cache/index").iterdir()]
    contents = {folder.name for folder in (tmp_path / "cache" / "features").iterdir()}
    assert {index["content"] for index in indexed} == contents
    command("--clean", "all")
    assert command()[1] == f"0 B in {tmp_path / 'cache'}\n"


def test_an_id_is_that_of_one_thing(command: Command) -> None:
    status, _, err = command("--remove", "nothing")
    assert status == 1
    assert "one id that starts with 'nothing', found none" in err
    assert "found 5: " in command("--remove", "")[2]


def test_a_draft_that_is_being_computed_stays(command: Command, tmp_path: Path) -> None:
    (draft,) = (tmp_path / "cache" / "drafts").iterdir()
    with locks.hold(tmp_path / "cache" / "locks" / draft.name, "", lambda _: None):
        status, _, err = command("--clean", "drafts")
    assert status == 1
    assert "is computing it" in err
    assert draft.exists()


def test_a_damaged_entry_can_be_removed(command: Command, tmp_path: Path) -> None:
    for entry in (tmp_path / "cache" / "features").iterdir():
        (entry / "manifest.json").write_text("{")
        with pytest.raises(DataError, match="damaged"):
            FeatureCache(tmp_path / "cache").entry(entry.name)
    assert "damaged: no manifest" in command()[1]
    assert command("--clean", "all")[0] == 0
