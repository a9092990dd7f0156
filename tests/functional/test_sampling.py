import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import sampling
from tests import reference


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9).filter(any), st.integers(0, 1000))
def test_draws_the_row_where_the_running_sum_passes(masses: list[int], seed: int) -> None:
    mass = torch.tensor(masses, dtype=torch.float64)
    row = sampling.draw_proportionally(mass.cumsum(0), generator(seed))
    assert row == reference.draw_proportionally(mass, generator(seed))
    assert masses[row] > 0


@given(st.integers(1, 9), st.integers(0, 1000), st.data())
def test_fills_up_with_other_rows(num_rows: int, seed: int, data: st.DataObject) -> None:
    num = data.draw(st.integers(0, num_rows))
    chosen = data.draw(st.permutations(range(num_rows)))[: data.draw(st.integers(0, num))]
    filled = sampling.fill_uniformly(list(chosen), num, num_rows, generator(seed))
    expected = reference.fill_uniformly(list(chosen), num, num_rows, generator(seed))
    assert filled.tolist() == expected
    assert filled.dtype == torch.int64
    assert len(set(expected)) == num
