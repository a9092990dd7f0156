"""A short soak: what no other test does to a run; ``python -m tests.soak`` is the long one."""

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.soak import soak


@pytest.mark.long
def test_runs_survive_a_disk_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    overrides, whole = ["trainer.max_epochs=100"], tmp_path / "whole"
    assert command(f"run_dir={whole}", *overrides)[0] == 0
    kinds = ["full disk", "read-only folder", "SIGTERM and SIGUSR1"]
    counts = soak(tmp_path, 3, overrides=overrides, kinds=kinds, whole=whole)
    assert counts.total() - counts["compared"] == 3
    assert counts["compared"] >= 1
