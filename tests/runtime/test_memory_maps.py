"""Memory maps: their pages are given back, and what is in memory is left alone."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dal.runtime import memory_maps

PAGES = Path("/proc/self/smaps")


@pytest.fixture
def mapped(tmp_path: Path) -> Tensor:
    np.save(tmp_path / "rows.npy", np.arange(1 << 23, dtype=np.float32).reshape(-1, 64))
    return memory_maps.tensor(np.load(tmp_path / "rows.npy", mmap_mode="c"))


def resident_kibibytes(name: str) -> int:
    """Of the map of a file."""
    lines = PAGES.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith(name))
    (size,) = (line for line in lines[start : start + 5] if line.startswith("Rss:"))
    return int(size.split()[1])


@pytest.mark.skipif(not PAGES.exists(), reason="needs the pages of a process, as Linux shows them")
def test_pages_are_given_back_and_read_again(mapped: Tensor) -> None:
    first = float(mapped.sum(dtype=torch.float64))
    assert resident_kibibytes("rows.npy") >= 32_768
    memory_maps.release(mapped[-1:])  # and a neighborhood of it, but not all
    assert 12_000 < resident_kibibytes("rows.npy") < 20_000
    memory_maps.release(mapped)
    assert resident_kibibytes("rows.npy") == 0
    memory_maps.prefetch(mapped)
    assert resident_kibibytes("rows.npy") == 0
    assert float(mapped.sum(dtype=torch.float64)) == first
    memory_maps.release(mapped)
    total, largest = 0.0, 0
    for part in memory_maps.chunks(mapped, 4000):
        total += float(part.sum(dtype=torch.float64))
        largest = max(largest, resident_kibibytes("rows.npy"))
    assert total == first
    # The kernel also maps what is beside the pages that are read, up to 2 MiB and more.
    assert largest < 20_000
    assert resident_kibibytes("rows.npy") < 4096


def test_what_is_in_memory_is_left_alone() -> None:
    array = np.arange(1 << 16, dtype=np.float32)
    rows = memory_maps.tensor(array)
    assert not memory_maps.is_mapped(rows)
    memory_maps.release(rows)
    memory_maps.release(torch.ones(1 << 16))
    assert np.array_equal(array, np.arange(1 << 16, dtype=np.float32))


def test_views_of_a_map_are_known(mapped: Tensor) -> None:
    assert memory_maps.is_mapped(mapped[5:9])
    assert not memory_maps.is_mapped(mapped[torch.tensor([3, 1])])


def test_a_map_is_forgotten_with_its_tensor(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((8, 2), dtype=np.float16))
    gc.collect()
    num = len(memory_maps._MAPS)
    rows = memory_maps.tensor(np.load(tmp_path / "rows.npy", mmap_mode="c"))[2:]
    assert len(memory_maps._MAPS) == num + 1
    del rows
    gc.collect()
    assert len(memory_maps._MAPS) == num


def test_rows_that_are_not_contiguous_are_left_alone(mapped: Tensor) -> None:
    columns = mapped[:, :3]
    expected = columns.clone()
    memory_maps.release(columns)
    assert torch.equal(columns, expected)
