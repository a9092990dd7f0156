import errno
import os
from pathlib import Path

import pytest

from dal.runtime import files


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_replacement_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(error), files.replacement(file) as draft:
        draft.write_text("half")
        raise error
    assert file.read_text() == "old"
    with pytest.raises(error), files.replacement(tmp_path / "folder") as draft:
        draft.mkdir()
        (draft / "half").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_appears_when_all_its_files_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "folder"
    synced = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        assert not target.exists()
        synced.append(os.fstat(descriptor).st_size)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with files.replacement(target) as draft:
        (draft / "below").mkdir(parents=True)
        (draft / "one").write_text("1")
        (draft / "below" / "two").write_text("22")
    assert sorted(synced) == [1, 2]
    assert (target / "below" / "two").read_text() == "22"
    with pytest.raises(OSError, match="not empty"), files.replacement(target) as draft:
        draft.mkdir()
    assert (target / "one").read_text() == "1"


def test_what_a_killed_process_leaves_behind_is_removed(tmp_path: Path) -> None:
    with files.replacement(tmp_path / "a") as draft:
        draft.write_text("new")
    draft.mkdir()
    (draft / "half").write_text("x")
    files.write_atomically(tmp_path / "a", b"newer")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["newer"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    files.write_atomically(file, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(file, "new")
    assert [other.read_text() for other in tmp_path.iterdir()] == ["old"]
