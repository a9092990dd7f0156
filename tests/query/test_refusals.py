"""Bad input of the command: one message, and nothing is changed."""

import json
import pickle
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dal.runtime import locks
from tests.query.calls import (
    ARRAYS,
    FIRST,
    SIZE,
    Command,
    begin,
    check_refused,
    embeddings,
    fill_in,
    tree,
    write_data,
)


def annotated(item: str, project: str) -> bytes:
    """An export of Label Studio with one answer."""
    chosen = {"from_name": "label", "to_name": "shown", "type": "choices"}
    annotation = {"completed_by": 1, "result": [{**chosen, "value": {"choices": ["cat"]}}]}
    task = {"id": 1, "data": {"item": item, "project": project}, "annotations": [annotation]}
    return json.dumps([task]).encode()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "l.csv", "Expected labels in l.csv, got an empty file"),
        (b"id,label\ncard 1,cat\nkard 2,dog\n", "l.csv", "Did you mean 'card 2'?"),
        (b"id,label\ncard 99,cat\n", "l.csv", "this project's 60 items, got 1 of 1 that are not"),
        (b"id,label\ncard 1,cat\ncard 1,dog\n", "l.csv", "'cat' (l.csv, line 2) and 'dog'"),
        (b"id,label\ncard 1, \t\n", "l.csv", "l.csv, line 2, got only white space"),
        ("id,label\ncard 1,Größe\n".encode("cp1252"), "l.csv", "l.csv in UTF-8, got another enc"),
        (b"id,klass\ncard 1,cat\n", "l.csv", "Expected a column 'label' in l.csv, got the columns"),
        (b"card;label\ncard 1;cat\n", "l.csv", "Expected a column 'id' in l.csv"),
        (b'[{"id": "card 1", "label": "cat"}, {"id"', "l.json", "only the beginning of it"),
        (annotated("card 1", "other"), "l.json", "an export of another Label Studio project"),
        (b"id,label\ncard 1,\n", "l.csv", "rows whose label is empty"),
        (b"id,label\ncard 1,Cat\n", "l.csv", "differ in more than case"),
        (b"id,label\ncard 1,a\x01b\n", "l.csv", "without control characters, got 'a\\x01b'"),
        (b"PAR1", "l.parquet", "Expected a whole parquet file, got l.parquet"),
    ],
)
def test_bad_answers_are_one_message(begun: Path, content: bytes, name: str, message: str) -> None:
    (begun / name).write_bytes(content)
    check_refused(begun, ["project=cards", f"labels={name}"], message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected a project, got none"),
        (["project="], "Expected a project, got none"),
        (["project=card"], "Found no project in card. Begin it with its data"),
        (["project=cards", "labels=nowhere.csv"], "found no nowhere.csv"),
        (["project=cards", "data.path=fewer.npy"], "an id for each of 50 rows of train features"),
        (["project=cards", "data=digits"], "data._target_ was dal.data.Arrays, is dal.data.Digits"),
        (["project=cards", "num=-1"], "Expected `num` of at least 0, got -1"),
        (["project=cards", "num=many"], "num=many\nValue 'many' of type 'str' could not be conv"),
        (["project=cards", "audit=61"], "Expected `audit` of at most 48"),
        (["project=cards", "strategy=marign"], "Did you mean 'margin'?"),
        (["project=cards", "nun=4"], "Unknown key 'nun'. Did you mean 'num'?"),
        (
            ["project=cards", "more=true", "strategy.subset_size=2", "strategy=margin"],
            "subset_size",
        ),
        (["project=cards", "more=true", "head.optimizer.lr=1e30"], "the head has diverged"),
        (["project=cards", "scale=loud"], "Expected `scale` to be 'auto', 'none' or a number"),
        (["-m", "project=cards", "num=3,4"], "Expected one step of one project, got -m"),
        ([*ARRAYS, "project=new", "strategy=margin"], "got 'margin', which needs a fitted head"),
        ([*ARRAYS, "project=new", "strategy=margin", "labels=cats.csv"], "labels of two classes"),
        ([*ARRAYS, "project=new/deep", "num=-1"], "`num` of at least 0"),
        ([*ARRAYS, "project=ids.txt"], "the folder of a project, got the file ids.txt"),
        ([*ARRAYS, "project=full"], "found something.txt and no project.yaml"),
        ([*ARRAYS, "project=/proc/none"], "Cannot write /proc/none"),
        ([*ARRAYS, "data.path=none.npy", "project=new"], "found no none.npy"),
        ([*ARRAYS, "ids=none.txt", "project=new"], "(No such file or directory)"),
        ([*ARRAYS, "ids=few.txt", "project=new"], "an id for each of 60 rows of train features"),
        ([*ARRAYS, "ids=same.txt", "project=new"], "distinct train ids, got 'a' at rows 0 and 1"),
        ([*ARRAYS, "ids=blank.txt", "project=new"], "white space or nothing at 1 of 60 rows"),
        ([*ARRAYS, "data.path=nan.npy", "project=new"], "1 of 60 rows, the first at row 7"),
        ([*ARRAYS, "data.path=object.npy", "project=new"], "Python objects are never loaded"),
        ([*ARRAYS, "data.path=pickle.npy", "project=new"], "Python objects are never loaded"),
        (["data=digits", "ids=ids.txt", "project=new"], "Expected `ids` with data=arrays alone"),
        (["data=arrays", "project=new"], "Expected a value for 'data.path'"),
        (["data=imagefolder", "data.path=none", "project=new"], "found no "),
    ],
)
def test_bad_arguments_are_one_message(
    begun: Path, weights: Path, arguments: list[str], message: str
) -> None:
    np.save(begun / "fewer.npy", embeddings()[:50])
    nan = embeddings()
    nan[7, 1] = np.nan
    np.save(begun / "nan.npy", nan)
    np.save(begun / "object.npy", np.array([{}] * SIZE, dtype=object), allow_pickle=True)
    (begun / "pickle.npy").write_bytes(pickle.dumps(embeddings()))
    for name, lines in {
        "few.txt": ["a", "b"],
        "same.txt": ["a"] * SIZE,
        "blank.txt": ["a", " ", *map(str, range(SIZE - 2))],
        "cats.csv": ["id,label", "card 0,cat", "card 3,cat"],
    }.items():
        (begun / name).write_text("\n".join(lines))
    (begun / "full").mkdir(exist_ok=True)
    (begun / "full" / "something.txt").touch()
    if "data=imagefolder" in arguments:
        arguments = [*arguments, f"backbone.weights={weights}"]
    check_refused(begun, arguments, message)


