import errno
import json
import os
from pathlib import Path

import pytest
import torch

from dal.errors import RecordError
from dal.experiment.curve import CycleResult, Diagnostics
from dal.experiment.record import ACQUISITIONS, CONFIG, CURVE, DIAGNOSTICS, LOCK, RunDirectory

CONFIGURATION = {"seed": 3, "al": {"num_init": 2, "init": "random"}, "head": {"lr": 1e-4}}


def results(num: int) -> list[CycleResult]:
    return [
        CycleResult(
            cycle=cycle,
            num_labeled=2 + 3 * cycle,
            metrics={"accuracy": 0.1 * cycle, "nll": 2.0},
            fit_seconds=0.5,
            query_seconds=0.25 if cycle < num - 1 else None,
            peak_memory_mib=12.5,
        )
        for cycle in range(num)
    ]


def acquired(num: int) -> list[torch.Tensor]:
    batches = [torch.tensor([7, 1])]
    batches += [torch.arange(10 * cycle, 10 * cycle + 3) for cycle in range(1, num)]
    return batches


def describe(indices: torch.Tensor) -> list[tuple[str, str]]:
    return [(f"image, {index}", "a\nb") for index in indices.tolist()]


def diagnostics(num: int) -> list[Diagnostics]:
    first = Diagnostics(0, [0.25, None, -1e-7], {"clusters": 4, "bandwidth": 0.5, "why": "few"})
    return [first, *(Diagnostics(cycle, None, {}) for cycle in range(1, num))]


def written(path: Path, num_results: int = 3, num_acquired: int = 4) -> RunDirectory:
    with RunDirectory(path, CONFIGURATION) as record:
        record.write_acquisitions(acquired(num_acquired), describe)
        record.write_diagnostics(diagnostics(num_acquired - 1))
        record.write_curve(results(num_results))
    return record


def test_a_run_that_fails_before_it_begins_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    with pytest.raises(KeyError), RunDirectory(tmp_path / "outputs" / "a" / "b", {"seed": 3}):
        raise KeyError
    assert list(tmp_path.rglob("*")) == [tmp_path / "outputs"]
    path = tmp_path / "outputs" / "a" / "b"
    path.mkdir(parents=True)
    (path / "notes.txt").write_text("mine")
    with RunDirectory(path, CONFIGURATION):
        pass
    assert {file.name for file in path.iterdir()} == {"notes.txt", LOCK, CONFIG}
    with RunDirectory(path, CONFIGURATION) as record:
        record.write_summary({"finished": False})
    assert {file.name for file in path.iterdir()} >= {CONFIG, "summary.json", "notes.txt"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with written(tmp_path / "a" / "b") as record:
        progress = record.progress()
    assert progress.results == results(3)
    assert all(map(torch.equal, progress.acquired, acquired(4)))
    assert progress.diagnostics == diagnostics(3)
    assert sorted(path.name for path in record.path.iterdir()) == sorted(
        [".lock", ACQUISITIONS, CONFIG, CURVE, DIAGNOSTICS]
    )


def test_an_empty_directory_has_no_progress(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, CONFIGURATION) as record:
        assert record.progress() == ([], [], [])
        assert record.read_summary() == {}


def test_another_configuration_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    other = {"seed": 4, "al": {"num_init": 2}, "head": {"lr": 1e-4}, "new": 1}
    with pytest.raises(RecordError) as caught, RunDirectory(tmp_path, other):
        pass
    message = str(caught.value)
    assert "al.init: 'random' → (not set)" in message
    assert "new: (not set) → 1" in message
    assert "seed: 3 → 4" in message
    assert "head" not in message
    with RunDirectory(tmp_path, other, ignored_keys=["seed", "al", "new"]) as record:
        assert len(record.progress().results) == 3
    with RunDirectory(tmp_path, other, overwrite=True) as record:
        assert record.progress() == ([], [], [])


def test_overwriting_leaves_other_files_alone(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with RunDirectory(tmp_path, CONFIGURATION, overwrite=True) as record:
        record.write_curve(results(1))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / ACQUISITIONS).exists()


def test_a_run_without_a_finished_cycle_holds_no_claim(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, {"seed": 1}) as record:
        record.write_summary({"finished": False})
        record.write_acquisitions(acquired(1), describe)
    with RunDirectory(tmp_path, {"seed": 2}) as record:
        assert record.progress() == ([], [], [])
        assert record.read_summary() == {}
        record.write_acquisitions(acquired(1), describe)
        record.write_curve(results(1))
    with pytest.raises(RecordError, match="seed: 2 → 1"):
        RunDirectory(tmp_path, {"seed": 1}).__enter__()


def test_a_new_run_replaces_the_old_one_with_its_first_cycle(tmp_path: Path) -> None:
    written(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = {"seed": 4}
    for _ in range(2):  # what fails before its first cycle leaves no trace
        with RunDirectory(tmp_path, other, overwrite=True) as record:
            record.write_summary({"finished": False})
            record.write_acquisitions(acquired(1), describe)
            assert torch.equal(record.progress().acquired[0], acquired(1)[0])
            assert {name: (tmp_path / name).read_bytes() for name in before} == before
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with RunDirectory(tmp_path, other, overwrite=True) as record:
        record.write_acquisitions(acquired(1), describe)
        record.write_curve(results(1))
    assert record.progress().results == results(1)
    assert record.read_config() == other
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, CONFIG, ACQUISITIONS, CURVE}


def test_results_without_a_configuration_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / CONFIG).unlink()
    with pytest.raises(
        RecordError,
        match=r"holds curve.csv, acquisitions.csv, diagnostics.jsonl but no config.yaml",
    ):
        RunDirectory(tmp_path, CONFIGURATION).__enter__()


