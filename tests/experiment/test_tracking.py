import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from dal.errors import ConfigError, DataError
from dal.experiment.curve import CycleResult, LearningCurve
from dal.experiment.loop import ALLoop
from dal.experiment.record import ACQUISITIONS, CURVE, PLOT, TRACKING, RunDirectory
from dal.experiment.tracking import Tracker
from dal.experiment.weights_and_biases import WeightsAndBiases
from tests.conftest import Command
from tests.started import Run
from tests.wandb_server import Server, serving

Loop = Callable[..., ALLoop]
CONFIGURATION = {"seed": 0, "name": "blobs", "head": {"optimizer": {"lr": 0.2}}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A W&B server that the client of this process finds."""
    with serving() as server:
        use(monkeypatch, WANDB_MODE=None, **server.environment)
        yield server
        wandb.teardown()


def use(monkeypatch: pytest.MonkeyPatch, **variables: str | None) -> None:
    wandb.teardown()  # or the client would keep the settings of the test before
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def rows(path: Path) -> list[dict[str, str]]:
    with (path / CURVE).open(newline="") as stream:
        return list(csv.DictReader(stream))


def assert_same_curve(history: list[dict[str, Any]], run_dir: Path) -> None:
    """The history holds the rows of curve.csv and no other."""
    recorded = rows(run_dir)
    assert [row["num_labeled"] for row in history] == [int(r["num_labeled"]) for r in recorded]
    for logged, row in zip(history, recorded, strict=True):
        expected = {
            f"curve/{name}": float(value)
            for name, value in row.items()
            if name not in ("cycle", "num_labeled") and value
        }
        assert {k: v for k, v in logged.items() if k.startswith("curve/")} == expected


def stop_after(loop: ALLoop, num_cycles: int) -> None:
    cycles: Iterator[CycleResult] = loop.cycles()
    for _ in range(num_cycles):
        next(cycles)
    cycles.close()  # type: ignore[attr-defined]


def test_a_run_is_one_curve(
    short_loop: Loop, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    tracker = WeightsAndBiases(
        group="blobs/margin", job_type="margin", name="blobs margin seed 0", tags=["blobs", "0"]
    )
    curve = short_loop(record=record, trackers=[tracker]).run()
    ((run_id, run),) = server.runs.items()
    assert_same_curve(run.history, tmp_path)
    assert run.exit_code == 0
    assert run.summary["auc"] == pytest.approx(curve.auc)
    assert run.summary["final_accuracy"] == pytest.approx(curve.final_accuracy)
    for key, value in (
        ("groupName", "blobs/margin"),
        ("jobType", "margin"),
        ("displayName", "blobs margin seed 0"),
        ("tags", ["blobs", "0"]),
    ):
        assert run.settings[key] == value
    config = json.loads(run.settings["config"])
    assert config["head"]["value"] == CONFIGURATION["head"]
    assert config["dataset"]["value"] == "blobs"
    provenance = config["provenance"]["value"]
    assert provenance["data"]["pool"] == 108
    assert provenance["data"]["fingerprint"]
    assert {"dal", "torch"} <= provenance["versions"].keys()
    assert "cpu" in provenance["device"]
    axes = [metric for metric in config["_wandb"]["value"]["m"] if "curve/*" in metric.values()]
    assert len(axes) == 1  # and it names num_labeled, by its place in the list
    (picture,) = (content for path, content in server.files.items() if path.endswith(".png"))
    assert picture == (tmp_path / PLOT).read_bytes()
    assert server.files["/artifact/acquisitions.csv"] == (tmp_path / ACQUISITIONS).read_bytes()
    table = json.loads(server.files["/artifact/acquisitions.table.json"])
    with (tmp_path / ACQUISITIONS).open(newline="") as stream:
        header, *acquired = csv.reader(stream)
    assert table["columns"] == header == ["cycle", "order", "index", "id", "label"]
    assert [list(map(str, row)) for row in table["data"]] == acquired
    url = f"{server.url}/me/dal/runs/{run_id}"
    expected = {"id": run_id, "mode": "online", "url": url, "finished": True}
    assert record.read_tracking() == expected
    out, err = capsys.readouterr()
    assert out == f"W&B: {server.url}/me/dal/runs/{run_id}\n"
    assert err == ""


@pytest.mark.parametrize("num_arrived", [0, 1, 2])
def test_a_resumed_run_goes_on_there(
    short_loop: Loop, server: Server, tmp_path: Path, num_arrived: int
) -> None:
    """With what the first process had recorded, whether it had been uploaded or not."""
    record = RunDirectory(tmp_path, CONFIGURATION)
    stop_after(short_loop(record=record, trackers=[WeightsAndBiases()]), 2)
    (run,) = server.runs.values()
    assert run.exit_code == 1
    assert len(run.history) == 2
    for number in range(num_arrived, 2):
        del run.lines[number]
    run.summary = {}
    short_loop(record=record, trackers=[WeightsAndBiases()]).run()
    assert len(server.runs) == 1
    assert_same_curve(run.history, tmp_path)
    assert run.exit_code == 0
    before = len(server.queries)
    short_loop(record=record, trackers=[WeightsAndBiases()]).run()
    assert len(server.queries) == before  # nothing is left to say


def test_a_complete_run_can_be_published(short_loop: Loop, server: Server, tmp_path: Path) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    short_loop(record=record).run()
    short_loop(record=record, trackers=[WeightsAndBiases()]).run()
    (run,) = server.runs.values()
    assert_same_curve(run.history, tmp_path)
    assert "auc" in run.summary


def test_a_run_that_starts_afresh_is_another_one(
    short_loop: Loop, server: Server, tmp_path: Path
) -> None:
    for _ in range(2):
        record = RunDirectory(tmp_path, CONFIGURATION, overwrite=True)
        short_loop(record=record, trackers=[WeightsAndBiases()]).run()
    assert [len(run.history) for run in server.runs.values()] == [4, 4]


def test_the_agent_of_a_sweep_names_the_run(
    short_loop: Loop, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    for run_id in ("first", "second"):
        monkeypatch.setenv("WANDB_RUN_ID", run_id)
        short_loop(record=record, trackers=[WeightsAndBiases()]).run()
        assert_same_curve(server.runs[run_id].history, tmp_path)
    assert set(server.runs) == {"first", "second"}


def words(run_dir: Path, mode: str) -> list[str]:
    """Arguments of ``dal.train``."""
    own = ["logger=wandb", f"logger.mode={mode}", "trainer.max_epochs=60", "al.num_acq=12"]
    return [f"run_dir={run_dir}", *own]


def kill_after(num_cycles: int, run_dir: Path, mode: str) -> None:
    """Starts or continues a run in a process of its own."""
    process = Run(words(run_dir, mode), run_dir.parent)
    while process.poll() is None and (
        not (run_dir / CURVE).exists() or len(rows(run_dir)) < num_cycles
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def sync(folder: Path, server: Server) -> None:
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--yes", str(folder)],
        cwd=folder,  # where it leaves a log of its own
        env=os.environ | server.environment,
        capture_output=True,
        check=True,
    )


@pytest.mark.long
def test_a_killed_run_continues_online(server: Server, command: Command, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    kill_after(4, run_dir, "online")
    status, out, err = command(*words(run_dir, "online"))
    assert status == 0
    assert "Resuming after" in out
    assert (out + err).count("W&B") == 1
    (run,) = server.runs.values()
    assert_same_curve(run.history, run_dir)


@pytest.mark.long
def test_offline_sessions_add_up_to_one_curve(
    server: Server, command: Command, tmp_path: Path
) -> None:
    """Killed, uploaded, resumed, killed, resumed and uploaded again."""
    run_dir = tmp_path / "run"
    kill_after(3, run_dir, "offline")
    sync(run_dir / "wandb", server)
    kill_after(6, run_dir, "offline")
    _, out, _ = command(*words(run_dir, "offline"))
    assert "wandb sync" in out
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # nothing in the user's folder
    sync(run_dir / "wandb", server)
    (run,) = server.runs.values()
    assert_same_curve(run.history, run_dir)
    assert "auc" in run.summary
    assert server.files["/artifact/acquisitions.csv"] == (run_dir / ACQUISITIONS).read_bytes()


def test_sessions_of_a_replaced_run_stay_until_the_new_one_has_begun(
    short_loop: Loop, tmp_path: Path
) -> None:
    short_loop(record=RunDirectory(tmp_path, CONFIGURATION)).run()
    session = tmp_path / "wandb" / "offline-run-1"
    session.mkdir(parents=True)
    arguments: dict[str, Any] = {"trackers": [WeightsAndBiases(mode="offline")]}
    arguments["record"] = RunDirectory(tmp_path, CONFIGURATION, overwrite=True)
    with pytest.raises(DataError):
        short_loop(num_init=1000, **arguments).run()
    assert session.exists()
    short_loop(**arguments).run()
    assert not session.exists()
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 1


def test_disabled_logs_nothing(short_loop: Loop, server: Server, tmp_path: Path) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    short_loop(record=record, trackers=[WeightsAndBiases(mode="disabled")]).run()
    assert not server.queries
    assert not (tmp_path / "wandb").exists()
    assert not (tmp_path / TRACKING).exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WANDB_API_KEY": None}, "No API key configured"),
        ({"WANDB_API_KEY": "short"}, "API key must have 40"),
        ({"WANDB_BASE_URL": "http://127.0.0.1:9"}, "127.0.0.1:9 cannot be reached .*refused"),
        ({"WANDB_BASE_URL": "http://wandb.invalid"}, "wandb.invalid cannot be reached"),
        ({"WANDB_BASE_URL": "{deaf}"}, "cannot be reached .timed out|no answer within 3 seconds"),
    ],
)
def test_without_key_or_network(
    short_loop: Loop,
    server: Server,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str | None],
    message: str,
) -> None:
    deaf = socket.create_server(("127.0.0.1", 0))  # accepts, and never answers
    url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
    variables = {key: value and value.replace("{deaf}", url) for key, value in variables.items()}
    use(monkeypatch, HOME=str(tmp_path), **variables)  # without a .netrc
    record = RunDirectory(tmp_path / "run", CONFIGURATION)
    started = time.monotonic()
    with deaf, pytest.raises(ConfigError, match=f"{message}.*logger.mode=offline"):
        short_loop(record=record, trackers=[WeightsAndBiases()]).run()
    assert time.monotonic() - started < 6
    assert not (tmp_path / "run" / CURVE).exists()


def test_a_server_that_goes_away(short_loop: Loop, server: Server, tmp_path: Path) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    cycles = short_loop(record=record, trackers=[WeightsAndBiases(finish_timeout=1)]).cycles()
    next(cycles)
    server.shutdown()
    server.server_close()
    started = time.monotonic()
    with pytest.warns(UserWarning, match="WeightsAndBiases has failed.*TimeoutError.*wandb sync"):
        assert len(list(cycles)) == 3
    assert time.monotonic() - started < 10
    assert len(rows(tmp_path)) == 4


class Failing(Tracker):
    """Raises at one of its calls and counts the others."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.when:
            raise OSError("No space left on device")

    def start(self, record: RunDirectory | None, results: Any) -> None:  # noqa: ARG002
        self._call("start")

    def log(self, result: CycleResult) -> None:  # noqa: ARG002
        self._call("log")

    def finish(self, curve: LearningCurve) -> None:  # noqa: ARG002
        self._call("finish")

    def close(self, is_complete: bool) -> None:
        self._call(f"close {is_complete}")


def test_trackers_follow_a_run(short_loop: Loop) -> None:
    tracker = Failing("never")
    short_loop(trackers=[tracker]).run()
    assert tracker.calls == ["start", *["log"] * 4, "finish", "close True"]
    tracker = Failing("never")
    stop_after(short_loop(trackers=[tracker]), 2)
    assert tracker.calls == ["start", "log", "log", "close False"]


@pytest.mark.parametrize("when", ["start", "log", "finish", "close True"])
def test_a_failing_tracker_is_reported_once(short_loop: Loop, tmp_path: Path, when: str) -> None:
    failing, other = Failing(when), Failing("never")
    loop = short_loop(record=RunDirectory(tmp_path, CONFIGURATION), trackers=[failing, other])
    with pytest.warns(UserWarning, match="Failing has failed.* No space left") as caught:
        loop.run()
    assert len(caught) == 1
    assert failing.calls[-1] == when
    assert failing.calls.count(when) == 1
    assert len(other.calls) == 7
    assert len(rows(tmp_path)) == 4


def test_bad_arguments(short_loop: Loop) -> None:
    with pytest.raises(ConfigError, match="Unknown `logger.mode` 'ofline'. Did you mean 'offline'"):
        WeightsAndBiases(mode="ofline")
    with pytest.raises(ConfigError, match="Expected a run directory"):
        short_loop(trackers=[WeightsAndBiases(mode="offline")]).run()
