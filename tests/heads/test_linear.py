from collections.abc import Callable
from functools import partial

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from dal.data import ALDataModule, Chunks
from dal.errors import ConfigError
from dal.heads import LinearHead
from dal.heads.head import NUM_CALIBRATION_BINS
from dal.runtime import threads
from dal.runtime.trainers import quiet_lightning
from tests import reference
from tests.conftest import NUM_EPOCHS


def fitted(
    blobs: Callable[..., ALDataModule], trainer: Callable[..., L.Trainer], num: int
) -> tuple[LinearHead, ALDataModule, nn.Linear]:
    """A head after a fit, its data, and the layer it started from."""
    data = blobs(batch_size=16)
    data.setup()
    data.label(data.pool.unlabeled_indices[:num])
    data.batch_generator = torch.Generator().manual_seed(3)
    head = LinearHead(6, 3, scheduler=partial(CosineAnnealingLR, T_max=NUM_EPOCHS))
    start = nn.Linear(6, 3)
    start.load_state_dict(head.network.state_dict())
    with quiet_lightning():
        trainer().fit(head, datamodule=data)
    return head, data, start


@pytest.mark.parametrize("num", [5, 16, 40])
def test_a_fit_is_the_plain_loop(
    blobs: Callable[..., ALDataModule], cpu_trainer: Callable[..., L.Trainer], num: int
) -> None:
    head, data, linear = fitted(blobs, cpu_trainer, num)
    features, labels = data.train.features[data.pool.labeled_indices], data.pool.labels
    optimizer = torch.optim.RAdam(linear.parameters(), lr=0.2, weight_decay=1e-4)
    scheduler = CosineAnnealingLR(optimizer, T_max=NUM_EPOCHS)
    generator = torch.Generator().manual_seed(3)
    for _ in range(NUM_EPOCHS):
        for rows in reference.epoch_rows(num, 16, generator):
            optimizer.zero_grad()
            F.cross_entropy(linear(features[rows]), labels[rows]).backward()
            optimizer.step()
        scheduler.step()
    torch.testing.assert_close(head.network.weight, linear.weight, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(head.network.bias, linear.bias, atol=1e-6, rtol=1e-6)


def test_metrics_are_their_definitions(
    blobs: Callable[..., ALDataModule], cpu_trainer: Callable[..., L.Trainer]
) -> None:
    head, data, _ = fitted(blobs, cpu_trainer, 30)
    assert data.test is not None
    features, labels = data.test.features, data.test.labels
    assert labels is not None
    with quiet_lightning():
        # Chunks of unequal size: a mean of means would be off.
        (logged,) = cpu_trainer().test(head, Chunks(features, labels, 25), verbose=False)
    log_probs = head.network(features).detach().log_softmax(-1)
    probs = log_probs.exp()
    accuracy = (probs.argmax(1) == labels).double().mean().item()
    assert 0.34 < accuracy < 1
    brier = reference.brier(probs, labels)
    assert logged["accuracy"] == pytest.approx(accuracy)
    assert logged["nll"] == pytest.approx(F.nll_loss(log_probs, labels).item(), rel=1e-5)
    assert logged["brier"] == pytest.approx(sum(brier) / len(brier), rel=1e-5)
    expected = reference.calibration_error(probs, labels, NUM_CALIBRATION_BINS)
    assert logged["ece"] == pytest.approx(expected, abs=1e-7)


def test_accuracy_counts_examples_and_not_classes(cpu_trainer: Callable[..., L.Trainer]) -> None:
    head = LinearHead(1, 2)
    head.network.weight.data.zero_()
    head.network.bias.data = torch.tensor([1.0, 0.0])  # always class 0
    labels = torch.tensor([0] * 9 + [1])
    with quiet_lightning():
        (logged,) = cpu_trainer().test(head, Chunks(torch.zeros(10, 1), labels, 4), verbose=False)
    assert logged["accuracy"] == pytest.approx(0.9)


def test_an_impossible_optimizer_is_a_configuration_error() -> None:
    head = LinearHead(2, 2, optimizer=partial(torch.optim.RAdam, lr=-1.0))
    with pytest.raises(ConfigError, match="Invalid learning rate: -1"):
        head.configure_optimizers()


def test_small_work_takes_one_thread_and_gives_it_back() -> None:
    cpu, before = torch.device("cpu"), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError), threads.for_work(10, cpu):
            assert torch.get_num_threads() == 1
            raise RuntimeError
        assert torch.get_num_threads() == 2
        with threads.for_work(10**9, cpu):
            assert torch.get_num_threads() == 2
        with threads.for_work(10, torch.device("cuda")):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
