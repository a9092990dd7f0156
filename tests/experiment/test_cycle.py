"""A cycle by itself, as labeling one's own data needs it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from dal.data import ALDataModule, Tensors
from dal.experiment.cycle import Cycle
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
