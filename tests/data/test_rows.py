"""Rows of a pool that are read in parts, from memory or from a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dal.data import ALDataModule, FeatureRows, Tensors
from dal.data.listener import PoolListener
from dal.data.row_numbers import NumberOf, RowNumbers
from dal.data.rows import MappedRows
from dal.errors import ConfigError
from dal.runtime import devices, memory_maps

GIB = 2**30


@pytest.fixture(params=["memory", "file"])
def features(request: pytest.FixtureRequest, tmp_path: Path) -> Tensor:
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float16)
    if request.param == "memory":
        return torch.from_numpy(values)
    np.save(tmp_path / "rows.npy", values)
    return memory_maps.tensor(np.load(tmp_path / "rows.npy", mmap_mode="c"))


@pytest.mark.parametrize(
    "indices",
    [
        None,
        torch.arange(10, 40),  # consecutive ones are not gathered
        torch.tensor([4, 5, 7, 40, 41]),
        torch.tensor([9, 7, 8, 6]),  # as many as there are between the lowest and the highest
        torch.tensor([3, 3, 4]),
        torch.empty(0, dtype=torch.int64),
    ],
)
def test_parts_are_those_of_the_whole(features: Tensor, indices: Tensor | None) -> None:
    rows = FeatureRows(features, indices, scale=3.0)
    whole = 3 * features.float()[torch.arange(50) if indices is None else indices]
    assert torch.equal(rows.load(), whole)
    assert rows.shape == whole.shape
    assert torch.equal(torch.cat([rows[:2], rows[2:]]), whole)
    numbers = torch.arange(len(whole)).flip(0)
    assert torch.equal(rows[numbers], whole[numbers])
    assert torch.equal(rows.take(numbers)[slice(None)], whole[numbers])
    doubled = MappedRows(rows, lambda part: (2 * part[:, :2]).double(), 2, torch.float64)
    assert doubled.shape == whole[:, :2].shape
    assert torch.equal(doubled[numbers], (2 * whole[numbers][:, :2]).double())


def test_what_is_read_is_a_copy() -> None:
    features = torch.ones(4, 2)
    for rows in (FeatureRows(features), FeatureRows(features, torch.tensor([0, 2]))):
        rows[:2].zero_()
        rows[torch.tensor([0, 1])].zero_()
    assert bool((features == 1).all())


def test_a_listener_is_told_how_far_the_rows_are_read() -> None:
    told: list[tuple[int, int]] = []

    class Listener(PoolListener):
        def read(self, num: int, total: int) -> None:
            told.append((num, total))

    rows = FeatureRows(torch.ones(10, 2), listener=Listener())
    for _ in rows.chunks(4):
        pass
    _ = rows[torch.tensor([3])]  # single rows are no progress
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_features_are_kept_if_they_take_half_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "available_bytes", lambda _: 800)
    assert FeatureRows(torch.ones(25, 4).half()).are_kept()  # 400 bytes
    assert not FeatureRows(torch.ones(26, 4).half()).are_kept()
    assert not FeatureRows(torch.ones(25, 4)).are_kept(num_columns=5)
    assert FeatureRows(torch.ones(99, 4), in_memory=True).are_kept()
    assert not FeatureRows(torch.ones(1, 4), in_memory=False).are_kept()
    assert not FeatureRows(torch.ones(1, 4), in_memory=False).take(torch.tensor([0])).are_kept()


def test_the_datamodule_hands_the_choice_on() -> None:
    data = ALDataModule(Tensors(torch.ones(9, 2)), in_memory=False)
    data.setup()
    assert not data.pool.unlabeled_rows().are_kept()
    with pytest.raises(ConfigError, match="`in_memory` to be 'auto', true or false, got 'yes'"):
        ALDataModule(Tensors(torch.ones(9, 2)), in_memory="yes")


def test_row_numbers_are_names() -> None:
    names = RowNumbers(12)
    assert list(names) == [names[row] for row in range(12)] == [*map(str, range(12))]
    assert names[3:5] == ["3", "4"]
    assert ("11" in names, "12" in names) == (True, False)
    for other in ("-1", "01", " 1", "1.0", "", "٣", "9" * 30, "1_0", 3):
        assert other not in names
    numbers = NumberOf(names)
    assert dict(numbers) == {str(row): row for row in range(12)}
    assert numbers.get("12") is None
    with pytest.raises(KeyError):
        numbers["12"]
    with pytest.raises(IndexError):
        names[12]
