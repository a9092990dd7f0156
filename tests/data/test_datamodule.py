from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal import randomness
from dal.data import ALDataModule, Arrays, Digits, Examples, Tensors
from dal.errors import ConfigError, DataError

Blobs = Callable[..., ALDataModule]


def test_the_dev_part_is_fixed_and_never_in_the_pool(blobs: Blobs) -> None:
    first, second = blobs(dev_fraction=0.25), blobs(dev_fraction=0.25)
    first.setup()
    second.setup()
    assert len(first.dev_indices) == 30
    assert torch.equal(first.dev_indices, second.dev_indices)
    assert first.pool.num_unlabeled == 90
    together = torch.cat([first.dev_indices, first.pool.unlabeled_indices]).sort().values
    assert torch.equal(together, torch.arange(120))
    other = blobs(dev_fraction=0.25, split_seed=1)
    other.setup()
    assert not torch.equal(first.dev_indices, other.dev_indices)


def test_labeling_moves_positions_and_keeps_the_order(blobs: Blobs) -> None:
    data = blobs(dev_fraction=0)
    data.setup()
    data.label(torch.tensor([5, 2]))
    data.label(torch.tensor([0]))
    assert data.pool.labeled_indices.tolist() == [5, 2, 0]
    assert data.pool.labels.tolist() == [5 % 3, 2 % 3, 0]
    assert data.pool.unlabeled_indices[:4].tolist() == [1, 3, 4, 6]
    cpu = torch.device("cpu")
    assert torch.equal(data.pool.labeled_rows(cpu).load(), data.train.features[[5, 2, 0]])
    assert torch.equal(data.pool.unlabeled_rows(cpu).load()[:2], data.train.features[[1, 3]])
    data.pool.forget_labels()
    assert data.pool.num_unlabeled == 120


def test_labeling_refuses_what_is_not_unlabeled(blobs: Blobs) -> None:
    data = blobs()
    data.setup()
    index = data.pool.unlabeled_indices[:1]
    data.label(index)
    for bad in (index, torch.tensor([-1]), torch.tensor([120]), data.dev_indices[:1]):
        with pytest.raises(DataError, match="unlabeled rows"):
            data.label(bad)
    with pytest.raises(DataError, match="distinct"):
        data.label(data.pool.unlabeled_indices[[0, 0]])
    assert torch.equal(data.pool.labeled_indices, index)


@given(st.integers(1, 59), st.integers(0, 100))
def test_a_random_draw_is_distinct_and_repeatable(num: int, seed: int) -> None:
    data = ALDataModule(
        Tensors(torch.ones(66, 1), torch.arange(66) % 3, torch.zeros(3, 1), torch.arange(3))
    )
    data.setup()
    draw = data.initial_draw(num, "random", randomness.stream(seed, 0, "x"))
    again = data.initial_draw(num, "random", randomness.stream(seed, 0, "x"))
    assert torch.equal(draw, again)
    assert len(draw.unique()) == num
    assert torch.isin(draw, data.pool.unlabeled_indices).all()


@given(st.integers(4, 40), st.integers(0, 100))
def test_a_balanced_draw_takes_classes_in_turns(num: int, seed: int) -> None:
    labels = torch.tensor([0] * 30 + [1] * 20 + [2] * 3 + [3] * 7)
    data = ALDataModule(
        Tensors(torch.ones(60, 1), labels, torch.zeros(4, 1), torch.arange(4)), dev_fraction=0
    )
    data.setup()
    draw = data.initial_draw(num, "class_balanced", randomness.stream(seed, 0, "x"))
    assert len(draw.unique()) == num
    counts, sizes = labels[draw].bincount(minlength=4), labels.bincount()
    for label in range(4):  # only a class that has run out may lag behind by more than one
        assert counts[label] >= counts.max() - 1 or counts[label] == sizes[label]


def test_the_remainder_of_a_balanced_draw_favours_no_class() -> None:
    labels = torch.tensor([0] * 900 + [1] * 100)
    data = ALDataModule(
        Tensors(torch.ones(1000, 1), labels, torch.zeros(2, 1), torch.arange(2)), dev_fraction=0
    )
    data.setup()
    generator = torch.Generator().manual_seed(0)
    draws = [labels[data.initial_draw(3, "class_balanced", generator)] for _ in range(200)]
    num_majority = sum(int((draw == 0).sum()) == 2 for draw in draws)
    assert 70 <= num_majority <= 130  # 100 ± 4 standard deviations


def test_draws_refuse_what_cannot_be_drawn(blobs: Blobs) -> None:
    data = blobs(dev_fraction=0)
    data.setup()
    generator = torch.Generator()
    with pytest.raises(DataError, match=r"`num_init` in \[1, 120\].*got 121"):
        data.initial_draw(121, "random", generator)
    with pytest.raises(DataError, match="at least 3, one for each class.*got 2"):
        data.initial_draw(2, "class_balanced", generator)
    with pytest.raises(ConfigError, match="Did you mean 'class_balanced'"):
        data.initial_draw(3, "class_balance", generator)


