import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dal.report import picks
from dal.report.results import Results
from tests.report.conftest import Writer, read


def replace_picks(run: Path, by_cycle: list[list[int]], labels: dict[int, str] | None) -> None:
    """Writes what a run has picked, with labels or, as earlier versions did, without."""
    header = "cycle,order,index" + (",id,label" if labels is not None else "")
    lines = [
        f"{cycle},{order},{index}" + (f',"a, {index}",{labels[index]}' if labels else "")
        for cycle, indices in enumerate(by_cycle)
        for order, index in enumerate(indices)
    ]
    (run / "acquisitions.csv").write_text("\n".join([header, *lines, ""]))


def test_overlap_by_hand(write_run: Writer, tmp_path: Path) -> None:
    chosen = {
        ("random", 0): [1, 2, 3, 4],
        ("margin", 0): [3, 4, 5, 6],
        ("random", 1): [1, 2, 3, 4],
        ("margin", 1): [5, 6, 7, 8],
        ("badge", 1): [1, 2, 3, 8],
    }
    results = Results(*_read_after_replacing(write_run, tmp_path, chosen, None))
    overlaps = results.overlaps
    assert overlaps.loc["random", "margin"] == overlaps.loc["margin", "random"] == (0.5 + 0) / 2
    assert overlaps.loc["random", "badge"] == 0.75
    assert overlaps.loc["margin", "badge"] == 0.25
    assert np.isnan(np.diag(overlaps)).all()
    assert results.class_balance.empty


def test_runs_of_different_seeds_do_not_overlap(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "random", 0)
    write_run([0.5, 0.6], "margin", 1)
    assert read(tmp_path).overlaps.isna().to_numpy().all()


def test_balance_by_hand(write_run: Writer, tmp_path: Path) -> None:
    labels = dict(enumerate(["a", "a", "a", "b", "b", "c", "NA", "NA"]))
    chosen = {("random", 0): [0, 3, 5, 6], ("margin", 0): [0, 1, 2, 3]}
    results = Results(*_read_after_replacing(write_run, tmp_path, chosen, labels))
    rows = results.class_balance.set_index("strategy")
    assert rows.loc["random", "balance"] == pytest.approx(1)
    assert rows.loc["random", ["rarest", "most_frequent"]].tolist() == [0.25, 0.25]
    # Shares 3/4 and 1/4 of the four classes that any run has picked; "NA" is one of them.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert rows.loc["margin", "balance"] == pytest.approx(entropy / math.log(4))
    assert rows.loc["margin", ["rarest", "most_frequent"]].tolist() == [0, 0.75]


def test_a_run_with_a_missing_label_does_not_count(write_run: Writer, tmp_path: Path) -> None:
    labels = dict(enumerate(["a", "b", "a", "b", "a", "b"])) | {6: ""}
    chosen = {("random", 0): [0, 1, 2, 3], ("margin", 0): [3, 4, 5, 6]}
    results = Results(*_read_after_replacing(write_run, tmp_path, chosen, labels))
    assert results.class_balance["strategy"].tolist() == ["random"]


def test_the_initial_pool_does_not_count(results: Results) -> None:
    num_picked = results.picks.groupby("run").size()
    assert set(num_picked) == {70}  # 7 cycles of 10, after an initial pool of 10
    assert results.class_balance["num_runs"].tolist() == [6] * 12


def test_without_a_complete_run_there_are_no_picks() -> None:
    empty = picks.read_picks(pd.DataFrame(columns=picks.COLUMNS))
    assert empty.empty
    assert picks.measure_balance(empty, []).empty


def _read_after_replacing(
    write_run: Writer,
    folder: Path,
    chosen: dict[tuple[str, int], list[int]],
    labels: dict[int, str] | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    for strategy, seed in chosen:
        write_run([0.5, 0.6], strategy, seed)
    before = read(folder)
    for (strategy, seed), indices in chosen.items():
        run = folder / "runs" / "toy" / strategy / f"seed_{seed}"
        replace_picks(run, [[], indices], labels)
    return before.frame, before.configurations
