import os
import shutil
from pathlib import Path

import pytest

import dal.report
from dal.errors import ReportError
from dal.experiment.curve import LearningCurve
from dal.experiment.record import RunDirectory
from dal.report import runs
from dal.report.results import Results
from tests.report.conftest import Writer, read


def test_the_row_of_a_cycle_says_what_the_files_say(write_run: Writer, tmp_path: Path) -> None:
    path = write_run([0.25, 0.5, 0.625], "margin", 3, seconds=0.25, device="gpu", fingerprint="f")
    frame = dal.report.load(tmp_path).frame
    assert frame["run"].unique().tolist() == [str(path)]
    assert frame["cycle"].tolist() == [0, 1, 2]
    assert frame["num_labeled"].tolist() == [10, 20, 30]
    assert frame["accuracy"].tolist() == [0.25, 0.5, 0.625]
    assert frame["query_seconds"].tolist()[:2] == [0.25, 0.25]
    assert frame["query_seconds"].isna().tolist() == [False, False, True]
    last = frame.iloc[-1]
    assert (last["dataset"], last["strategy"], last["seed"]) == ("toy", "margin", 3)
    assert (last["device"], last["fingerprint"], last["num_cycles"]) == ("gpu", "f", 3)
    assert last["complete"]
    assert last["repeat"] == 0


def test_the_auc_is_that_of_the_learning_curve(results: Results) -> None:
    scores = results.scores.set_index("run")
    assert len(scores) == 72
    for path, row in scores.iterrows():
        curve = LearningCurve(RunDirectory(str(path), {}).progress().results)
        assert row["auc"] == pytest.approx(curve.auc, abs=1e-9)
        assert row["final_accuracy"] == pytest.approx(curve.final_accuracy, abs=1e-9)


def test_identity_comes_from_the_configuration(write_run: Writer, tmp_path: Path) -> None:
    path = write_run([0.5], "margin", 3)
    path.rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "runs")
    (row,) = read(tmp_path).frame.itertuples()
    assert (row.dataset, row.strategy, row.seed) == ("toy", "margin", 3)


def test_a_class_that_has_moved_splits_nothing(write_run: Writer, tmp_path: Path) -> None:
    for seed, package in enumerate(("before.module", "after")):
        moved = {
            "head": {"_target_": f"{package}.LinearHead"},
            "strategy": {"_target_": f"{package}.Margin"},
        }
        write_run([0.1, 0.2], "margin", seed, config=moved)
    results = read(tmp_path)
    assert set(results.frame["dataset"]) == {"toy"}
    assert set(results.frame["strategy"]) == {"margin"}
    assert results.problems == []


def test_other_settings_under_one_name_are_shown_apart(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "random", 0)
    write_run([0.5, 0.6], "margin", 0)
    write_run([0.5, 0.6], "random", 1, config={"head": {"lr": 0.01}})
    reading = runs.read([tmp_path])
    assert set(reading.frame["dataset"]) == {"toy [head.lr=0.2]", "toy [head.lr=0.01]"}
    (problem,) = (p for p in reading.problems if "differ" in p)
    assert problem.startswith("toy: the runs under this name differ in head.lr")
    assert "0.01 in 1 run, 0.2 in 2 runs" in problem


def test_arguments_of_a_strategy_make_variants_of_it(write_run: Writer, tmp_path: Path) -> None:
    target = {"_target_": "package.bait_exp"}
    for seed, top in enumerate((1, 2)):
        write_run([0.5], "random", seed)
        write_run([0.5], "bait_exp", seed, config={"strategy": {**target, "top_classes": top}})
    results = read(tmp_path)
    assert results.datasets == ["toy"]
    assert results.strategies == ["random", "bait_exp [top_classes=1]", "bait_exp [top_classes=2]"]
    assert any(
        "toy, bait_exp: the runs differ in strategy.top_classes" in p for p in results.problems
    )


def test_long_differences_become_numbers(write_run: Writer, tmp_path: Path) -> None:
    for seed, lr in enumerate((0.1, 0.2)):
        write_run([0.5], seed=seed, config={"head": {f"argument_{k}": lr + k for k in range(6)}})
    assert set(runs.read([tmp_path]).frame["dataset"]) == {
        "toy [settings 1]",
        "toy [settings 2]",
    }


def test_runs_of_other_lengths_are_shown_apart(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "random", 0)
    write_run([0.5, 0.6, 0.7], "random", 1)
    frame = runs.read([tmp_path]).frame
    assert set(frame["dataset"]) == {"toy [al.num_acq=1]", "toy [al.num_acq=2]"}
    assert frame["complete"].all()


