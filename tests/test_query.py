"""The command that hands out items to people, as a user runs it."""

import csv
import io
import json
import os
import pickle
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import dal
from dal import query
from dal.cli import labeling
from dal.cli.command import INTERRUPTED
from dal.labeling.folder import Round
from dal.labeling.project import Step
from dal.runtime import locks

Command = Callable[..., tuple[int, str, str]]

SIZE = 60
CLASSES = ("cat", "dog", "owl")
ARRAYS = ["data=arrays", "data.path=embeddings.npy", "ids=ids.txt"]
FIRST = [*ARRAYS, "project=cards", "num=6", "trainer.max_epochs=5"]
ANSWERED = ["project=cards", "labels=cards/round_001/to_label.csv"]


def embeddings() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(SIZE, 4)) + 4 * np.eye(4)[np.arange(SIZE) % 3]).astype("float32")


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs the command in this process and a folder: exit status, output, errors."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "argv", ["dal.query", *arguments])
        try:
            query.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    return status, out.getvalue(), err.getvalue()


def write_data(folder: Path) -> None:
    np.save(folder / "embeddings.npy", embeddings())
    (folder / "ids.txt").write_text("".join(f"card {row}\n" for row in range(SIZE)))


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


def fill_in(table: Path, skipped: Sequence[str] = (), only: str | None = None) -> list[str]:
    """Writes the classes into a table that was handed out, as a person would; the ids in it."""
    with table.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        own = only or CLASSES[int(row["id"].split()[1]) % 3]
        row["label"] = "" if row["id"] in skipped else own
    with table.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [row["id"] for row in rows]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: the content of files, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def begin(command: Command, folder: Path) -> None:
    """Makes a project with two rounds, the first of which is labeled."""
    assert command(*FIRST)[0] == 0
    fill_in(folder / "cards" / "round_001" / "to_label.csv")
    assert command(*ANSWERED)[0] == 0


def test_later_calls_name_only_what_is_new(command: Command, tmp_path: Path) -> None:
    status, out, err = command(*FIRST)
    assert (status, err) == (0, "")
    assert "Then: python -m dal.query project=cards labels=cards/round_001/to_label.csv" in out
    first = fill_in(tmp_path / "cards" / "round_001" / "to_label.csv")
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "6 answers taken over." in out
    second = fill_in(tmp_path / "cards" / "round_002" / "to_label.csv", skipped=["card 0"])
    assert len(second) == 6
    assert not {*first} & {*second}
    status, out, err = command(
        "project=cards", "labels=cards/round_002/to_label.csv", "audit=5", "strategy=margin"
    )
    assert (status, err) == (0, "")
    assert "5 random items for the audit are in cards/audit_001: label them, too." in out
    with (tmp_path / "cards" / "project.csv").open() as stream:
        assert [row["strategy"] for row in csv.DictReader(stream)] == [
            *("typiclust", "bait_binary", "margin")
        ]
    fill_in(tmp_path / "cards" / "audit_001" / "to_label.csv")
    status, out, err = command("project=cards", "labels=cards/audit_001/to_label.csv")
    assert (status, err) == (0, "")
    assert "audit: accuracy on 5 random items, with a 95% interval; unbiased." in out
    assert "Nothing new since cards/round_003" in out
    # Another strategy leaves the keys of the remembered one behind.
    assert command("project=cards", "strategy=typiclust", "strategy.normalize=false")[0] == 0
    assert command("project=cards", "strategy=random")[0] == 0


