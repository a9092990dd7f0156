import csv
import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from dal.data import ALDataModule, Tensors
from dal.errors import ConfigError, DataError, RecordError
from dal.experiment.curve import CycleResult
from dal.experiment.loop import ALLoop
from dal.experiment.record import (
    ACQUISITIONS,
    CURVE,
    DIAGNOSTICS,
    LOCK,
    PLOT,
    SUMMARY,
    RunDirectory,
)
from dal.experiment.tracking import LightningTracker
from dal.heads import LinearHead
from dal.runtime.trainers import DEFAULT_TRAINER
from dal.strategies import Margin, Query, Random, Selection, Strategy

Loop = Callable[..., ALLoop]
CONFIGURATION = {"seed": 0}


class Killed(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


def facts(results: Any) -> list[tuple[int, int, dict[str, float]]]:
    """What of the results does not depend on the machine's mood."""
    return [(result.cycle, result.num_labeled, result.metrics) for result in results]


def test_a_run_is_a_learning_curve(short_loop: Loop) -> None:
    loop = short_loop()
    curve = loop.run()
    assert curve.num_labeled.tolist() == [4, 9, 14, 19]
    assert [len(indices) for indices in loop.acquired] == [4, 5, 5, 5]
    everything = torch.cat(loop.acquired)
    assert len(everything.unique()) == 19
    assert not torch.isin(everything, loop.datamodule.dev_indices).any()
    frame = curve.to_frame()
    assert frame["num_labeled"].tolist() == [4, 9, 14, 19]
    assert frame["accuracy"].mean() * 100 == pytest.approx(curve.auc)
    assert frame["query_seconds"].isna().tolist() == [False, False, False, True]
    assert repr(curve).startswith("LearningCurve(4 cycles, 19 labels, AUC ")
    accuracy = curve.metric("accuracy")
    assert curve.auc == pytest.approx(100 * accuracy.mean().item())
    assert curve.final_accuracy == pytest.approx(100 * accuracy[-1].item())
    assert [result.query_seconds is None for result in curve.results] == [False] * 3 + [True]
    assert set(curve.results[0].metrics) == {"accuracy", "nll", "brier", "ece"}
    assert min(result.fit_seconds for result in curve.results) > 0
    assert curve.peak_memory_mib > 50


def test_runs_repeat_and_leave_the_global_generator_alone(short_loop: Loop) -> None:
    first = short_loop().run()
    torch.rand(3)
    state = torch.get_rng_state()
    loop = short_loop()
    assert facts(loop.run().results) == facts(first.results)
    assert torch.equal(torch.get_rng_state(), state)
    assert facts(loop.run().results) == facts(first.results)  # the same datamodule again


def test_what_a_strategy_knew_is_recorded_for_each_cycle(short_loop: Loop, tmp_path: Path) -> None:
    class Telling(Strategy):
        def select(self, query: Query) -> Selection:
            scores = torch.full((query.num,), 1 / 3)
            scores[0] = torch.nan
            derived = {"bandwidth": 0.5, "labeled": len(query.labeled)}
            return Selection(torch.arange(query.num), scores, derived)

    record = RunDirectory(tmp_path, CONFIGURATION)
    loop = short_loop(record=record, strategy=Telling())
    stop_after(loop, 2)
    resumed = short_loop(record=record, strategy=Telling())
    resumed.run()
    rows = [json.loads(line) for line in (tmp_path / DIAGNOSTICS).read_text().splitlines()]
    assert [row["cycle"] for row in rows] == [0, 1, 2]
    assert rows[1]["scores"] == [None, *[0.3333333] * 4]
    assert [row["derived"] for row in rows] == [
        {"bandwidth": 0.5, "labeled": num} for num in (4, 9, 14)
    ]
    assert resumed.diagnostics == record.progress().diagnostics


def test_ids_and_labels_of_what_was_labeled_are_recorded(short_loop: Loop, tmp_path: Path) -> None:
    labels = torch.arange(60) % 3
    ids = [f"photo, {row}.jpg" for row in range(60)]
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    source = Tensors(features, labels, ids=ids, class_names=["ant", "bee", "cat"])
    loop = short_loop(datamodule=ALDataModule(source), record=RunDirectory(tmp_path, CONFIGURATION))
    loop.run()
    with (tmp_path / ACQUISITIONS).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["index"]) for row in rows] == torch.cat(loop.acquired).tolist()
    for row in rows:
        index = int(row["index"])
        assert row["id"] == ids[index]
        assert row["label"] == ["ant", "bee", "cat"][index % 3]


