from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dal.experiment.curve import CycleResult
from dal.experiment.record import RunDirectory
from dal.report import runs
from dal.report.results import Results

Writer = Callable[..., Path]


def read(*paths: Path, baseline: str = "random") -> Results:
    """As :func:`dal.report.load`, without the warnings."""
    return Results(*runs.read(paths), baseline)


def describe(indices: torch.Tensor) -> list[tuple[str, str]]:
    """Ids and labels of rows: three classes in turns."""
    return [(f"row {index}", "abc"[index % 3]) for index in indices.tolist()]


def writer(folder: Path) -> Writer:
    """Writes run directories through the class that training writes them with."""

    def write(
        accuracies: Sequence[float],
        strategy: str = "random",
        seed: int = 0,
        name: str = "toy",
        *,
        num_cycles: int | None = None,
        pool: Sequence[int] | None = None,
        fingerprint: str | None = "same",
        device: str = "cpu",
        seconds: float = 0.5,
        root: str = "runs",
        config: dict[str, Any] | None = None,
    ) -> Path:
        planned = len(accuracies) if num_cycles is None else num_cycles
        configuration = {
            "name": name,
            "strategy_name": strategy,
            "seed": seed,
            "output_root": root,
            "al": {"num_init": 10, "acq_size": 10, "num_acq": planned - 1},
            "head": {"lr": 0.2},
            "strategy": {"_target_": f"package.{strategy}"},
            **(config or {}),
        }
        path = folder / root / name / strategy / f"seed_{seed}"
        first = list(range(seed, seed + 10)) if pool is None else list(pool)
        batches = [torch.tensor(first)]
        batches += [torch.arange(10) + 100 * cycle for cycle in range(1, len(accuracies))]
        results = [
            CycleResult(
                cycle=cycle,
                num_labeled=10 + 10 * cycle,
                metrics={"accuracy": float(accuracy), "nll": 1.0},
                fit_seconds=0.1,
                query_seconds=None if cycle == planned - 1 else seconds,
                peak_memory_mib=100.0,
            )
            for cycle, accuracy in enumerate(accuracies)
        ]
        with RunDirectory(path, configuration) as record:
            record.write_acquisitions(batches, describe)
            record.write_curve(results)
            data = {} if fingerprint is None else {"fingerprint": fingerprint}
            record.write_summary(
                {"finished": len(accuracies) == planned, "data": data, "device": device}
            )
        return path

    return write


@pytest.fixture
def write_run(tmp_path: Path) -> Writer:
    """Writes a run directory."""
    return writer(tmp_path)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three datasets, four strategies, six seeds: margin helps, badge a little, entropy harms.

    Shared by all tests, which leave it as it is.
    """
    folder = tmp_path_factory.mktemp("study")
    write = writer(folder)
    generator = np.random.default_rng(7)
    gains = {"random": 0.0, "margin": 0.04, "badge": 0.01, "entropy": -0.03}
    for name in ("first", "second", "third"):
        for seed in range(6):
            base = 0.3 + 0.5 * (1 - np.exp(-np.arange(8) / 3)) + generator.normal(0, 0.02)
            for strategy, gain in gains.items():
                rise = gain * np.minimum(np.arange(8), 3) / 3
                noise = generator.normal(0, 0.01, 8) * (np.arange(8) > 0)
                write(base + rise + noise, strategy, seed, name, fingerprint=name)
    return folder / "runs"


@pytest.fixture(scope="session")
def results(study: Path) -> Results:
    """The results of that study, computed once for all tests."""
    return read(study)


def auc_table(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """AUC by seed and strategy, in one line of pandas."""
    here = frame[frame["dataset"] == dataset]
    return here.groupby(["seed", "strategy"])["accuracy"].mean().unstack() * 100