@pytest.mark.parametrize("content", ["", "a: [", "- 1\n"])
def test_a_damaged_configuration_is_refused(tmp_path: Path, content: str) -> None:
    written(tmp_path)
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(RecordError, match=r"config.yaml.*overwrite=true"):
        RunDirectory(tmp_path, CONFIGURATION).__enter__()


def test_a_curve_cut_anywhere_is_refused_or_resumed_and_never_changed(tmp_path: Path) -> None:
    written(tmp_path)
    whole = (tmp_path / CURVE).read_bytes()
    for length in range(len(whole)):
        (tmp_path / CURVE).write_bytes(whole[:length])
        with RunDirectory(tmp_path, CONFIGURATION) as record:
            if whole[:length].count(b"\n") == 3 and whole[:length].endswith(b"\n"):
                # One whole row less is what a kill between the two files leaves.
                assert record.progress().results == results(3)[:2]
            else:
                with pytest.raises(RecordError, match=r"curve\.csv"):
                    record.progress()
        assert (tmp_path / CURVE).read_bytes() == whole[:length]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (CURVE, "\n1,5,", "\n1,x,", r"curve.csv, line 3, is damaged"),
        (CURVE, "\n1,5,", "\n2,5,", r"line 3: expected cycle 1, got cycle 2"),
        (CURVE, "\n1,5,", "\n1,6,", r"counts 6 labels in cycle 1, but acquisitions.csv 5"),
        (CURVE, "fit_seconds", "fit", r"unexpected columns"),
        (CURVE, ",12.5", "", r"damaged"),
        (ACQUISITIONS, "\n1,0,10", "\n1,0,?", r"acquisitions.csv, line 4, is damaged"),
        (ACQUISITIONS, "\n1,0,10", "", r"line 4, is out of order"),
        (ACQUISITIONS, "cycle,", "c,", r"unexpected columns"),
        (DIAGNOSTICS, '"cycle": 1', '"cyc": 1', r"diagnostics.jsonl, line 2, is damaged"),
        (DIAGNOSTICS, "}\n", "\n", r"diagnostics.jsonl, line 1, is damaged"),
    ],
)
def test_damage_is_located(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    written(tmp_path)
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1))
    with (
        RunDirectory(tmp_path, CONFIGURATION) as record,
        pytest.raises(RecordError, match=message),
    ):
        record.progress()


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    written(tmp_path, num_results=3, num_acquired=6)
    with (
        RunDirectory(tmp_path, CONFIGURATION) as record,
        pytest.raises(RecordError, match="holds 3 cycles, but acquisitions.csv labels for 6"),
    ):
        record.progress()


def test_a_damaged_summary_is_refused(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, CONFIGURATION) as record:
        record.write_summary({"finished": True})
        assert json.loads((tmp_path / "summary.json").read_text()) == {"finished": True}
        (tmp_path / "summary.json").write_text('{"fin')
        with pytest.raises(RecordError, match="summary.json is damaged"):
            record.read_summary()


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path, CONFIGURATION),
        pytest.raises(RecordError, match="Another process is working"),
    ):
        RunDirectory(tmp_path, CONFIGURATION).__enter__()
    with RunDirectory(tmp_path, CONFIGURATION) as record:  # the lock ends with its holder
        assert record.progress() == ([], [], [])


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    record = written(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with record:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RecordError, match=r"Cannot write .*curve.csv: No space left on device"):
            record.write_curve(results(4))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_path_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"Cannot use .*file/run.*output_root=DIR"):
        RunDirectory(tmp_path / "file" / "run", CONFIGURATION).__enter__()
