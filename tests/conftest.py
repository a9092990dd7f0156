"""What every test stands on: no network, quiet threads, drawn data."""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers, and what they start, share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from dal.runtime import garbage

if TYPE_CHECKING:
    import lightning as L

    from dal.data import ALDataModule
    from dal.experiment.loop import ALLoop

settings.register_profile("dal", deadline=None, derandomize=True)
settings.load_profile("dal")

NUM_EPOCHS = 3

Command = Callable[..., tuple[int, str, str]]
SHORT = ["trainer.max_epochs=2", "al.num_acq=2"]  # overrides of a run that takes a moment


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    with garbage.modules_spared():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest come first, so that no worker waits for another at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


# Fixtures import what takes seconds to load: the process that hands out tests to workers, and tests
# of scripts alone, need none of it.


@pytest.fixture
def blobs() -> "Callable[..., ALDataModule]":
    """Makes a datamodule of Gaussian blobs, one for each class."""
    import torch

    from dal.data import ALDataModule, Tensors

    def make(num_train: int = 120, num_classes: int = 3, **kwargs: float) -> ALDataModule:
        generator = torch.Generator().manual_seed(7)
        centres = torch.randn(num_classes, 6, generator=generator)

        def split(num: int) -> tuple[torch.Tensor, torch.Tensor]:
            labels = torch.arange(num) % num_classes
            return centres[labels] + torch.randn(num, 6, generator=generator), labels

        source = Tensors(*split(num_train), *split(60))
        return ALDataModule(source, **{"scale": "none", **kwargs})  # type: ignore[arg-type]

    return make


@pytest.fixture
def short_loop(blobs: "Callable[..., ALDataModule]") -> "Callable[..., ALLoop]":
    """Makes a loop of 4 cycles that takes a moment: 4 + 3 × 5 labels."""
    from torch.optim.lr_scheduler import CosineAnnealingLR

    from dal.experiment.loop import ALLoop
    from dal.heads.linear import LinearHead
    from dal.runtime.trainers import DEFAULT_TRAINER
    from dal.strategies import Margin

    def make(**kwargs: object) -> ALLoop:
        arguments: dict[str, object] = {
            "datamodule": blobs(),
            "head": partial(LinearHead, scheduler=partial(CosineAnnealingLR, T_max=NUM_EPOCHS)),
            "strategy": Margin(),
            "num_init": 4,
            "acq_size": 5,
            "num_acq": 3,
            "trainer": partial(DEFAULT_TRAINER, max_epochs=NUM_EPOCHS, accelerator="cpu"),
        }
        return ALLoop(**(arguments | kwargs))  # type: ignore[arg-type]

    return make


@pytest.fixture
def cpu_trainer() -> "Callable[..., L.Trainer]":
    from dal.runtime.trainers import DEFAULT_TRAINER

    return partial(DEFAULT_TRAINER, max_epochs=NUM_EPOCHS, accelerator="cpu")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a tiny DINOv2."""
    from tests.images import save_dinov2  # loads transformers

    return save_dinov2(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with train and test images of two classes."""
    from tests.images import save_images

    save_images(tmp_path / "images" / "train", {"ant": 9, "bee": 8})
    save_images(tmp_path / "images" / "test", {"ant": 3, "bee": 2}, seed=1)
    return tmp_path / "images"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `python -m dal.train` in this process and a folder of its own."""

    def run(*arguments: str) -> tuple[int, str, str]:
        from dal import train

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["dal.train", *arguments])
        status = 0
        try:
            train.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        out, err = capsys.readouterr()
        return status, out, err

    return run