def test_evaluation_splits(blobs: Blobs) -> None:
    data = blobs()
    data.setup()
    assert sum(len(y) for _, y in data.eval_dataloader("test")) == 60
    dev = torch.cat([y for _, y in data.eval_dataloader("dev")])
    assert torch.equal(dev, data.reveal(data.dev_indices))
    with pytest.raises(ConfigError, match="Unknown `eval_split` 'val'"):
        data.eval_dataloader("val")
    no_dev = blobs(dev_fraction=0)
    no_dev.setup()
    with pytest.raises(ConfigError, match="`dev_fraction` above 0"):
        no_dev.eval_dataloader("dev")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"dev_fraction": 1.0}, r"dev_fraction` in \[0, 1\)"),
        ({"test_fraction": 0.0}, r"test_fraction` in \(0, 1\)"),
        ({"split_seed": -1}, "`split_seed` of at least 0"),
        ({"scale": "yes"}, "'auto', 'none' or a number above 0, got 'yes'"),
        ({"scale": 0}, "a number above 0, got 0"),
        ({"scale": True}, "a number above 0, got True"),
    ],
)
def test_arguments_are_checked(blobs: Blobs, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        blobs(**kwargs)


def test_digits_are_standardised_on_train_and_stratified() -> None:
    data = ALDataModule(Digits(), scale="none")
    data.setup()
    assert len(data.train) == 1257
    assert data.test is not None
    assert data.test.labels is not None
    assert len(data.test) == 540
    assert (data.num_features, data.num_classes) == (64, 10)
    variance, mean = torch.var_mean(data.train.features, dim=0, correction=0)
    torch.testing.assert_close(mean, torch.zeros(64), atol=1e-5, rtol=0)
    assert ((variance - 1).abs() < 1e-4).logical_or(variance == 0).all()
    share = data.test.labels.bincount() / 540
    torch.testing.assert_close(
        share, data.reveal(torch.arange(1257)).bincount() / 1257, atol=2e-3, rtol=0
    )


def write_features(folder: Path, dtype: str = "float32") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {
        "train_features": rng.normal(size=(50, 4)).astype(dtype),
        "train_labels": np.arange(50) % 2,
        "test_features": rng.normal(size=(20, 4)).astype(dtype),
        "test_labels": np.arange(20) % 2,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return arrays


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_features_are_mapped_and_not_written_to(tmp_path: Path, dtype: str) -> None:
    arrays = write_features(tmp_path, dtype)
    before = (tmp_path / "train_features.npy").read_bytes()
    data = ALDataModule(Arrays(tmp_path))
    data.setup()
    np.testing.assert_array_equal(data.train.features.numpy(), arrays["train_features"])
    data.train.features[0] = 9  # private to this process
    assert (tmp_path / "train_features.npy").read_bytes() == before


def test_features_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data.path to be a folder with arrays.*found no"):
        Arrays(tmp_path / "nowhere").load()
    write_features(tmp_path)
    whole = (tmp_path / "test_features.npy").read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        (tmp_path / "test_features.npy").write_bytes(whole[:length])
        with pytest.raises(DataError, match="whole NumPy array in .*test_features.npy"):
            Arrays(tmp_path).load()
    np.save(tmp_path / "test_features.npy", np.array([["a"], ["b"]]))
    with pytest.raises(DataError, match="Expected numbers"):
        Arrays(tmp_path).load()
    np.save(tmp_path / "test_features.npy", np.array([None, "b"]), allow_pickle=True)
    with pytest.raises(DataError, match="whole NumPy array"):
        Arrays(tmp_path).load()


def test_without_a_test_split_a_part_of_each_class_is_held_out() -> None:
    labels = torch.arange(100) % 4
    features = torch.arange(100.0)[:, None]
    data = ALDataModule(Tensors(features, labels), dev_fraction=0.25, test_fraction=0.2)
    data.setup()
    assert data.test is not None
    assert data.test.labels is not None
    assert data.test.labels.bincount().tolist() == [5, 5, 5, 5]
    # An index is a row of the source, whatever is held out.
    held_out = data.test.features[:, 0].long()
    parts = [held_out, data.dev_indices, data.pool.unlabeled_indices]
    assert [len(part) for part in parts] == [20, 20, 60]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(100))
    assert torch.equal(data.test.labels, held_out % 4)
    again = ALDataModule(Tensors(features, labels), dev_fraction=0.25, split_seed=1)
    again.setup()
    assert not torch.equal(again.pool.unlabeled_indices, data.pool.unlabeled_indices)
    with pytest.raises(DataError, match=r"Cannot hold 20% .*got 1 of '1'\. Add"):
        ALDataModule(Tensors(torch.zeros(3, 1), torch.tensor([0, 0, 1]))).setup()


@pytest.mark.parametrize("labels", [None, torch.tensor([0, -1, 1, 0])])
def test_a_pool_whose_labels_are_not_known(labels: torch.Tensor | None) -> None:
    """All rows are the pool, labels are given from outside, and an experiment refuses."""
    data = ALDataModule(Tensors(torch.ones(4, 2), labels, ids=["a", "b", "c", "d"]))
    data.setup()
    assert (data.pool.num_unlabeled, len(data.dev_indices), data.test) == (4, 0, None)
    data.pool.label(data.pool.indices(["d", "b"]), torch.tensor([2, 0]))
    assert data.num_classes == 3
    ((_, batch_labels),) = data.train_dataloader()
    assert set(batch_labels.flatten().tolist()) == {0, 2}
    message = "got none: an experiment" if labels is None else r"got none \(-1\) for 1 of 4"
    for refused in (data.check_labeled, lambda: data.reveal(torch.tensor([0]))):
        with pytest.raises(DataError, match=message):
            refused()
    with pytest.raises(ConfigError, match="Expected a test split"):
        data.eval_dataloader("test")


def test_a_source_is_anything_that_loads() -> None:
    class Ones:
        def load(self) -> tuple[Examples, None]:
            return Examples(torch.ones(20, 3), torch.arange(20) % 2), None

    data = ALDataModule(Ones())
    data.setup()
    assert (data.num_features, data.num_classes, data.pool.num_unlabeled) == (3, 2, 14)
    with pytest.raises(ConfigError, match="a method `load`, got Tensor"):
        ALDataModule(torch.ones(2, 2))  # type: ignore[arg-type]


def test_half_a_test_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="or neither, got no `test_labels`"):
        Tensors(torch.zeros(2, 1), torch.arange(2), torch.zeros(2, 1))