def test_a_run_of_an_earlier_version_resumes(short_loop: Loop, tmp_path: Path) -> None:
    """It kept no diagnostics, and neither ids nor labels."""
    record = RunDirectory(tmp_path, CONFIGURATION)
    stop_after(short_loop(record=record), 2)
    (tmp_path / DIAGNOSTICS).unlink()
    rows = (tmp_path / ACQUISITIONS).read_text().splitlines()
    (tmp_path / ACQUISITIONS).write_text(
        "".join(",".join(row.split(",")[:3]) + "\n" for row in rows)
    )
    loop = short_loop(record=record)
    assert facts(loop.run().results) == facts(short_loop().run().results)
    assert [those.cycle for those in loop.diagnostics] == [2]


def test_unlabeled_examples_are_no_experiment(short_loop: Loop) -> None:
    unlabeled = ALDataModule(Tensors(torch.ones(30, 2)))
    with pytest.raises(DataError, match="labels of the train examples, got none"):
        short_loop(datamodule=unlabeled).run()


def test_strategies_share_their_initial_pool_and_seeds_do_not(short_loop: Loop) -> None:
    pools = {}
    for name, strategy, seed in (("m0", Margin(), 0), ("r0", Random(), 0), ("m1", Margin(), 1)):
        loop = short_loop(strategy=strategy, seed=seed, num_acq=1)
        loop.run()
        pools[name] = loop.acquired
    assert torch.equal(pools["m0"][0], pools["r0"][0])
    assert not torch.equal(pools["m0"][0], pools["m1"][0])
    assert not torch.equal(pools["m0"][1], pools["r0"][1])


class Spy(Strategy):
    """Margin, keeping what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor, bool, bool]] = []

    def select(self, query: Query) -> Selection:
        assert query.head is not None
        training, grad = query.head.training, torch.is_grad_enabled()
        self.seen.append((query.pool_features, query.labels, training, grad))
        return Margin().select(query)


def test_the_strategy_sees_the_pool_after_each_fit(short_loop: Loop) -> None:
    spy = Spy()
    loop = short_loop(strategy=spy)
    loop.run()
    assert [len(pool) for pool, *_ in spy.seen] == [104, 99, 94]
    assert [len(labels) for _, labels, *_ in spy.seen] == [4, 9, 14]
    assert not any(training or grad for *_, training, grad in spy.seen)
    # Positions count what is still unlabeled, in ascending order of index.
    pool = torch.ones(120, dtype=torch.bool)
    pool[loop.datamodule.dev_indices] = False
    for cycle, (features, *_) in enumerate(spy.seen):
        pool[loop.acquired[cycle]] = False
        assert torch.equal(features, loop.datamodule.train.features[pool])


def test_every_head_starts_from_scratch(short_loop: Loop) -> None:
    heads = []

    class Kept(LinearHead):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            heads.append(self.network.weight.detach().clone())

    short_loop(head=Kept).run()
    assert len({tuple(weight.flatten().tolist()) for weight in heads}) == 4
    assert all(weight.abs().max() <= 6**-0.5 for weight in heads)  # nn.Linear's own range


@pytest.mark.long
def test_every_write_may_be_the_last(
    short_loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after any file is replaced, a run resumes to the same bytes."""

    def stable(path: Path) -> tuple[str, str, list[list[str]]]:
        rows = [line.split(",")[:-3] for line in (path / CURVE).read_text().splitlines()]
        return (path / ACQUISITIONS).read_text(), (path / DIAGNOSTICS).read_text(), rows

    whole = RunDirectory(tmp_path / "whole", CONFIGURATION)
    short_loop(record=whole, num_acq=2).run()
    write, replace = RunDirectory._write, 0

    def counted(self: RunDirectory, name: str, content: str | bytes) -> None:
        nonlocal replace
        replace += 1
        if replace == fatal and before:
            raise Killed
        write(self, name, content)
        if replace == fatal:
            raise Killed

    monkeypatch.setattr(RunDirectory, "_write", counted)
    num_killed = 0
    for before in (True, False):
        for fatal in range(1, 16):
            record = RunDirectory(tmp_path / f"{before}_{fatal}", CONFIGURATION)
            replace = 0
            try:
                short_loop(record=record, num_acq=2).run()
            except Killed:
                num_killed += 1
                replace = -1000
                short_loop(record=record, num_acq=2).run()
            assert stable(record.path) == stable(whole.path)
            assert (record.path / PLOT).exists()
            assert (record.path / SUMMARY).exists()
            assert not list(record.path.glob(".*.tmp"))
    # config, the start's two, three for each cycle, the plot and the summary; before and after each
    assert num_killed == 2 * (1 + 2 + 3 * 3 + 2)


