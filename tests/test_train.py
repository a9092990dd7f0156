"""The command as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import dal
from dal import train
from tests.conftest import SHORT, Command
from tests.run_files import num_rows, rows, stable_curve
from tests.started import Run


def test_a_run_from_nothing_to_a_curve(command: Command, tmp_path: Path) -> None:
    status, out, err = command(*SHORT)
    assert (status, err) == (0, "")
    run_dir = tmp_path / "outputs" / "digits" / "bait_binary" / "seed_0"
    assert "cycle 3/3: 30 labels" in out
    assert "outputs/digits/bait_binary/seed_0" in out
    curve = rows(run_dir / "curve.csv")
    assert list(curve[0]) == [
        *("cycle", "num_labeled", "accuracy", "nll", "brier", "ece"),
        *("fit_seconds", "query_seconds", "peak_memory_mib"),
    ]
    assert [row["num_labeled"] for row in curve] == ["10", "20", "30"]
    assert [row["query_seconds"] == "" for row in curve] == [False, False, True]
    acquisitions = rows(run_dir / "acquisitions.csv")
    assert [row["cycle"] for row in acquisitions] == ["0"] * 10 + ["1"] * 10 + ["2"] * 10
    assert len({row["index"] for row in acquisitions}) == 30
    assert (run_dir / "curve.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((run_dir / "summary.json").read_text())
    mean = np.mean([float(row["accuracy"]) for row in curve])
    assert summary["auc"] == pytest.approx(100 * mean, abs=1e-4)
    assert f"{summary['auc']:.2f}" in out
    assert summary["finished"] is True
    written = OmegaConf.load(run_dir / "config.yaml")
    assert written.al.num_acq == 2
    assert written.head.scheduler.T_max == 2
    assert not (tmp_path / "outputs" / "digits" / "bait_binary" / ".hydra").exists()


def test_the_same_command_again_shows_the_result(command: Command, tmp_path: Path) -> None:
    assert command(*SHORT)[0] == 0
    file = tmp_path / "outputs" / "digits" / "bait_binary" / "seed_0" / "curve.csv"
    before = file.stat().st_mtime_ns
    status, out, _ = command(*SHORT)
    assert status == 0
    assert "complete already" in out
    assert "AUC" in out
    assert file.stat().st_mtime_ns == before
    assert "cycle 1/3" in command(*SHORT, "overwrite=true")[1]
    assert file.stat().st_mtime_ns > before


def test_a_folder_of_ones_own_configuration(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "quick.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /strategy: entropy\n"
        "name: quick\nal: {num_acq: 1}\ntrainer: {max_epochs: 1}\n"
    )
    status, _, err = command("--config-dir", "mine", "+experiment=quick")
    assert (status, err) == (0, "")
    assert (tmp_path / "outputs" / "quick" / "entropy" / "seed_0" / "curve.csv").exists()


def test_the_version_is_that_of_dal(command: Command) -> None:
    assert command("--version") == (0, f"dal {dal.__version__}\n", "")


def test_help_teaches(command: Command) -> None:
    status, out, _ = command("--help")
    assert status == 0
    for word in (
        "bait_binary, bait_diagonal, bait_exp,",
        "+experiment=",
        "-m ",
        "run_dir: outputs/digits/bait_binary/seed_0\n",
    ):
        assert word in out
    assert "T_max: 30\n" in command("--help", "trainer.max_epochs=30")[1]
    out = command("-m", "--help", "strategy=random,margin", "seed=3,4")[1]
    assert "run_dir: outputs/digits/random/seed_3\n" in out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['dal.train', '--help']\n"
        "import dal.train\n"
        "try: dal.train.main()\n"
        "except SystemExit: pass\n"
        "sys.exit(' '.join({'torch', 'lightning', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def write_features(folder: Path, **arrays: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    whole = {
        "train_features": rng.normal(size=(80, 4)).astype("float16"),
        "train_labels": np.arange(80) % 3,
        "test_features": rng.normal(size=(20, 4)).astype("float16"),
        "test_labels": np.arange(20) % 3,
    }
    for name, array in (whole | arrays).items():
        np.save(folder / f"{name}.npy", array)


def test_features_of_ones_own(command: Command, tmp_path: Path) -> None:
    write_features(tmp_path / "mine")
    arguments = ["data=arrays", "data.path=mine", "name=mycase", "strategy=entropy", "seed=3"]
    status, _, err = command(*arguments, *SHORT, "al.init=class_balanced")
    assert (status, err) == (0, "")
    assert (tmp_path / "outputs" / "mycase" / "entropy" / "seed_3" / "curve.csv").exists()


def test_a_pool_that_is_not_kept_in_memory_gives_the_same_run(
    command: Command, tmp_path: Path
) -> None:
    write_features(tmp_path / "mine")
    arguments = ["data=arrays", "data.path=mine", "strategy=bait_binary", *SHORT]
    stable = []
    for name, choice in (("kept", "true"), ("read", "false")):
        status, out, err = command(*arguments, f"name={name}", f"data.in_memory={choice}")
        assert (status, err) == (0, "")
        assert ("they are read from the pool in each pass" in out) == (choice == "false")
        run_dir = tmp_path / "outputs" / name / "bait_binary" / "seed_0"
        stable.append((run_dir / "acquisitions.csv").read_bytes())
    assert stable[0] == stable[1]
    # The same run, for which nothing is left to do.
    status, out, err = command(*arguments, "name=read", "data.in_memory=auto")
    assert (status, err) == (0, "")
    assert "complete already" in out


NAN = np.zeros((80, 4), "float32")
NAN[[7, 9], 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train_features": NAN}, "NaN or infinite values in 2 of 80 rows, the first at row 7"),
        ({"train_labels": np.arange(79) % 3}, "80 rows of features and 79 labels"),
        ({"train_labels": np.arange(80) % 3 - 1}, "a label for each of the train examples"),
        ({"train_labels": np.arange(80) % 3 - 2}, "train labels of at least 0, or -1"),
        ({"train_labels": np.arange(80) / 2}, "integer train labels, got torch.float64"),
        ({"train_labels": np.arange(80) % 2 * 2}, "the first one missing is 1"),
        ({"train_labels": np.zeros(80, int)}, "at least 2 classes"),
        ({"test_labels": np.arange(20) % 4}, "test labels in [0, 2], as in train, got 3 at row 3"),
        ({"test_features": np.zeros((20, 5))}, "same dimension, got 4 and 5"),
    ],
)
def test_bad_features_are_one_message(
    command: Command, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    write_features(tmp_path / "mine", **arrays)
    status, _, err = command("data=arrays", "data.path=mine", *SHORT)
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert err.count("Error") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["al.num_init=1122"], "= 1142 examples, got 1131"),
        (["al.acq_size=1000"], "= 2010 examples, got 1131"),
        (["al.num_init=9", "al.init=class_balanced"], "at least 10, one for each class"),
        (["al.num_init=0"], "`num_init` of at least 1"),
        (
            ["strategy=marign"],
            "Unknown strategy 'marign'. Did you mean 'margin'? Known: alfa_mix, badge,",
        ),
        (["strategy=xyz"], "Unknown strategy 'xyz'. Known: alfa_mix, badge"),
        (["+experiment=digit"], "Unknown experiment 'digit'. Did you mean 'digits'? Known: "),
        (["al.num_int=3"], "Unknown key 'al.num_int'. Did you mean 'al.num_init'?"),
        (["stratgy=random"], "Unknown key 'stratgy'. Did you mean 'strategy'?"),
        (["sed=1"], "Unknown key 'sed'. Did you mean 'seed'?"),
        (["+sed=1"], "Unknown key 'sed'. Did you mean 'seed'?"),
        (["+al.nm_acq=1"], "Unknown key 'al.nm_acq'. Did you mean 'al.num_acq'?"),
        (["head.optimizer.l=1"], "Unknown key 'head.optimizer.l'. Did you mean"),
        (["+head.optimizer.weight_dekay=1"], "Did you mean 'weight_decay'?"),
        (["+trainer.max_epoch=1"], "Did you mean 'max_epochs'?"),
        (["head.optimizer.lr=-1"], "Invalid learning rate: -1"),
        (["head.optimizer.lr=nan"], "Invalid learning rate: nan"),
        (["head.optimizer.lr=0"], "a learning rate (`lr`) above 0 of the head's RAdam, got 0"),
        (["head=mlp", "head.optimizer.weight_decay=-1"], "Invalid weight_decay value: -1"),
        (["head.scheduler.T_max=0"], "The schedule CosineAnnealingLR of the head cannot step"),
        (["hydra/launcher=joblib"], '`pip install -e ".[joblib]"`'),
        (["head.optimizer.lr=high"], "Expected a number for 'head.optimizer.lr', got 'high'"),
        (["trainer.max_epochs=lots"], "Expected a number for 'trainer.max_epochs', got 'lots'"),
        (["trainer.max_epochs=1.5"], "Expected an integer for 'trainer.max_epochs', got 1.5"),
        (["trainer.max_epochs=true"], "Expected a number for 'trainer.max_epochs', got True"),
        (["trainer.max_epochs=0"], "trainer.max_epochs of at least 1, got 0"),
        (["+trainer.max_steps=0"], "trainer.max_steps of at least 1, got 0"),
        (["trainer.max_epochs=-1"], "Expected a fit that ends, got trainer.max_epochs=-1"),
        (["strategy.subset_size=x"], "Expected a number for 'strategy.subset_size', got 'x'"),
        (["strategy.subset_size=-5"], "`subset_size` of at least 1, got -5"),
        (["al.acq_size=-3"], "`acq_size` of at least 1, got -3"),
        (["al.acq_size=many"], "could not be converted to Integer"),
        (["head.optimizer.lr=1e30"], "the head has diverged"),
        (
            ["strategy=typiclust", "strategy.num_neighbours=5"],
            "Unknown key 'strategy.num_neighbours'. Known: strategy.",
        ),
        (["strategy._target_=dal.strategies.Nothing"], "No module named 'dal.strategies.Nothing'"),
        (["seed=abc"], "could not be converted to Integer"),
        (["seed=-1"], "`seed` of at least 0, got -1"),
        (["eval_split=val"], "Unknown `eval_split` 'val'"),
        (["data=arrays"], "Expected a value for 'data.path', got none"),
        (["data=arrays", "data.path=nowhere"], "a file of features, found no nowhere."),
        (["data.dev_fraction=2"], "`dev_fraction` in [0, 1), got 2"),
        (["trainer.accelerator=tpu"], "The trainer cannot be made"),
        (["output_root=/proc/none"], "output_root=DIR"),
        (["a=[1"], "Cannot read a=[1: brackets and quotes must be closed"),
    ],
)
def test_bad_arguments_are_one_message(
    command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, _, err = command(*SHORT, *arguments)
    assert status == 1
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err
    assert not list(tmp_path.glob("outputs/*/*/*/curve.csv"))


def test_a_wrong_value_costs_no_run(command: Command, tmp_path: Path) -> None:
    assert command(*SHORT)[0] == 0
    run_dir = tmp_path / "outputs" / "digits" / "bait_binary" / "seed_0"
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    for wrong in ("eval_split=validatoin", "al.acq_size=10000", "head.optimizer.lr=high"):
        status, _, err = command(*SHORT, wrong, "overwrite=true")
        assert status == 1
        assert "overwrite=true" not in err
        assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before
        # The mistake is named, and no way to delete what is there.
        assert command(*SHORT, wrong)[2] == err or wrong == "al.acq_size=10000"


def test_misspelt_keys_in_an_experiment(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    file = tmp_path / "mine" / "experiment" / "x.yaml"
    for text, hint in (
        ("sed: 1", "Did you mean 'seed'?"),
        ("al: {num_int: 1}", "Did you mean 'al.num_init'?"),
        ("trainer: {max_epoch: 1}", "Did you mean 'max_epochs'?"),
    ):
        file.write_text(f"# @package _global_\n{text}\n")
        status, _, err = command("--config-dir", "mine", "+experiment=x")
        assert status == 1
        assert hint in err.replace("\n", " ")


def test_an_experiment_without_its_package_is_told_the_line(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    for text in ("name: x\n", "al: {num_acq: 1}\n", "defaults:\n  - override /strategy: margin\n"):
        (tmp_path / "mine" / "experiment" / "x.yaml").write_text(text)
        status, _, err = command("--config-dir", "mine", "+experiment=x")
        assert status == 1
        assert "Add `# @package _global_` as its first line" in err
        assert "Did you mean" not in err


def test_another_configuration_in_the_directory(command: Command) -> None:
    assert command(*SHORT)[0] == 0
    status, _, err = command(*SHORT, "head.optimizer.lr=0.01")
    assert status == 1
    assert "head.optimizer.lr: 0.2 → 0.01" in err
    assert "overwrite=true" in err


def test_a_truncated_curve(command: Command, tmp_path: Path) -> None:
    assert command(*SHORT)[0] == 0
    file = tmp_path / "outputs" / "digits" / "bait_binary" / "seed_0" / "curve.csv"
    file.write_bytes(file.read_bytes()[:-9])
    before = file.read_bytes()
    status, _, err = command(*SHORT)
    assert status == 1
    assert "curve.csv is cut short in line 4" in err.replace("\n", " ")
    assert file.read_bytes() == before


def test_a_second_process_in_the_directory(command: Command, tmp_path: Path) -> None:
    from dal.experiment.record import RunDirectory

    run_dir = tmp_path / "outputs" / "digits" / "bait_binary" / "seed_0"
    with RunDirectory(run_dir, {"seed": 0}):
        status, _, err = command(*SHORT)
    assert status == 1
    assert "Another process is working" in err


@pytest.mark.long
def test_a_killed_run_resumes_to_the_same_bytes(command: Command, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # The initial pool is taken from the record: a selection would be another one later.
    arguments = ["trainer.max_epochs=40", "al.init=typiclust"]
    assert "final accuracy" in command(f"run_dir={whole}", *arguments)[1]
    process = Run([f"run_dir={killed}", *arguments], tmp_path)
    while num_rows(killed) < 7 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert num_rows(killed) < 22
    assert "Resuming after" in command(f"run_dir={killed}", *arguments)[1]
    assert stable_curve(killed) == stable_curve(whole)
    assert (killed / "acquisitions.csv").read_bytes() == (whole / "acquisitions.csv").read_bytes()
    assert num_rows(killed) == 22


def test_output_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    """As `python -m dal.train --help | head` leaves it."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "dal.train", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(train.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141
