"""Files that people have put into folders of classes."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dal.errors import ConfigError, DataError
from dal.labeling.answers import read_answers
from dal.runtime import files


def put(folder: Path, *names: str) -> Path:
    """Files whose content is their own name, without what is before a colon."""
    for name in names:
        place, _, content = name.partition(":")
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content or file.name)
    return folder


def found(folder: Path, ids: Sequence[str], originals: Path | None = None) -> dict[str, str | None]:
    def find(item: str) -> Path | None:
        return None if originals is None else originals / item

    return {answer.id: answer.label for answer in read_answers(folder, ids=ids, find_original=find)}


def test_folders_of_classes(tmp_path: Path) -> None:
    names = ["cat/a.jpg", "polar bear/b.jpg", "polar bear/spring/c.jpg", "d.jpg", "empty/.keep"]
    private = ["cat/Thumbs.db", "cat/.DS_Store", ".git/x", "cat/@eaDir/a.jpg", "desktop.ini"]
    folder = put(tmp_path, *names, *private)
    ids = ["2024/a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert found(folder, ids) == {"2024/a.jpg": "cat", "b.jpg": "polar bear", "c.jpg": "polar bear"}
    where = {answer.where for answer in read_answers(folder, ids=ids)}
    assert where == {"cat/a.jpg", "polar bear/b.jpg", "polar bear/spring/c.jpg"}


def test_ids_that_are_no_files(tmp_path: Path) -> None:
    assert found(put(tmp_path, "cat/0017", "dog/x 1"), ["0017", "x 1"]) == {
        "0017": "cat",
        "x 1": "dog",
    }


def test_a_class_in_decomposed_form(tmp_path: Path) -> None:
    assert found(put(tmp_path, "cafe\u0301/a.jpg"), ["a.jpg"]) == {"a.jpg": "caf\u00e9"}


def test_the_path_below_the_class_tells_items_of_one_name_apart(tmp_path: Path) -> None:
    folder = put(tmp_path, "cat/x/a.jpg", "dog/y/a.jpg")
    assert found(folder, ["x/a.jpg", "y/a.jpg", "a.jpg"]) == {"x/a.jpg": "cat", "y/a.jpg": "dog"}


def test_the_content_tells_items_of_one_name_apart(tmp_path: Path) -> None:
    originals = put(tmp_path / "photos", "x/a.jpg:one", "y/a.jpg:two", "z/a.jpg:two")
    folder = put(tmp_path / "sorted", "cat/a.jpg:one")
    ids = ["x/a.jpg", "y/a.jpg", "z/a.jpg"]
    assert found(folder, ids, originals) == {"x/a.jpg": "cat"}
    with pytest.raises(DataError, match="'x/a.jpg', 'y/a.jpg', 'z/a.jpg': none has the same cont"):
        found(folder, ids)
    put(folder, "cat/a.jpg:two")
    with pytest.raises(DataError, match="contents are the same.* put it at cat/x/a.jpg"):
        found(folder, ids, originals)
    put(folder, "cat/a.jpg:three")
    with pytest.raises(DataError, match="got cat/a.jpg in .* none has the same content"):
        found(folder, ids, originals)


def test_classes_in_place_have_numbered_files(tmp_path: Path) -> None:
    folder = put(tmp_path, "cat/1.jpg:one", "dog/1.jpg:two", "2.jpg")
    ids = ["cat/1.jpg", "dog/1.jpg", "2.jpg"]
    assert found(folder, ids, folder) == {"cat/1.jpg": "cat", "dog/1.jpg": "dog"}


def test_a_prefix_before_the_name_needs_the_same_content(tmp_path: Path) -> None:
    originals = put(tmp_path / "photos", "a_b.jpg:one", "b.jpg:two")
    folder = put(tmp_path / "sorted", "cat/0007-a_b.jpg:one", "dog/1_b.jpg:two", "dog/2_b.jpg:x")
    labels = found(folder, ["a_b.jpg", "b.jpg"], originals)
    assert labels == {"a_b.jpg": "cat", "b.jpg": "dog", "2_b.jpg": "dog"}  # the last is no item


def test_links(tmp_path: Path) -> None:
    originals = put(tmp_path / "photos", "a.jpg")
    (tmp_path / "sorted" / "cat").mkdir(parents=True)
    (tmp_path / "sorted" / "cat" / "a.jpg").symlink_to(originals / "a.jpg")
    assert found(tmp_path / "sorted", ["a.jpg"]) == {"a.jpg": "cat"}


def test_a_name_in_another_encoding(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    folder = put(tmp_path, f"cat/{name}:x")
    assert found(folder, [name]) == {name: "cat"}
    assert read_answers(folder, ids=[name])[0].where == r"cat/caf\xe9.jpg"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "folder for each class, with files in it, .* Move or copy"),
        (["a.jpg"], "got none"),
        (["to_label.csv", "page.html", "cat/.keep"], "Give one of its files: 'to_label.csv'"),
        (["sorted/cat/a.jpg", "sorted/dog/b.jpg"], "the one folder 'sorted'.* Give .*sorted"),
    ],
)
def test_folders_without_classes(names: Sequence[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        found(put(tmp_path, *names), ["a.jpg", "b.jpg"])


def test_files_are_recognised_by_ids(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected the ids"):
        read_answers(put(tmp_path, "cat/a.jpg"))


def test_the_data_themselves_in_folders_of_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["cat/1.jpg", "dog/1.jpg", "dog/11.jpg"]
    folder = put(tmp_path, *(f"{name}:same" for name in names))
    monkeypatch.setattr(files, "sha256", lambda _: pytest.fail("read"))
    assert found(folder, names, folder) == {name: name[:3] for name in names}
