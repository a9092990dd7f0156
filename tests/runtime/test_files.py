import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dal.errors import DataError
from dal.runtime import files
from dal.runtime.files import LocalFiles


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


def test_a_link_to_a_folder_around_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"x")
    (tmp_path / "cat" / "up").symlink_to("..")
    (tmp_path / "pets").symlink_to("cat")  # another name for the same folder
    found = [(Path(folder).name, names) for folder, _, names in files.walk(tmp_path)]
    assert found == [(tmp_path.name, []), ("cat", ["1.png"]), ("pets", ["1.png"])]


def test_folders_that_are_not_the_users_are_left_out(tmp_path: Path) -> None:
    for name in (*files.PRIVATE_FOLDERS, ".hidden", "cat"):
        (tmp_path / name / "in").mkdir(parents=True)
    assert [Path(folder).name for folder, _, _ in files.walk(tmp_path)][1:] == ["cat", "in"]
    assert files.walk(tmp_path, depth=0) == [(str(tmp_path), ["cat"], [])]


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dog").mkdir()
    original = os.scandir

    def denied(folder: str) -> Any:
        if folder.endswith("dog"):
            raise PermissionError(13, "Permission denied", folder)
        return original(folder)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match="Cannot read the folder .*dog .Permission denied"):
        files.walk(tmp_path)


def test_the_state_of_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    def now(*names: str, context: str = "") -> LocalFiles:
        return LocalFiles(tmp_path, names or ("a", "b"), context)

    before = now()
    assert now().digest == before.digest
    assert now(context="classes").digest != before.digest
    assert now(context="classes").stamp != before.stamp
    numbers: list[int] = []
    before.read(numbers.append)
    assert numbers == []  # it has been read
    now().read(numbers.append)
    assert numbers == [1, 1]
    os.utime(tmp_path / "a", ns=(1, 1))
    assert (now().stamp == before.stamp, now().digest == before.digest) == (False, True)
    (tmp_path / "b").unlink()
    assert now().digest != before.digest  # a file that is gone is no error
    assert now().exist
    assert not now("b").exist


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).write_text("x")
    assert LocalFiles(tmp_path, [name]).contents == LocalFiles(tmp_path, [name]).contents
    assert files.printable(name) == r"caf\xe9"
    for char in "\n\r\x85\u2028\\":
        assert len(files.one_line(f"a{char}b").splitlines()) == 1
        assert files.one_line(f"a{char}b").encode().decode("unicode_escape") == f"a{char}b"
