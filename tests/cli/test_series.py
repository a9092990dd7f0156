"""A multirun: what its processes know of each other, and what it says."""

import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict

from dal import extract, train
from dal.cli import config, summary
from dal.cli.series import FOLDER_VARIABLE, AnnounceSeries, FinishedJob, Series


def composed(tmp_path: Path, *overrides: str) -> DictConfig:
    """The configuration of a multirun."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", overrides=[f"output_root={tmp_path}"], return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.overrides.task = list(overrides)
    return cfg


def series(tmp_path: Path, *overrides: str) -> Series:
    Series.begin(composed(tmp_path, *overrides))
    begun = Series.current()
    assert begun is not None
    return begun


def finished(tmp_path: Path, number: int, seconds: float, **changes: Any) -> FinishedJob:
    """A job whose run is there, unless it has failed."""
    run_dir = tmp_path / "digits" / f"strategy_{number % 2}" / f"seed_{number}"
    facts: dict[str, Any] = {"title": f"run {number}", "overrides": "", "process": 1}
    facts |= {"message": None} | changes
    if facts["message"] is None:
        run_dir.mkdir(parents=True, exist_ok=True)
        result = {"finished": True, "auc": 50.0 + number, "final_accuracy": 90.0}
        (run_dir / "summary.json").write_text(json.dumps(result))
    return FinishedJob(number=number, run_dir=str(run_dir), seconds=seconds, **facts)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


@pytest.mark.usefixtures("environment")
def test_the_time_left_is_learned_by_strategy(tmp_path: Path) -> None:
    begun = series(tmp_path, "seed=0,1,2", "strategy=random,bait")
    assert (begun.num_jobs, begun.is_parallel, begun.is_here) == (6, False, True)
    assert begun.seconds_left([], 0) == 0
    assert begun.progress([]) == "0 of 6 runs"
    # Even numbers are random, odd ones bait.
    jobs = [finished(tmp_path, 0, 2.0), finished(tmp_path, 1, 100.0)]
    assert begun.seconds_left(jobs, 102) == 2 * (2 + 100)
    # What has failed tells nothing, and is done.
    jobs.append(finished(tmp_path, 2, 0.1, message="no"))
    assert begun.seconds_left(jobs, 102) == 2 + 2 * 100
    for job in jobs:
        begun.add(job)
    current = Series.current()
    assert current is not None
    assert current.finished() == jobs
    assert begun.progress(jobs) == "3 of 6 runs, 3 min left"
    begun.end()
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert Series.current() is None


@pytest.mark.usefixtures("environment")
def test_processes_share_the_time(tmp_path: Path) -> None:
    begun = series(tmp_path, "seed=0,1,2,3")
    begun.is_parallel = True
    jobs = [finished(tmp_path, number, 60.0) for number in (0, 1)]
    assert begun.seconds_left(jobs, elapsed=60) == 60
    os.utime(Path(jobs[0].run_dir, "summary.json"), (0, 0))  # it was complete before
    assert begun.seconds_left(jobs[:1], elapsed=1) == 0
    begun.end()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("chosen", "direction"), [([], "maximize"), (["hydra.sweeper.direction=minimize"], "minimize")]
)
def test_sweepers_look_for_the_highest_auc(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: list[str], direction: str
) -> None:
    cfg = composed(tmp_path, "head.optimizer.lr=interval(0.01,1)")
    with open_dict(cfg):  # as Optuna's plugin configures it
        cfg.hydra.sweeper = {
            "_target_": "optuna",
            "direction": "minimize",
            "n_trials": 7,
            "params": {"head.optimizer.weight_decay": "interval(0,1)"},
        }
        cfg.hydra.overrides.hydra = chosen
    AnnounceSeries().on_multirun_start(cfg)
    begun = Series.current()
    assert begun is not None
    begun.end()
    assert cfg.hydra.sweeper.direction == direction
    assert capsys.readouterr().out == "7 runs, one by one.\n"
    assert begun.swept == ["head.optimizer.lr", "head.optimizer.weight_decay"]


@pytest.mark.usefixtures("environment")
def test_a_sweepers_own_search_space_counts(tmp_path: Path) -> None:
    cfg = composed(tmp_path, "strategy=random,bait")
    with open_dict(cfg):
        cfg.hydra.sweeper.params = {"seed": "0,1,2"}
    Series.begin(cfg)
    begun = Series.current()
    assert begun is not None
    begun.end()
    assert (begun.num_jobs, begun.swept) == (6, ["seed", "strategy"])


def test_the_summary_is_by_strategy(tmp_path: Path) -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    jobs = [finished(tmp_path, number, 1.0) for number in range(6)]
    jobs.append(jobs[0])  # a sweeper may try something twice
    best = {"best_params": {"head.optimizer.lr": 0.1}, "best_value": 55.0}
    console.print(summary.series_summary(jobs, best), soft_wrap=True)
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert [line.split() for line in lines[1:3]] == [
        ["strategy_0", "3", "52.00", "±", "2.00", "90.00", "±", "0.00%"],
        ["strategy_1", "3", "53.00", "±", "2.00", "90.00", "±", "0.00%"],
    ]
    assert lines[3:] == [
        "The best is AUC 55.00 with head.optimizer.lr=0.1",
        "Mean ± standard deviation over the runs.",
        f"Compare them: python -m dal.report {tmp_path / 'digits'}",
    ]
    assert summary.result_line(jobs[1], "1 of 2 runs") == (
        "run 1: AUC 51.00, final accuracy 90.00% (1 of 2 runs)"
    )


@pytest.mark.parametrize("job", [train.job, extract.job])
def test_jobs_can_be_sent_to_other_processes(job: Callable[..., object]) -> None:
    assert pickle.loads(pickle.dumps(job)) is job


class PicklingLauncher(Launcher):
    """Runs jobs as joblib's and submitit's launchers do: from what a pickle has kept of them."""

    values: tuple[object, ...] = ()

    def setup(self, **parts: Any) -> None:
        self.parts = pickle.dumps(parts)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        returns = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            parts = pickle.loads(self.parts)
            context = parts["hydra_context"]
            cfg = context.config_loader.load_sweep_config(parts["config"], list(overrides))
            with open_dict(cfg):
                cfg.hydra.job.id = cfg.hydra.job.num = number
            done = run_job(
                hydra_context=context,
                task_function=parts["task_function"],
                config=cfg,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            returns.append(done)
        PicklingLauncher.values = tuple(done.return_value for done in returns)
        return returns


def test_a_launcher_gets_the_auc_of_every_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = {"_target_": f"{__name__}.PicklingLauncher"}
    ConfigStore.instance().store(group="hydra/launcher", name="pickling", node=node)
    original = Plugins._instantiate  # it knows none but installed plugins

    def instantiate(plugins: Plugins, cfg: Any) -> Any:
        return PicklingLauncher() if cfg._target_ == node["_target_"] else original(plugins, cfg)

    monkeypatch.setattr(Plugins, "_instantiate", instantiate)
    monkeypatch.chdir(tmp_path)
    arguments = ["-m", "hydra/launcher=pickling", "al.num_acq=1", "trainer.max_epochs=1"]
    monkeypatch.setattr(sys, "argv", ["dal.train", *arguments, "strategy=random", "seed=0,1,-1"])
    with pytest.raises(SystemExit) as end:
        train.main()
    assert end.value.code == 1
    out, err = capsys.readouterr()
    for seed in (0, 1):
        file = tmp_path / "outputs" / "digits" / "random" / f"seed_{seed}" / "summary.json"
        auc = json.loads(file.read_text())["auc"]
        assert PicklingLauncher.values[seed] == pytest.approx(auc, abs=1e-4)
        assert f"digits random seed {seed}: AUC {auc:.2f}" in out
    assert PicklingLauncher.values[2] is None
    assert "1 of 3 jobs failed" in err
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["digits"]