def test_a_run_that_fails_leaves_the_one_it_should_replace(
    short_loop: Loop, tmp_path: Path, blobs: Callable[..., ALDataModule]
) -> None:
    short_loop(record=RunDirectory(tmp_path, CONFIGURATION)).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    failing: list[dict[str, Any]] = [
        {"num_init": 1000},
        {"eval_split": "dev", "datamodule": blobs(dev_fraction=0)},
        {"head": partial(LinearHead, optimizer=partial(torch.optim.SGD, lr=-1))},
        {"head": partial(LinearHead, optimizer=partial(torch.optim.SGD, lr=1e38))},
    ]
    for kwargs in failing:
        record = RunDirectory(tmp_path, {"seed": 1}, overwrite=True)
        with pytest.raises((DataError, ConfigError)):
            short_loop(record=record, **kwargs).run()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_without_a_finished_cycle_takes_other_data(
    short_loop: Loop, blobs: Callable[..., ALDataModule], tmp_path: Path
) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    with pytest.raises(DataError, match="diverged"):
        exploding = partial(LinearHead, optimizer=partial(torch.optim.SGD, lr=1e38))
        short_loop(record=record, head=exploding, strategy=Random()).run()
    assert (tmp_path / ACQUISITIONS).exists()
    short_loop(record=record, datamodule=blobs(num_train=121)).run()
    assert record.read_summary()["data"]["pool"] == 109


def test_a_complete_run_is_not_run_again(short_loop: Loop, tmp_path: Path) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    first = short_loop(record=record).run()
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != LOCK}
    loop = short_loop(record=record)
    assert list(loop.cycles()) == []
    assert loop.curve.results == first.results
    assert files == {
        path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != LOCK
    }


def stop_after(loop: ALLoop, num_cycles: int) -> None:
    cycles: Iterator[CycleResult] = loop.cycles()
    for _ in range(num_cycles):
        next(cycles)
    cycles.close()  # type: ignore[attr-defined]


def test_other_data_are_not_resumed_with(
    short_loop: Loop, blobs: Callable[..., ALDataModule], tmp_path: Path
) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    stop_after(short_loop(record=record), 2)
    before = (tmp_path / CURVE).read_bytes()
    for other in (blobs(num_train=121), blobs(split_seed=1)):
        with pytest.raises(RecordError, match="The data are not those"):
            short_loop(record=record, datamodule=other).run()
    assert (tmp_path / CURVE).read_bytes() == before


