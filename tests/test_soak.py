"""A short soak: what no other test does to a run; ``python -m tests.soak`` is the long one."""

from pathlib import Path

from tests.soak import soak


def test_runs_survive_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    kinds = ["full disk", "read-only folder", "SIGTERM and SIGUSR1"]
    counts = soak(tmp_path, 3, overrides=["trainer.max_epochs=100"], kinds=kinds)
    assert counts.total() - counts["compared"] == 3
    assert counts["compared"] >= 1
