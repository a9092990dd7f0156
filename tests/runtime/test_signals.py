"""What SIGTERM and SIGUSR1 do to a command, with and without a cluster around it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import DictConfig
from torch import Tensor

from dal.cli import command
from dal.experiment.loop import ALLoop
from dal.runtime import signals
from dal.runtime.signals import RESUMABLE, STOP_SIGNALS, Stopped, stoppable
from dal.runtime.trainers import DEFAULT_TRAINER
from dal.strategies import Query, Strategy
from tests.run_files import num_rows
from tests.started import Run

SLURM_JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "dal", "SLURM_NODEID": "0"}


@pytest.fixture
def restored() -> Iterator[None]:
    """After a stop all signals are ignored, which later tests must not inherit."""
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


def run_in_this_process(
    monkeypatch: pytest.MonkeyPatch, job: Callable[[DictConfig], None], *arguments: str
) -> command.Outcome:
    monkeypatch.setattr(sys, "argv", ["dal.train", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run_job(cfg: DictConfig) -> None:
        command.run_job(cfg, "config", lambda cfg: f"seed {cfg.seed}", job)

    return command.run("config", run_job)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_raises_until_the_end(number: signal.Signals) -> None:
    with pytest.raises(Stopped, match=number.name), stoppable():
        for _ in range(2):  # from the job script and from SLURM
            with pytest.raises(Stopped):
                signal.raise_signal(number)
        assert signals.is_stopping()
        with pytest.raises(Stopped, match=number.name):  # lost on its way, found here
            signals.check()
        raise Stopped(number.name)
    signal.raise_signal(number)  # ignored: the process is about to end


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stoppable():
        signals.check()
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_forked_worker_ends_in_silence() -> None:
    with stoppable():
        worker = os.fork()
        if not worker:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(worker, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGTERM


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("fate", ["passed on", "swallowed", "turned into an error"])
def test_a_stop_is_not_taken_for_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fate: str
) -> None:
    seeds = []

    def job(cfg: DictConfig) -> None:
        seeds.append(cfg.seed)
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            if fate == "passed on":
                raise
            if fate == "turned into an error":
                raise RuntimeError("computation interrupted") from None

    with pytest.raises(SystemExit) as end:
        run_in_this_process(monkeypatch, job, "-m", "seed=0,1")
    assert end.value.code == RESUMABLE == 75
    assert seeds == [0]
    assert capsys.readouterr().err == (
        "Stopped by SIGTERM. Run the same command again to resume.\n"
    )


def test_a_bug_in_one_job_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = []

    def job(cfg: DictConfig) -> None:
        seeds.append(cfg.seed)
        if cfg.seed == 1:
            raise RuntimeError("a [bug]")

    outcome = run_in_this_process(monkeypatch, job, "-m", "seed=0,1,2")
    assert seeds == [0, 1, 2]
    assert [(job.title, job.message) for job in outcome.jobs] == [
        ("seed 0", None),
        ("seed 1", "RuntimeError: a [bug]"),
        ("seed 2", None),
    ]
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        outcome.end_process()
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "1 of 3 jobs failed:\n  seed 1 (seed=1): RuntimeError: a [bug]\n"
    )
    with pytest.raises(RuntimeError):  # alone, it keeps its traceback as it is
        run_in_this_process(monkeypatch, job, "seed=1")


def test_lightning_leaves_sigterm_alone(short_loop: Callable[..., ALLoop]) -> None:
    seen = []

    class Seeing(Strategy):
        def select(self, query: Query) -> Tensor:
            seen.append(signal.getsignal(signal.SIGTERM))
            return torch.arange(query.num)

    with stoppable():
        ours = signal.getsignal(signal.SIGTERM)
        short_loop(strategy=Seeing()).run()
        assert set(seen) == {ours}
        assert signal.getsignal(signal.SIGTERM) == ours


def test_several_tasks_are_slurms(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SLURM_JOB | {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_LOCALID", "0")
    trainer = partial(DEFAULT_TRAINER, accelerator="cpu", devices=2, strategy="ddp")()
    environment = trainer.strategy.cluster_environment  # type: ignore[attr-defined]
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue


@pytest.mark.long
def test_lightning_does_not_requeue(tmp_path: Path) -> None:
    """Its own way is to write a checkpoint on SIGUSR1, and to load it into the next fit."""
    requeued = tmp_path / "requeued"
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\ntouch {requeued}\n")
    (tmp_path / "scontrol").chmod(0o755)
    checkpoint = tmp_path / "hpc_ckpt_1.ckpt"
    checkpoint.write_text("another project's")
    log, path = tmp_path / "log", f"{tmp_path}:{os.environ['PATH']}"
    process = Run(["run_dir=run"], tmp_path, log, SLURM_JOB | {"PATH": path})
    while "cycle 1/21" not in (log.read_text() if log.exists() else ""):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    process.wait()
    out = log.read_text()
    assert out.startswith("digits bait_binary seed 0 in run\n")
    assert process.returncode == RESUMABLE
    assert "Stopped by SIGUSR1. Run the same command again to resume." in out
    assert "Traceback" not in out
    assert num_rows(tmp_path / "run") < 22
    assert list(tmp_path.rglob("*.ckpt")) == [checkpoint]
    assert not requeued.exists()


class Finalized:
    """In the place of an object of a library that is collected when a signal comes."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def __del__(self) -> None:
        if self.error is not None:
            raise self.error
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("restored")
def test_a_signal_in_a_finalizer_stops_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Stopped, match="SIGTERM"), stoppable():
        _ = Finalized()
        del _
        signals.check()
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_errors_in_a_finalizer_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: lost.append(found.exc_value))
    with stoppable():
        _ = Finalized(ValueError("of a library"))
        del _
    assert [str(error) for error in lost] == ["of a library"]
