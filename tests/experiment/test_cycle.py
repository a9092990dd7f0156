"""A cycle by itself, as labeling one's own data needs it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, ReduceLROnPlateau, StepLR

from dal.data import ALDataModule, Tensors
from dal.errors import ConfigError
from dal.experiment.cycle import Cycle, check_optimizer
from dal.heads import LinearHead
from dal.strategies import Margin, Query, Selection, UHerding
from tests.conftest import NUM_EPOCHS


def test_a_cycle_needs_no_oracle(cpu_trainer: Callable[..., L.Trainer]) -> None:
    """Labels come from outside, nothing is evaluated, and nothing is labeled."""
    generator = torch.Generator().manual_seed(0)
    data = ALDataModule(Tensors(torch.randn(40, 4, generator=generator)))
    data.setup()
    given = torch.tensor([3, 7, 20, 30])
    data.pool.label(given, torch.tensor([0, 1, 2, 1]))
    head = partial(LinearHead, scheduler=partial(CosineAnnealingLR, T_max=NUM_EPOCHS))
    cycle = Cycle(data, head, Margin(), seed=1, trainer=cpu_trainer)
    outcome = cycle.run(0, 6, eval_split=None)
    assert outcome.selection is not None
    assert outcome.metrics == {}
    assert outcome.selection.positions.shape == (6,)
    assert outcome.selection.scores is not None
    assert outcome.query_seconds is not None
    assert torch.equal(data.pool.labeled_indices, given)
    assert outcome.head(torch.zeros(1, 4)).shape == (1, 3)

    again = cycle.run(0, 6, eval_split=None)
    assert again.selection is not None
    assert torch.equal(again.selection.positions, outcome.selection.positions)
    fit_only = cycle.run(0, 0, eval_split=None)
    assert fit_only.selection is None
    assert fit_only.query_seconds is None


class Refitting(Margin):
    """Fits the head again to the first labeled rows, twice, and keeps what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.logits: list[Tensor] = []

    def select(self, query: Query) -> Selection:
        assert query.refit is not None
        for _ in range(2):
            head = query.refit(torch.arange(10))
            assert not head.training
            self.logits.append(head(query.labeled_features))
        return super().select(query)


class Counting(L.Callback):
    num_starts = 0

    def on_train_start(self, *_: object) -> None:
        self.num_starts += 1


def test_a_strategy_can_fit_the_head_again(
    cpu_trainer: Callable[..., L.Trainer], tmp_path: Path
) -> None:
    """By itself: followed by nothing, equal each time, and without a trace in the run's numbers."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 4, generator=generator)
    data = ALDataModule(Tensors(features, (features[:, 0] > 0).long()))
    data.setup()
    data.label(data.pool.unlabeled_indices[:20])
    head = partial(LinearHead, scheduler=partial(CosineAnnealingLR, T_max=NUM_EPOCHS))
    trainer = partial(
        cpu_trainer,
        logger=CSVLogger(tmp_path),
        enable_checkpointing=True,
        default_root_dir=tmp_path,
    )
    refitting, counting = Refitting(), Counting()
    outcomes = [
        Cycle(data, head, strategy, seed=1, trainer=trainer, callbacks=[callback]).run(2, 6)
        for strategy, callback in ((Margin(), L.Callback()), (refitting, counting))
    ]
    plain, watched = (outcome.selection for outcome in outcomes)
    assert plain is not None
    assert watched is not None
    assert torch.equal(plain.positions, watched.positions)
    assert outcomes[0].metrics == outcomes[1].metrics
    for first, second in zip(*(o.head.parameters() for o in outcomes), strict=True):
        assert torch.equal(first, second)
    assert counting.num_starts == 1
    assert len(list(tmp_path.rglob("*.ckpt"))) == 2  # of the two fits, and none of a refit
    again, once = refitting.logits
    assert torch.equal(again, once)
    labels = data.pool.labels
    assert (once[:10].argmax(1) == labels[:10]).all()
    whole = outcomes[1].head(data.pool.labeled_rows().load())
    assert not torch.equal(once, whole)


def test_uherding_calibrates_in_a_cycle(cpu_trainer: Callable[..., L.Trainer]) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 4, generator=generator)
    data = ALDataModule(Tensors(features, (features[:, 0] > 0).long()))
    data.setup()
    data.label(data.pool.unlabeled_indices[:20])
    head = partial(LinearHead, scheduler=partial(CosineAnnealingLR, T_max=NUM_EPOCHS))
    runs = [Cycle(data, head, UHerding(), seed, cpu_trainer).run(0, 5) for seed in (0, 0)]
    first, second = (outcome.selection for outcome in runs)
    assert first is not None
    assert second is not None
    assert first.derived == second.derived
    assert 1 <= first.derived["T"] <= 19.9  # type: ignore[operator]
    assert torch.equal(first.positions, second.positions)


class OwnHead(L.LightningModule):
    """A head that shares nothing with those of this package."""

    def __init__(
        self, num_features: int, num_classes: int, make: Callable[[Any], Any], only: int = 0
    ) -> None:
        super().__init__()
        if only and num_features != only:
            raise ValueError(f"expected {only} features")
        self.layer = nn.Linear(num_features, num_classes)
        self.make = make

    def configure_optimizers(self) -> Any:
        return self.make(self)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda head: SGD(head.parameters(), lr=-1), "cannot be made: Invalid learning rate: -1"),
        (lambda head: [Adam(head.parameters(), lr=0.0)], "above 0 of the head's Adam, got 0"),
        (lambda head: SGD(head.parameters(), lr=float("inf")), "finite number for `lr`"),
        (
            lambda head: {"optimizer": SGD(head.parameters(), weight_decay=float("inf"))},
            "finite number for `weight_decay` of the head's SGD, got inf",
        ),
        (
            lambda head: ([(it := SGD(head.parameters()))], [{"scheduler": StepLR(it, 0)}]),
            "The schedule StepLR of the head cannot step",
        ),
    ],
)
def test_an_optimizer_is_refused_before_the_data(make: Callable[[Any], Any], message: str) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match=message.replace("`", ".")):
        check_optimizer(partial(OwnHead, make=make))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "head",
    [
        partial(OwnHead, make=lambda head: SGD([{"params": head.parameters(), "lr": 0.1}], lr=0)),
        partial(  # it warms up
            OwnHead,
            make=lambda head: (
                [(it := SGD(head.parameters(), lr=0.1))],
                [LinearLR(it, start_factor=1e-9)],
            ),
        ),
        partial(
            OwnHead,
            make=lambda head: {
                "optimizer": (it := SGD(head.parameters(), lr=0.1)),
                "lr_scheduler": {"scheduler": ReduceLROnPlateau(it), "monitor": "loss"},
            },
        ),
        partial(OwnHead, make=lambda _: None),
        # What only the first fit can tell.
        partial(OwnHead, make=lambda head: SGD(head.parameters(), lr=-1), only=384),
        partial(OwnHead, make=lambda head: head.trainer.estimated_stepping_batches),
    ],
)
def test_other_optimizers_are_left_alone(head: Callable[..., L.LightningModule]) -> None:
    check_optimizer(head)
