"""Reductions over processes, which are threads here."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import bait, bait_rank_one, sharding
from dal.functional.bait_objective import Selection
from dal.functional.sharding import Shares
from tests.functional.random_problems import draw

T = TypeVar("T")


class ThreadShares(Shares):
    """One of several threads; what they exchange is in a list that all of them have."""

    def __init__(self, rank: int, exchanged: list[Tensor], barrier: threading.Barrier) -> None:
        self.num, self.rank = barrier.parties, rank
        self.exchanged, self.barrier = exchanged, barrier

    def gathered(self, part: Tensor) -> Tensor:
        self.exchanged[self.rank] = part
        self.barrier.wait()
        whole = torch.cat(self.exchanged)
        self.barrier.wait()
        return whole

    def row_of(self, owner: int, row: Tensor) -> Tensor:
        self.exchanged[self.rank] = row
        self.barrier.wait()
        found = self.exchanged[owner].clone()
        self.barrier.wait()
        return found


def together(num: int, function: Callable[[Shares], T]) -> list[T]:
    """What a function returns in each of some threads."""
    barrier = threading.Barrier(num, timeout=60)
    exchanged = [torch.empty(0)] * num

    def run(rank: int) -> T:
        torch.set_num_threads(1)  # as many as with any number of processes
        try:
            return function(ThreadShares(rank, exchanged, barrier))
        except BaseException:
            barrier.abort()
            raise

    num_torch_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(num) as threads:
            return list(threads.map(run, range(num)))
    finally:
        torch.set_num_threads(num_torch_threads)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_a_sum_does_not_depend_on_the_processes(num_parts: int, num: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(num_parts, 3, generator=generator)
    parts *= 10 ** torch.randn(num_parts, 1, generator=generator)
    like = torch.empty(3)
    expected = sharding.total(parts.clone(), 0, like, sharding.ALONE)
    torch.testing.assert_close(expected.double(), parts.double().sum(0), rtol=1e-5, atol=1e-5)

    def total(shares: Shares) -> Tensor:
        own = shares.own(num_parts, 1)
        return sharding.total(parts[own].clone(), own.start, like, shares)

    for found in together(num, total):
        assert torch.equal(found, expected)


@given(st.integers(1, 40), st.integers(1, 6), st.data())
def test_rows_of_all_processes_are_taken(num_rows: int, num: int, data: st.DataObject) -> None:
    rows = torch.tensor(data.draw(st.lists(st.integers(0, num_rows - 1))), dtype=torch.int64)
    matrix = torch.arange(2 * num_rows).view(num_rows, 2)

    def taken(shares: Shares) -> Tensor:
        own = shares.own(num_rows, 4)
        assert shares.placed(own.stop - own.start) == (num_rows, own.start)
        return sharding.taken(matrix[own], rows, own.start, shares)

    for found in together(num, taken):
        assert torch.equal(found, matrix[rows])


@settings(max_examples=40)
@given(
    num_rows=st.integers(20, 200),
    num=st.integers(1, 5),
    batch=st.integers(1, 20),
    shortlist_rows=st.sampled_from([4, 12, 1000]),
    seed=st.integers(0, 1000),
)
def test_bait_selects_what_one_process_selects(
    num_rows: int, num: int, batch: int, shortlist_rows: int, seed: int
) -> None:
    """Rows are there twice, in other chunks, too."""
    drawn = draw(num_rows, 6, 8, 3, seed).to(torch.float32)
    drawn.features[num_rows // 2 :][: num_rows // 3] = drawn.features[: num_rows // 3]
    drawn.probs[num_rows // 2 :][: num_rows // 3] = drawn.probs[: num_rows // 3]
    features, factors, labeled_features, labeled_factors = drawn.arguments("binary")

    def select(shares: Shares) -> Selection:
        own = shares.own(num_rows, 16)
        return bait.select(
            *(features[own], factors[own], labeled_features, labeled_factors),
            num=batch,
            shares=shares,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bait_rank_one, "CHUNK_ROWS", {"cpu": 16})
        patch.setattr(bait, "SHORTLIST_ROWS", shortlist_rows)
        patch.setattr(bait, "BLOCK_STEPS", 5)
        (expected,) = together(1, select)
        for found in together(num, select):
            assert torch.equal(found.positions, expected.positions)
            assert torch.equal(found.gains, expected.gains)
