"""The command that computes features, as a user runs it, and what an experiment makes of them."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dal import extract, train
from dal.extraction.inference import Embedding
from dal.runtime.signals import RESUMABLE, STOP_SIGNALS
from tests.images import save_images

Command = Callable[..., tuple[int, str, str]]
SMALL = ["backbone.transform.resize=32", "backbone.transform.crop=28", "extraction.num_workers=0"]


@pytest.fixture
def command(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs a command on images and weights in a folder of its own."""
    shutil.copytree(weights, tmp_path / "weights")
    save_images(tmp_path / "images" / "train", {"ant": 20, "bee": 18, "cow": 16})
    save_images(tmp_path / "images" / "test", {"ant": 5, "bee": 4, "cow": 3}, seed=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def run(which: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", [f"dal.{which}", *arguments])
        status = 0
        try:
            {"extract": extract, "train": train}[which].main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        out, err = capsys.readouterr()
        return status, out, err

    return run


FOLDER = ["data=imagefolder", "data.path=images", "backbone.weights=weights", *SMALL]
COPIES = ("features.npy", "labels.npy", "ids.txt")
RUN = ["trainer.max_epochs=2", "al.num_init=6", "al.acq_size=3", "al.num_acq=2"]


def test_from_images_to_a_learning_curve_and_again_without_them(
    command: Command, tmp_path: Path
) -> None:
    status, out, err = command("train", *FOLDER, *RUN)
    assert (status, err) == (0, "")
    assert "Computing features of" in out
    first = tmp_path / "outputs" / "imagefolder" / "bait_binary" / "seed_0" / "acquisitions.csv"
    acquired = first.read_text()
    (tmp_path / "images").rename(tmp_path / "images_away")
    (tmp_path / "weights").rename(tmp_path / "weights_away")
    status, out, err = command("train", *FOLDER, *RUN, "output_root=again")
    assert (status, err) == (0, "")
    assert "Computing" not in out
    again = tmp_path / "again" / "imagefolder" / "bait_binary" / "seed_0" / "acquisitions.csv"
    assert again.read_text() == acquired
    # A key that may change in a complete run.
    assert command("train", *FOLDER, *RUN, "extraction.batch_size=9")[0] == 0
    status, _, err = command("train", *FOLDER, *RUN, "extraction.dtype=float32")
    assert "extraction.dtype: 'float16' → 'float32'" in err


def test_a_run_without_weights_leaves_no_directory(command: Command, tmp_path: Path) -> None:
    assert command("train", "+experiment=imagenet")[0] == 1
    assert not (tmp_path / "outputs").exists()


def test_features_for_people_who_just_want_features(command: Command, tmp_path: Path) -> None:
    status, out, err = command("extract", *FOLDER, "out=mine", "extraction.dtype=float32")
    assert (status, err) == (0, "")
    assert "54 × 16 float32" in out
    features = np.load(tmp_path / "mine" / "train_features.npy")
    assert (features.shape, features.dtype) == ((54, 16), np.float32)
    assert np.load(tmp_path / "mine" / "test_labels.npy").tolist() == [0] * 5 + [1] * 4 + [2] * 3
    names = (tmp_path / "mine" / "test_ids.txt").read_text().splitlines()
    assert names[0] == "test/ant/000.png"
    status, _, err = command("train", "data=arrays", "data.path=mine", *RUN)
    assert (status, err) == (0, "")


def test_images_without_labels(command: Command, tmp_path: Path) -> None:
    arguments = ["data.path=images/train/ant", *FOLDER[2:]]
    status, _, err = command("extract", "data=imagefolder", *arguments, "out=mine")
    assert (status, err) == (0, "")
    assert {file.name for file in (tmp_path / "mine").iterdir()} == {
        "extraction.json",
        "train_features.npy",
        "train_ids.txt",
    }
    status, _, err = command("train", "data=imagefolder", *arguments, "data.splits.test=null")
    assert status == 1
    assert "Expected labels" in err


def test_files_of_two_extractions_are_never_mixed(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    command("extract", *FOLDER, "out=mine")
    assert {file.name for file in out.iterdir()} == {
        *(f"{split}_{name}" for split in ("train", "test") for name in COPIES),
        "classes.txt",
        "extraction.json",
    }
    assert (out / "classes.txt").read_text() == "ant\nbee\ncow\n"
    (out / "notes.txt").write_text("mine")
    flat = ["data=imagefolder", "data.path=images/train/ant", *FOLDER[2:], "out=mine"]
    assert command("extract", *flat)[0] == 0
    assert {file.name for file in out.iterdir()} == {
        *("train_features.npy", "train_ids.txt"),
        *("extraction.json", "notes.txt"),
    }
    np.save(out / "train_labels.npy", np.arange(20) % 2)  # by hand: nobody may remove it
    status, _, err = command("extract", *flat)
    assert status == 1
    assert "Expected no train_labels.npy in mine" in err
    assert np.load(out / "train_labels.npy").tolist() == [0, 1] * 10
    (out / "train_labels.npy").unlink()
    assert command("extract", *FOLDER, "out=mine")[0] == 0
    np.save(out / "train_labels.npy", np.zeros(54, np.int64))
    assert "has been changed since" in command("extract", *FOLDER, "out=mine")[2]


@pytest.mark.parametrize("name", ["~/photos (1)", "it's=café & 日本 [x]"])
def test_paths_as_people_have_them(
    name: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "images").rename(tmp_path / name.removeprefix("~/"))
    path = [f"data.path={name}", f"out={name}/of"]
    status, out, err = command("extract", FOLDER[0], *path, *FOLDER[2:])
    assert (status, err) == (0, "")
    assert f"{name.removeprefix('~/')}/train: 54 images" in out  # and not taken for markup
    assert (tmp_path / name.removeprefix("~/") / "of" / "train_features.npy").exists()
    root = "output_root=~/é"
    status, _, err = command("train", FOLDER[0], path[0], *FOLDER[2:], *RUN, "al.num_acq=0", root)
    assert (status, err) == (0, "")
    run_dir = tmp_path / "é" / "imagefolder" / "bait_binary" / "seed_0"
    assert (run_dir / "summary.json").exists()
    assert not (tmp_path / "~").exists()


def test_jobs_of_one_series_have_folders_of_their_own(command: Command, tmp_path: Path) -> None:
    types = "extraction.dtype=float16,float32"
    status, _, err = command("extract", "-m", *FOLDER, types, "out=mine")
    assert status == 1
    assert "got out=mine again" in err
    status, _, err = command("extract", "-m", *FOLDER, types, "out=of/${extraction.dtype}")
    assert (status, err) == (0, "")
    for name in ("float16", "float32"):
        assert np.load(tmp_path / "of" / name / "test_features.npy").dtype == name


def test_names_are_lines_whatever_is_in_them(command: Command, tmp_path: Path) -> None:
    ant = tmp_path / "images" / "train" / "ant"
    (ant / "000.png").rename(ant / "0\n\u20280.png")
    assert command("extract", *FOLDER, "out=mine")[0] == 0
    names = (tmp_path / "mine" / "train_ids.txt").read_text().splitlines()
    assert len(names) == 54
    assert names[0] == r"train/ant/0\n\u20280.png"


def test_what_was_understood_is_printed(command: Command, tmp_path: Path) -> None:
    (tmp_path / "images" / "train" / "ant" / "1.HEIC").write_text("x")
    lines = [
        "train: 54 images of 3 classes (ant, bee, cow); 1 file passed over: 1 .heic.",
        "test: 12 images of 3 classes (ant, bee, cow).",
    ]
    for which, arguments in (("extract", ()), ("extract", ()), ("train", RUN)):
        status, out, err = command(which, *FOLDER, *arguments)
        assert (status, err) == (0, "")
        assert [line for line in out.splitlines() if " images of " in line] == lines
    shutil.rmtree(tmp_path / "images")
    status, out, err = command("extract", *FOLDER)
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == lines


def test_an_extraction_fills_the_cache_that_an_experiment_reads(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "insects.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /data: imagefolder\n"
        "  - override /strategy: margin\nname: insects\ndata: {path: images}\n"
        "backbone: {weights: weights, transform: {resize: 32, crop: 28}}\n"
        "trainer: {max_epochs: 1}\nal: {num_init: 5, acq_size: 2, num_acq: 1}\n"
    )
    arguments = ["--config-dir", "mine", "+experiment=insects"]
    status, out, err = command("extract", *arguments)
    assert (status, err) == (0, "")
    assert "54 images computed" in out
    status, out, err = command("train", *arguments)
    assert (status, err) == (0, "")
    assert "Computing" not in out
    (manifest, _) = (
        json.loads(file.read_text())
        for file in (tmp_path / "cache").glob("features/*/manifest.json")
    )
    assert manifest["provenance"]["versions"]["dal"]
    assert (tmp_path / "outputs" / "insects" / "margin" / "seed_0" / "curve.csv").exists()


def test_a_damaged_cache_is_reported(command: Command, tmp_path: Path) -> None:
    assert command("extract", *FOLDER)[0] == 0
    for file in (tmp_path / "cache").glob("features/*/features.npy"):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    status, _, err = command("train", *FOLDER, *RUN)
    assert status == 1
    assert "damaged" in err
    assert "Delete the folder" in err.replace("\n", " ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected a value for 'data.path', got none"),
        (["data=digits"], "Expected `data` to be items that a network reads, got Digits"),
        (["data=imagefolder", "data.path=nowhere"], "found no"),
        (["+experiment=imagenet"], "hf download facebook/dinov2-small --revision ed25f3"),
        (
            ["+experiment=cifar10", "backbone.weights=weights"],
            "hf download uoft-cs/cifar10 --repo-type dataset",
        ),
        (["+experiment=snacks", "backbone.weights=weights"], "the dataset Matthijs/snacks"),
        ([*FOLDER, "backbone.wieghts=x"], "Did you mean 'backbone.weights'?"),
        ([*FOLDER, "backbone=dinov2_vits"], "Unknown backbone 'dinov2_vits'. Did you mean"),
        ([*FOLDER, "extraction.dtype=int8"], "Unknown `dtype` 'int8'"),
        ([*FOLDER, "cache_dir=/proc/none"], "cache_dir=DIR or DAL_CACHE"),
        ([*FOLDER, "out=/proc/none"], "Cannot use `out`"),
        ([*FOLDER, "oot=x"], "Did you mean 'out'?"),
        ([*FOLDER, "out="], "`out`, got an empty value"),
        ([*FOLDER, "cache_dir="], "`cache_dir`, got an empty value"),
        ([*FOLDER, "data.path="], "`data.path`, got an empty value"),
        ([*FOLDER, "data.path=null"], "`data.path`, got an empty value"),
        ([*FOLDER, "data.path=2024"], "found no"),
        ([*FOLDER, "data.path=2024.10"], "got the float 2024.1. Write ./ before"),
        ([*FOLDER, "data.path=[x]"], "got the list ['x']. Write ./ before"),
        ([*FOLDER, "data.path=[x"], "Cannot read data.path=[x: brackets"),
        ([*FOLDER, "data.splits.train=[a]"], "`splits.train` to be a name or null"),
        ([*FOLDER, "data.splits.test=tset"], "Expected a folder 'tset'"),
        ([*FOLDER, "extraction.batch_size=abc"], "a number for 'extraction.batch_size', got 'abc'"),
        ([*FOLDER, "backbone.transform.crop=99"], "`crop` in [1, resize = 32]"),
    ],
)
def test_bad_arguments_are_one_message(
    command: Command, arguments: list[str], message: str
) -> None:
    status, _, err = command("extract", *arguments)
    assert status == 1
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "got 1 of 'dodo'. Add examples, remove the class"),
        (["data.test_fraction=0.99"], "got 54 and 0 examples"),
        (["al.num_init=99"], "num_init + acq_size × num_acq = 99 + 3 × 2 = 105 examples, got"),
        (["al.init=class_balanced", "al.num_init=1"], "`num_init` of at least 3, one for each"),
    ],
)
def test_what_labels_say_is_said_before_anything_is_computed(
    arguments: list[str], message: str, command: Command, tmp_path: Path
) -> None:
    if "dodo" in message:
        save_images(tmp_path / "images" / "train", {"dodo": 1})
    test = "test" if any(argument.startswith("al.") for argument in arguments) else "null"
    status, out, err = command("train", *FOLDER, *RUN, *arguments, f"data.splits.test={test}")
    assert status == 1
    assert message in err.replace("\n", " ")
    assert "Computing" not in out
    assert not (tmp_path / "outputs").exists()


def test_a_broken_image_is_one_message(command: Command, tmp_path: Path) -> None:
    Image.new("F", (3, 3)).save(tmp_path / "images" / "train" / "ant" / "deep.tiff")
    status, _, err = command("extract", *FOLDER[:-1], "extraction.num_workers=1")
    assert status == 1
    assert "train/ant/deep.tiff" in err
    assert "mode F" in err
    assert "Traceback" not in err


def test_an_extraction_that_is_asked_to_stop(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        signal.raise_signal(signal.SIGUSR1)

    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    with monkeypatch.context() as patch:
        patch.setattr(Embedding, "predict_step", stopped)
        status, _, err = command("extract", *FOLDER)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert status == RESUMABLE
    assert err.endswith("Stopped by SIGUSR1. Run the same command again to resume.\n")
    assert "Traceback" not in err
    assert command("extract", *FOLDER)[0] == 0


def test_help_teaches(command: Command) -> None:
    status, out, _ = command("extract", "--help")
    assert status == 0
    for word in ("backbone: bert_base,", "data=imagefolder data.path=DIR out=DIR", "DAL_CACHE"):
        assert word in out