def test_accuracies_on_dev_are_said(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], config={"eval_split": "dev"})
    (problem,) = runs.read([tmp_path]).problems
    assert problem.startswith("toy: accuracies are on dev")


def test_where_a_run_ran_is_no_difference(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], seed=0, config={"trainer": {"accelerator": "cpu", "devices": 1}})
    elsewhere = {"trainer": {"accelerator": "gpu", "devices": 2}, "logger": {"csv": {"dir": "x"}}}
    write_run([0.5], seed=1, config=elsewhere)
    reading = runs.read([tmp_path])
    assert set(reading.frame["dataset"]) == {"toy"}
    assert reading.problems == []
    assert reading.configurations["trainer.accelerator"].tolist() == ["cpu", "gpu"]


def test_other_data_under_one_name_are_shown_apart(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], seed=0, fingerprint="a")
    write_run([0.5], seed=1, fingerprint="b")
    reading = runs.read([tmp_path])
    assert set(reading.frame["dataset"]) == {"toy [data.fingerprint=a]", "toy [data.fingerprint=b]"}


def test_runs_that_do_not_name_their_data_are_never_paired(
    write_run: Writer, tmp_path: Path
) -> None:
    write_run([0.5], "random")
    write_run([0.6], "margin", fingerprint=None)
    results = read(tmp_path)
    assert any("1 of 2 runs do not say which data" in p for p in results.problems)
    assert results.pairs.empty


def test_unfinished_runs_are_named_and_enter_no_number(write_run: Writer, tmp_path: Path) -> None:
    path = write_run([0.5, 0.6], "margin", num_cycles=5)
    write_run([0.5] * 5, "margin", 1)
    results = read(tmp_path)
    (problem,) = results.problems
    assert str(path) in problem
    assert "2 of 5 cycles" in problem
    assert results.scores["seed"].tolist() == [1]


def test_a_seed_counts_once(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.5], "random", root="a")
    write_run([0.5, 0.7], "random", root="b", device="gpu", seconds=0.1)
    results = read(tmp_path / "b", tmp_path / "a")
    assert any("seed 0: 2 runs, with different curves" in p for p in results.problems)
    assert results.scores["auc"].tolist() == [50.0]
    assert results.times.set_index("device")["seconds"].to_dict() == {
        "cpu": 0.5,
        "gpu": 0.1,
    }


def test_the_same_directory_twice_is_one(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5])
    reading = runs.read([tmp_path, tmp_path / "runs"])
    assert len(reading.frame) == 1
    assert reading.problems == []


def test_equal_data_under_two_names_are_said(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5], name="one")
    write_run([0.5], name="two")
    assert any("one and two hold the same data" in p for p in runs.read([tmp_path]).problems)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("curve.csv", "cycle,num_labeled\n", "unexpected columns"),
        ("curve.csv", "cut", "cut short in line 1"),
        ("config.yaml", "a: [", "cannot be read"),
        ("config.yaml", "- 1\n", "holds no configuration"),
        ("config.yaml", "name: toy\nseed: 1\n", "does not say strategy_name"),
        ("config.yaml", "name: toy\nstrategy_name: x\nseed: one\n", "expected an integer seed"),
        ("config.yaml", None, "no config.yaml"),
        ("curve.csv", None, "not finished its first cycle"),
        ("summary.json", "[1]", "summary.json is damaged"),
        ("acquisitions.csv", "cycle,order,index\n0,0,x\n", "acquisitions.csv, line 2, is damaged"),
    ],
)
def test_damage_is_named_and_leaves_the_others(
    write_run: Writer, tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    write_run([0.5, 0.6], "random", 0)
    damaged = write_run([0.5, 0.6], "random", 1) / file
    damaged.unlink()
    if content is not None:
        damaged.write_text(content)
    with pytest.warns(UserWarning, match=message):
        results = dal.report.load(tmp_path)
    assert set(results.frame["seed"]) == {0}


def test_other_tools_files_are_no_runs(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5])
    (tmp_path / "wandb" / "files").mkdir(parents=True)
    (tmp_path / "wandb" / "files" / "config.yaml").write_text("wandb_version: 1\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "curve.csv").write_text("x")
    reading = runs.read([tmp_path])
    assert len(reading.frame) == 1
    assert reading.problems == []


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="nowhere, which is not there"):
        dal.report.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="which is a file"):
        dal.report.load(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportError, match="got none with a finished cycle"):
        dal.report.load(tmp_path / "empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_directory_is_named(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5])
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        assert any("closed" in p for p in runs.read([tmp_path]).problems)
    finally:
        closed.chmod(0o700)
