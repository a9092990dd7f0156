"""The initial pool: drawn, or selected by a strategy that needs features alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from dal import randomness
from dal.data import ALDataModule
from dal.errors import ConfigError, RecordError
from dal.experiment import initial
from dal.experiment.loop import ALLoop
from dal.experiment.record import ACQUISITIONS, DIAGNOSTICS, SUMMARY, RunDirectory
from dal.strategies import Margin, Need, Query, Random, Selection, Strategy, TypiClust
from tests.experiment.test_loop import Killed, facts, stop_after

Loop = Callable[..., ALLoop]
CONFIGURATION = {"seed": 0}


class Farthest(Strategy):
    """Rows of the largest norm, keeping what it was shown."""

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Query] = []

    def select(self, query: Query) -> Selection:
        self.seen.append(query)
        norms, positions = query.pool_features.norm(dim=1).topk(query.num)
        return Selection(positions, norms, {"longest": float(norms[0])})


def test_a_strategy_selects_the_initial_pool(short_loop: Loop, tmp_path: Path) -> None:
    farthest = Farthest()
    record = RunDirectory(tmp_path, CONFIGURATION)
    loop = short_loop(init=farthest, record=record)
    loop.run()
    (asked,) = farthest.seen
    assert (asked.head, asked.num, asked.num_classes) == (None, 4, 3)
    assert (len(asked.pool), len(asked.labeled), len(asked.labels)) == (108, 0, 0)
    features = loop.datamodule.train.features.clone()
    features[loop.datamodule.dev_indices] = 0
    expected = features.norm(dim=1).topk(4)
    assert torch.equal(loop.acquired[0], expected.indices)
    assert torch.equal(record.progress().acquired[0], expected.indices)
    known = json.loads((tmp_path / SUMMARY).read_text())["initial_selection"]
    assert known["longest"] == pytest.approx(float(expected.values[0]))
    assert known["seconds"] >= 0
    # Diagnostics are of the selections of cycles.
    rows = [json.loads(line) for line in (tmp_path / DIAGNOSTICS).read_text().splitlines()]
    assert [row["cycle"] for row in rows] == [0, 1, 2]


def test_seeds_select_otherwise_and_strategies_alike(short_loop: Loop) -> None:
    pools = []
    for seed, strategy in ((0, Margin()), (0, Random()), (1, Margin())):
        loop = short_loop(init=TypiClust(), seed=seed, strategy=strategy, num_acq=0)
        loop.run()
        pools.append(loop.acquired[0])
    assert torch.equal(pools[0], pools[1])
    assert not torch.equal(pools[0], pools[2])


def test_the_generator_is_that_of_the_initial_pool(blobs: Callable[..., ALDataModule]) -> None:
    data = blobs()
    data.setup()
    chosen = initial.choose(Random(), data, 5, 3, torch.device("cpu"))
    generator = randomness.stream(3, 0, "initial pool")
    drawn = data.initial_draw(5, "random", generator)
    assert torch.equal(chosen.indices, drawn)  # both are the start of one permutation
    assert initial.choose("random", data, 5, 3, torch.device("cpu")).facts == {}


def test_a_resumed_run_takes_the_initial_pool_of_its_record(
    short_loop: Loop, tmp_path: Path
) -> None:
    whole = short_loop(init=Farthest()).run()
    record = RunDirectory(tmp_path, CONFIGURATION)
    stop_after(short_loop(init=Farthest(), record=record), 2)
    begun = json.loads((tmp_path / SUMMARY).read_text())["initial_selection"]
    farthest = Farthest()
    assert facts(short_loop(init=farthest, record=record).run().results) == facts(whole.results)
    assert farthest.seen == []
    assert json.loads((tmp_path / SUMMARY).read_text())["initial_selection"] == begun


def test_a_run_killed_before_its_first_cycle_selects_again(
    short_loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = short_loop(init=Farthest())
    whole.run()
    write = RunDirectory._write
    for fatal in (SUMMARY, ACQUISITIONS):
        record = RunDirectory(tmp_path / fatal, CONFIGURATION)

        def killing(
            self: RunDirectory, name: str, content: str | bytes, fatal: str = fatal
        ) -> None:
            write(self, name, content)
            if name == fatal:
                raise Killed

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(RunDirectory, "_write", killing)
            short_loop(init=Farthest(), record=record).run()
        farthest = Farthest()
        resumed = short_loop(init=farthest, record=record)
        resumed.run()
        assert len(farthest.seen) == 1
        for mine, others in zip(resumed.acquired, whole.acquired, strict=True):
            assert torch.equal(mine, others)


def test_a_draw_is_still_checked(short_loop: Loop, tmp_path: Path) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    loop = short_loop(record=record)
    stop_after(loop, 2)
    rows = (tmp_path / ACQUISITIONS).read_text().splitlines()
    rows[1], rows[2] = rows[2].replace("0,1,", "0,0,"), rows[1].replace("0,0,", "0,1,")
    (tmp_path / ACQUISITIONS).write_text("\n".join(rows) + "\n")
    with pytest.raises(RecordError, match="Expected to draw the initial pool"):
        short_loop(record=record).run()


def test_what_cannot_start_is_refused_by_the_constructor(short_loop: Loop) -> None:
    with pytest.raises(ConfigError, match="got Margin, which needs a fitted head.*TypiClust"):
        short_loop(init=Margin())
    with pytest.raises(ConfigError, match="Unknown `init` 'balanced'.*neither head nor labels"):
        short_loop(init="balanced")