def test_arrays_need_no_test_split(tmp_path: Path) -> None:
    arrays = write_features(tmp_path)
    (tmp_path / "test_features.npy").unlink()
    with pytest.raises(DataError, match=r"test_features.npy in data.path.*data.splits.test=null"):
        Arrays(tmp_path).load()
    train, test = Arrays(tmp_path, splits={"train": "train", "test": None}).load()
    assert test is None
    assert train.labels is not None
    np.testing.assert_array_equal(train.labels.numpy(), arrays["train_labels"])
    (tmp_path / "train_labels.npy").unlink()
    train, _ = Arrays(tmp_path, splits={"train": "train"}).load()
    assert train.labels is None
    with pytest.raises(ConfigError, match="Unknown key 'splits.tests'. Did you mean 'test'"):
        Arrays(tmp_path, splits={"tests": "x"})


@pytest.mark.parametrize(("scale", "norm"), [("auto", 45.0), (3.0, 3.0), (2, 2.0)])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e3])
def test_features_are_scaled_to_a_mean_norm_of_the_pool(
    scale: str | float, norm: float, unit: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    features = unit * torch.randn(200, 5, generator=generator)
    features[50:] *= 7
    test = torch.full((4, 5), unit)
    source = Tensors(features, torch.arange(200) % 2, test, torch.arange(4) % 2)
    data = ALDataModule(source, dev_fraction=0.2, scale=scale)
    data.setup()
    pool = data.pool.unlabeled_rows().load()
    assert pool.norm(dim=1).mean().item() == pytest.approx(norm, rel=1e-4)
    raw = features[data.pool.unlabeled_indices]
    assert data.mean_norm == pytest.approx(raw.norm(dim=1).mean().item(), rel=1e-5)
    factor = data.pool.scale
    torch.testing.assert_close(pool, raw * factor)
    torch.testing.assert_close(
        pool[[3, 1]], data.pool.unlabeled_rows().take(torch.tensor([3, 1])).load()
    )
    data.label(data.pool.unlabeled_indices[:3])
    torch.testing.assert_close(data.pool.labeled_rows().load(), raw[:3] * factor)
    ((epoch, _),) = data.train_dataloader()
    assert torch.isin(epoch, raw[:3] * factor).all()
    (batch,) = data.eval_dataloader("test")
    torch.testing.assert_close(batch[0], test * factor)
    (batch,) = data.eval_dataloader("dev")
    torch.testing.assert_close(batch[0], features[data.dev_indices] * factor)


def test_features_may_be_left_alone() -> None:
    data = ALDataModule(Tensors(torch.zeros(20, 2), torch.arange(20) % 2), scale="none")
    data.setup()
    assert data.pool.scale == 1
    with pytest.raises(DataError, match="got a pool of zeros, which cannot be scaled"):
        ALDataModule(Tensors(torch.zeros(20, 2), torch.arange(20) % 2)).setup()
