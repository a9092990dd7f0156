"""A run that replaces another one, killed at every moment."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dal.experiment.record import CONFIG, CURVE, SUMMARY, RunDirectory
from dal.experiment.replacement import BEGUN, DRAFT, Replacement
from tests.experiment.test_record import acquired, describe, diagnostics, results, written

OLD = {"seed": 3, "al": {"num_init": 2, "init": "random"}, "head": {"lr": 1e-4}}
NEW = {"seed": 4}


class Killed(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


def run_anew(record: RunDirectory) -> None:
    """Writes what a loop writes in its first two cycles, in its order."""
    with record:
        record.write_summary({"finished": False})
        record.write_acquisitions(acquired(1), describe)
        for cycle in (1, 2):
            record.write_acquisitions(acquired(cycle + 1), describe)
            record.write_diagnostics(diagnostics(cycle))
            record.write_curve(results(cycle))


class Disk:
    """Counts the changes of the disk, and kills before or after one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_changes = self.fatal = 0
        self.before = True
        for module, name in ((os, "replace"), (os, "unlink"), (os, "rmdir"), (Path, "mkdir")):
            monkeypatch.setattr(module, name, self.counted(getattr(module, name)))

    def counted(self, change: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: Any, **kwargs: Any) -> None:
            self.num_changes += 1
            is_fatal = self.num_changes == self.fatal
            if is_fatal and self.before:
                raise Killed
            try:
                change(*args, **kwargs)
            finally:
                if is_fatal:
                    raise Killed

        return counted


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


@pytest.mark.parametrize("before", [True, False])
def test_no_moment_loses_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    old = written(tmp_path / "old")
    old.write_plot(b"png")  # the new run has none
    new = RunDirectory(tmp_path / "new", NEW)
    run_anew(new)
    disk = Disk(monkeypatch)
    disk.before = before
    states = []
    for fatal in itertools.count(1):
        path = tmp_path / f"{fatal}"
        disk.fatal = 0
        shutil.copytree(old.path, path)
        disk.num_changes, disk.fatal = 0, fatal
        try:
            with monkeypatch.context() as killed:  # a killed process tidies nothing up
                killed.setattr(Replacement, "abandon", lambda _: None)
                run_anew(RunDirectory(path, NEW, overwrite=True))
        except Killed:
            disk.fatal = 0
        else:
            break
        found = RunDirectory(path, {})  # as the report reads it
        found_results, found_acquired, _ = found.progress()
        config = found.read_config()
        if config == OLD:
            assert found_results == old.progress().results
            assert all(map(torch.equal, found_acquired, old.progress().acquired))
            states.append("old")
        else:
            assert config == NEW
            assert found_results in (results(1), results(2))
            assert found.read_summary() == {"finished": False}
            states.append(BEGUN if BEGUN in names(path) else "new")
        with RunDirectory(path, config) as opened:
            assert opened.progress().results == found_results
            if config == OLD:
                assert names(path) == names(old.path)
            else:
                assert names(path) == names(new.path)
    # One moment decides, and none comes after the other twice.
    assert [state for state, _ in itertools.groupby(states)] == ["old", BEGUN, "new"]
    # At least every file that is written: config, summary, acquisitions twice, diagnostics, curve.
    assert states.count("old") >= 6
    assert states.count(BEGUN) >= 6


def test_it_is_completed_as_often_as_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    disk = Disk(monkeypatch)
    with RunDirectory(tmp_path, NEW, overwrite=True) as record:
        record.write_summary({"finished": False})
        record.write_acquisitions(acquired(1), describe)
        disk.num_changes, disk.fatal = 0, 5
        with pytest.raises(Killed):
            record.write_curve(results(1))
    assert BEGUN in names(tmp_path)
    for fatal in range(4, 12):
        disk.num_changes, disk.fatal = 0, fatal
        with pytest.raises(Killed), RunDirectory(tmp_path, NEW):
            pass
        assert record.read_config() == NEW
        assert record.progress().results == results(1)
    disk.fatal = 0
    with RunDirectory(tmp_path, NEW):
        assert not {BEGUN, DRAFT} & names(tmp_path)
        assert {CONFIG, CURVE, SUMMARY} <= names(tmp_path)