def test_a_second_process_says_so(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    with locks.hold(tmp_path / "cards" / ".lock", "", lambda _: None):
        check_refused(tmp_path, ["project=cards"], "Another process is working on")


def test_a_second_process_leaves_the_first_call_alone(tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / "cards").mkdir()
    with locks.hold(tmp_path / "cards" / ".lock", "", lambda _: None):
        check_refused(tmp_path, FIRST, "Another process is working on")


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Lets no file grow beyond a number of bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_message(
    command: Command, tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    before = tree(tmp_path)
    small_files(10_000)  # the page has more
    status, _, err = command(*FIRST)
    assert status == 1
    assert err.count("\n") == 1
    assert "Cannot write " in err
    assert "Make room" in err
    assert tree(tmp_path) == before
    small_files(resource.RLIM_INFINITY)
    begin(command, tmp_path)
    fill_in(tmp_path / "cards" / "round_002" / "to_label.csv")
    small_files(200)
    arguments = ["project=cards", "labels=cards/round_002/to_label.csv"]
    check_refused(tmp_path, arguments, "Make room")


def test_images_that_come_and_go(command: Command, tmp_path: Path, weights: Path) -> None:
    from tests.images import save_images

    save_images(tmp_path, {"photos": 12})
    photos = ["data=imagefolder", "data.path=photos", f"backbone.weights={weights}"]
    photos += ["backbone.transform.resize=32", "backbone.transform.crop=28"]
    photos += ["extraction.num_workers=0", "trainer.accelerator=cpu"]
    status, _, err = command(*photos, "project=birds", "num=4")
    assert (status, err) == (0, "")
    table = "id,label\n001.jpg,cat\n002.bmp,dog\n"
    Path("l.csv").write_text(table)
    arguments = ["project=birds", "labels=l.csv", "trainer.max_epochs=2"]

    Path("photos").rename("away")
    check_refused(tmp_path, arguments, "to be a folder of images, found no ")
    Path("photos").mkdir()  # where a disk was mounted
    check_refused(tmp_path, arguments, "it is empty (is its disk mounted?)")
    Path("photos").rmdir()
    Path("away").rename("photos")

    (features,) = Path("cache").rglob("features.npy")
    whole = features.read_bytes()
    features.write_bytes(whole[:150])
    check_refused(tmp_path, arguments, "The feature cache is damaged")
    features.write_bytes(whole)

    Path("photos/000.png").rename("000.png")
    shutil.copy("photos/003.png", "photos/new.png")
    status, out, err = command(*arguments)
    assert (status, err) == (0, "")
    assert "1 items are gone, and their labels are not used: 000.png." in out
    assert "1 items are new and have joined the pool." in out


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    from dal.errors import DataError
    from dal.labeling.catalog import Catalog
    from dal.labeling.thumbnails import THUMBNAIL

    catalog = Catalog(None, ["a.png"])  # type: ignore[arg-type]
    catalog.__dict__["_rows"] = ({"a.png": 0}, [{"path": str(tmp_path / "a.png"), "bytes": None}])
    with pytest.raises(DataError, match=r"image a.png \(No such file or directory\)"):
        catalog.jpeg("a.png", THUMBNAIL)
