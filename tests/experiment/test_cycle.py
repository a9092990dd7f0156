"""A cycle by itself, as labeling one's own data needs it."""

from collections.abc import Callable
from functools import partial

import lightning as L
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from dal.data import ALDataModule, Tensors
from dal.experiment.cycle import Cycle
from dal.heads import LinearHead
from dal.strategies import Margin
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
