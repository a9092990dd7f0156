"""Steps that go past Lightning are those that it would leave alone."""

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor

from dal.data import ALDataModule
from dal.heads import LinearHead
from dal.runtime import trainers
from dal.runtime.trainers import NoProfiler, quiet_lightning
from tests.conftest import NUM_EPOCHS

NUM_STEPS = 3 * NUM_EPOCHS  # 40 labels in batches of 16


class Hooked(LinearHead):
    num_calls = 0

    def on_after_backward(self) -> None:
        assert self.network.weight.grad is not None
        self.num_calls += 1


class OwnBackward(LinearHead):
    num_calls = 0

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.num_calls += 1
        super().manual_backward(loss, *args, **kwargs)


def fitted(
    blobs: Callable[..., ALDataModule],
    trainer: L.Trainer,
    make: type[LinearHead] = LinearHead,
) -> LinearHead:
    data = blobs(batch_size=16)
    data.setup()
    data.label(data.pool.unlabeled_indices[:40])
    data.batch_generator = torch.Generator().manual_seed(3)
    with quiet_lightning():
        torch.manual_seed(0)
        head = make(6, 3)
        trainer.fit(head, datamodule=data)
    assert trainer.global_step == NUM_STEPS
    return head


@pytest.mark.parametrize("hook", trainers.STEP_HOOKS)
def test_hooks_around_a_step_are_called(
    hook: str, blobs: Callable[..., ALDataModule], cpu_trainer: Callable[..., L.Trainer]
) -> None:
    calls: list[str] = []
    callback = LambdaCallback(**{hook: lambda *_: calls.append(hook)})
    head = fitted(blobs, cpu_trainer(callbacks=[callback]))
    assert calls == [hook] * NUM_STEPS
    plain = fitted(blobs, cpu_trainer())
    assert torch.equal(head.network.weight, plain.network.weight)


@pytest.mark.parametrize("make", [Hooked, OwnBackward])
def test_hooks_of_the_head_are_called(
    make: type[Any], blobs: Callable[..., ALDataModule], cpu_trainer: Callable[..., L.Trainer]
) -> None:
    head = fitted(blobs, cpu_trainer(), make)
    assert head.num_calls == NUM_STEPS
    assert torch.equal(head.network.weight, fitted(blobs, cpu_trainer()).network.weight)


@pytest.mark.parametrize(
    ("arguments", "are_plain"),
    [
        ({}, True),
        ({"profiler": None}, True),
        ({"barebones": True}, True),
        ({"callbacks": [LambdaCallback(on_train_epoch_end=lambda *_: None)]}, True),
        ({"callbacks": [LambdaCallback(on_before_backward=lambda *_: None)]}, False),
        ({"profiler": "simple"}, False),
        ({"precision": "bf16-mixed"}, False),
        ({"strategy": "ddp"}, False),
    ],
)
def test_what_makes_steps_plain(
    arguments: dict[str, Any], are_plain: bool, cpu_trainer: Callable[..., L.Trainer]
) -> None:
    with quiet_lightning():
        trainer = cpu_trainer(**arguments)
    assert trainers.are_steps_plain(trainer, LinearHead(6, 3)) == are_plain


def test_steps_are_counted_up_to_a_limit(
    blobs: Callable[..., ALDataModule], cpu_trainer: Callable[..., L.Trainer]
) -> None:
    data = blobs(batch_size=16)
    data.setup()
    data.label(data.pool.unlabeled_indices[:40])
    trainer = cpu_trainer(max_steps=5)
    with quiet_lightning():
        trainer.fit(LinearHead(6, 3), datamodule=data)
    assert trainer.global_step == 6  # an epoch of 3 steps is not cut short


def test_nothing_is_profiled_unless_asked_for(cpu_trainer: Callable[..., L.Trainer]) -> None:
    with quiet_lightning():
        assert isinstance(cpu_trainer().profiler, NoProfiler)  # type: ignore[attr-defined]
        simple = cpu_trainer(profiler="simple").profiler  # type: ignore[attr-defined]
    assert not isinstance(simple, NoProfiler)
    with NoProfiler().profile("anything"):
        pass