def test_the_same_command_changes_nothing(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    before = tree(tmp_path)
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "Nothing new since cards/round_002" in out
    assert tree(tmp_path) == before


def test_paths_are_remembered_wherever_the_command_is_run(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my (first) cards"
    folder.mkdir()
    (tmp_path / "embeddings.npy").rename(folder / "embeddings.npy")
    (tmp_path / "ids.txt").rename(folder / "the ids.txt")
    place = f"project={tmp_path / 'a project'}"
    data = ["data=arrays", f"data.path={folder.name}/embeddings.npy"]
    ids = f"ids='{folder.name}/the ids.txt'"  # as somebody writes who knows Hydra
    status, out, err = command(*data, ids, place, "num=3")
    assert (status, err) == (0, "")
    assert f"'labels={tmp_path / 'a project'}/round_001/to_label.csv'" in out
    (tmp_path / "elsewhere").mkdir()
    status, out, err = run(tmp_path / "elsewhere", place)
    assert (status, err) == (0, "")
    assert "Nothing new since" in out
    with (tmp_path / "a project" / "round_001" / "page.html").open() as page:
        assert "python -m dal.query &#39;project=a project&#39; labels=labels.csv" in page.read()


def test_equal_answers_give_equal_bytes(command: Command, tmp_path: Path) -> None:
    """But for where the files are, which project.yaml remembers."""
    projects = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        for name in ("embeddings.npy", "ids.txt"):
            shutil.copy(tmp_path / name, tmp_path / place / name)
        data = ["data=arrays", f"data.path={place}/embeddings.npy", f"ids={place}/ids.txt"]
        project = f"project={place}/cards"
        assert command(*data, project, "num=6", "audit=4", "trainer.max_epochs=5")[0] == 0
        for table in ("round_001", "audit_001", "round_002"):
            fill_in(tmp_path / place / "cards" / table / "to_label.csv", ["card 5"])
            labels = f"labels={place}/cards/{table}/to_label.csv"
            assert command(project, labels)[0] == 0
        projects.append(tree(tmp_path / place / "cards"))
    for files in projects:
        files.pop(".lock")
    here, there = (files.pop("project.yaml") or b"" for files in projects)
    assert here.replace(b"/here/", b"/there/") == there
    assert "round_003/head.safetensors" in projects[0]
    assert projects[0] == projects[1]


def test_files_have_ordinary_permissions(command: Command, tmp_path: Path) -> None:
    begin(command, tmp_path)
    (tmp_path / "mine").touch()
    expected = (tmp_path / "mine").stat().st_mode
    modes = {
        path.stat().st_mode
        for path in (tmp_path / "cards").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    assert modes == {expected}


def test_help_teaches(command: Command, tmp_path: Path) -> None:
    before = tree(tmp_path)
    status, out, err = command("--help")
    assert (status, err) == (0, "")
    for word in (
        "data=imagefolder data.path=photos project=birds num=50",
        "bait_binary, ",
        "more=",
    ):
        assert word in out
    assert command("--version") == (0, f"dal {dal.__version__}\n", "")
    assert command("--help", "project=cards", *ARRAYS)[0] == 0
    assert tree(tmp_path) == before


def test_ctrl_c_leaves_no_project_and_says_how_to_continue(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dal.labeling import selection

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    before = tree(tmp_path)
    monkeypatch.setattr(selection, "choose", press)
    status, _, err = command(*FIRST)
    assert status == INTERRUPTED
    assert err == "Interrupted. Run the same command again to resume.\n"
    assert tree(tmp_path) == before


def test_the_summary_fits_80_columns() -> None:
    history: list[Mapping[str, Any]] = [
        {
            "round": number,
            "strategy": "least_confidence",
            "num_labeled": 12_345,
            "num_classes": 1_000,
            "cross_validated_accuracy": 1.0,
            "audit_accuracy": 1.0,
            "audit_low": 0.99,
            "audit_high": 1.0,
            "num_audited": 1_000,
            "agreement": 1.0,
            "num_unlabeled": 1_000_000,
        }
        for number in range(95, 108)
    ]
    handed = Round("round", 107, ["a"], "", "least_confidence")
    step = Step(handed, True, 3, 1, 1, ["A note."], history)
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for part in labeling.summary(step, Path("birds")):
        console.print(part, soft_wrap=True)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines[0] == "3 answers taken over, 1 of them skipped."
    table = lines[1 : lines.index(lines[-6])]
    assert table[0].split() == [
        *("round", "by", "labels", "classes", "cross-val.", "audit", "agrees", "left")
    ]
    rows = [row.split() for row in table[1:] if row[:5].strip()]
    assert [row[0] for row in rows] == [str(number) for number in range(98, 108)]
    numbers = ["12,345", "1,000", "100.0%", "100.0%", "(99–100)", "100.0%", "1,000,000"]
    assert all(row[2:] == numbers for row in rows)
    assert max(map(len, table)) <= 80
    assert [line.partition(" ")[0] for line in lines[-6:]] == [
        *("cross-val.:", "audit:", "agrees:", "A", "Handed", "Then:")
    ]


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


def check_refused(folder: Path, arguments: Sequence[str], message: str) -> None:
    """Runs a command that should be refused with one message, and change nothing."""
    before = tree(folder)
    status, _, err = run(folder, *arguments)
    assert status == 1
    assert err.startswith("Error")
    assert message in err
    assert err.count("Error") == 1 + ("Error merging" in err)
    assert err.count("\n") == 1 + ("could not be converted" in err)  # Hydra's own has two lines
    assert tree(folder) == before


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffid,label\ncard 1,cat\n".encode(),
        b"id;label\ncard 1;cat\n",
        "id\tlabel\r\ncard 1\tcat\r\n".encode("utf-16"),
    ],
    ids=["mark", "semicolons", "utf-16"],
)
def test_tables_as_spreadsheets_save_them(command: Command, tmp_path: Path, content: bytes) -> None:
    begin(command, tmp_path)
    (tmp_path / "l.csv").write_bytes(content)
    status, out, err = command("project=cards", "labels=l.csv")
    assert (status, err) == (0, "")
    assert "1 answers taken over." in out


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


def test_one_class_is_no_error(command: Command, tmp_path: Path) -> None:
    assert command(*FIRST)[0] == 0
    fill_in(tmp_path / "cards" / "round_001" / "to_label.csv", only="cat")
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "All labels are 'cat': a head needs two classes at least" in out
    assert "Handed out cards/round_002" in out


def test_what_is_left_is_handed_out_until_all_is_labeled(command: Command, tmp_path: Path) -> None:
    status, out, err = command(*FIRST, f"num={SIZE + 1}")
    assert (status, err) == (0, "")
    assert "Only 60 items are left, fewer than num=61." in out
    fill_in(tmp_path / "cards" / "round_001" / "to_label.csv")
    status, out, err = command(*ANSWERED)
    assert (status, err) == (0, "")
    assert "60 answers taken over." in out
    assert "No item is left to hand out." in out
    before = tree(tmp_path)
    for arguments in (ANSWERED, ["project=cards"], ["project=cards", "more=true"]):
        status, out, err = command(*arguments)
        assert (status, err) == (0, "")
        assert "No item is left to hand out." in out
        assert tree(tmp_path) == before


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