def test_another_version_is_mentioned(short_loop: Loop, tmp_path: Path) -> None:
    record = RunDirectory(tmp_path, CONFIGURATION)
    stop_after(short_loop(record=record), 2)
    summary = (tmp_path / SUMMARY).read_text()
    (tmp_path / SUMMARY).write_text(summary.replace(torch.__version__, "1.0"))
    with pytest.warns(UserWarning, match="began with versions .*'torch': '1.0'"):
        short_loop(record=record).run()


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"num_init": 0}, ConfigError, "`num_init` of at least 1"),
        ({"acq_size": 0}, ConfigError, "`acq_size` of at least 1"),
        ({"num_acq": -1}, ConfigError, "`num_acq` of at least 0"),
        ({"seed": -1}, ConfigError, "`seed` of at least 0"),
        ({"init": "balanced"}, ConfigError, "Unknown `init` 'balanced'"),
        ({"eval_split": "val"}, ConfigError, "Unknown `eval_split` 'val'"),
        ({"num_init": 94}, DataError, r"94 \+ 5 × 3 = 109 examples, got 108"),
        ({"num_init": 2, "init": "class_balanced"}, DataError, "at least 3, one for each class"),
        (
            {"trainer": partial(DEFAULT_TRAINER, max_epochs=0)},
            ConfigError,
            "max_epochs of at least 1, got 0",
        ),
        ({"trainer": partial(DEFAULT_TRAINER, max_epochs=-1)}, ConfigError, "a fit that ends"),
        (
            {"trainer": partial(DEFAULT_TRAINER, max_epochs="9")},
            ConfigError,
            "at least 1, got '9'",
        ),
        ({"trainer": partial(L.Trainer, devices=0)}, ConfigError, "trainer cannot be made"),
        ({"trainer": partial(DEFAULT_TRAINER, max_epoch=1)}, ConfigError, "trainer cannot be made"),
    ],
)
def test_bad_arguments(
    short_loop: Loop, kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        short_loop(**kwargs).run()


def test_the_whole_pool_may_be_labeled(short_loop: Loop) -> None:
    curve = short_loop(num_init=93).run()
    assert curve.num_labeled[-1] == 108


def test_no_acquisition_is_one_point(short_loop: Loop) -> None:
    curve = short_loop(num_acq=0).run()
    assert curve.num_labeled.tolist() == [4]
    assert curve.auc == curve.auc_trapezoid == curve.final_accuracy


def test_a_fit_may_end_by_steps_or_time(short_loop: Loop) -> None:
    for end in ({"max_steps": 4}, {"max_time": "00:00:00:01", "max_steps": 2}):
        trainer = partial(DEFAULT_TRAINER, max_epochs=-1, accelerator="cpu", **end)
        assert len(short_loop(trainer=trainer, num_acq=0).run().results) == 1


def test_a_diverged_head_is_named(short_loop: Loop) -> None:
    exploding = partial(LinearHead, optimizer=partial(torch.optim.SGD, lr=1e38))
    with pytest.raises(DataError, match="the head has diverged"):
        short_loop(head=exploding, strategy=Random()).run()


def test_a_head_without_accuracy_is_named(short_loop: Loop) -> None:
    class Mute(LinearHead):
        def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
            self.log("loss", batch[0].mean())

    with pytest.raises(ConfigError, match=r"log `accuracy` in its test step, got \['loss'\]"):
        short_loop(head=Mute).run()


def test_heads_may_use_the_global_generator(short_loop: Loop, tmp_path: Path) -> None:
    class Dropout(LinearHead):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.dropout = nn.Dropout(0.5)
            self.network.register_forward_pre_hook(lambda _, args: self.dropout(args[0]))

    whole = short_loop(head=Dropout).run()
    record = RunDirectory(tmp_path, CONFIGURATION)
    stop_after(short_loop(head=Dropout, record=record), 2)
    torch.rand(5)
    resumed = short_loop(head=Dropout, record=record).run()
    assert facts(resumed.results) == facts(whole.results)


def test_lightning_loggers_get_configuration_cycles_and_summary(
    short_loop: Loop, tmp_path: Path
) -> None:
    logger = CSVLogger(tmp_path / "logs", name="", version="")
    record = RunDirectory(tmp_path / "run", {"seed": 0, "head": {"lr": 0.2}})
    curve = short_loop(trackers=[LightningTracker(logger)], record=record).run()
    with (tmp_path / "logs" / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows if row["accuracy"]] == ["4", "9", "14", "19"]
    (summary,) = (row for row in rows if row["auc"])
    assert float(summary["auc"]) == pytest.approx(curve.auc)
    hyperparameters = (tmp_path / "logs" / "hparams.yaml").read_text()
    assert "head.lr: 0.2" in hyperparameters


def test_lightning_is_quiet(short_loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        short_loop().run()
    assert caplog.text == ""


def test_ctrl_c_is_an_interrupt(short_loop: Loop) -> None:
    class Interrupted(Strategy):
        def select(self, query: Query) -> Tensor:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        short_loop(strategy=Interrupted()).run()


def test_the_default_trainer_is_the_configured_one() -> None:
    from omegaconf import OmegaConf

    from dal.cli import config

    configured = OmegaConf.to_container(OmegaConf.load(config.folder() / "trainer/default.yaml"))
    assert isinstance(DEFAULT_TRAINER, partial)
    assert configured == {
        "_target_": "dal.runtime.trainers.new_trainer",
        "_partial_": True,
        **DEFAULT_TRAINER.keywords,
    }
