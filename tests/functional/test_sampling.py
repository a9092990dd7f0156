import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import sampling, sharding
from tests import reference


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=9).filter(any),
    st.integers(0, 1000),
    st.sampled_from([1, 2, 4, 16]),
)
def test_draws_the_row_where_the_running_sum_passes(
    masses: list[int], seed: int, chunk_rows: int
) -> None:
    mass = torch.tensor(masses, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "CHUNK_ROWS", chunk_rows)
        draws = sampling.Draws(len(masses), mass.device)
    draws.update(mass + 1)
    assert draws.update(mass) == sum(masses)  # nothing of the other masses is left
    row = draws.row(generator(seed))
    assert row == reference.draw_proportionally(mass, generator(seed))
    assert masses[row] > 0
    uniforms = torch.rand(20, generator=generator(seed), dtype=torch.float64)
    rows = [int(draws.rows(uniform[None])) for uniform in uniforms]
    assert draws.rows(uniforms).tolist() == rows


def test_rows_without_mass_are_never_drawn() -> None:
    """Whatever the rounding of the sums, and at the borders of chunks too."""
    masses = torch.rand(3 * sharding.CHUNK_ROWS, generator=generator(0), dtype=torch.float64)
    masses[masses < 0.5] = 0
    masses[sharding.CHUNK_ROWS - 3 : sharding.CHUNK_ROWS + 3] = 0
    draws = sampling.Draws(len(masses), masses.device)
    total = draws.update(masses)
    assert total == pytest.approx(float(masses.sum()))
    sums = masses.cumsum(0)
    borders = torch.cat([torch.zeros(1), sums, sums.nextafter(torch.tensor(0.0))]) / total
    uniforms = borders[(borders >= 0) & (borders < 1)]
    rows = draws.rows(uniforms)
    assert (masses[rows] > 0).all()
    assert len(rows.unique()) > 0.9 * (masses > 0).sum()


@given(st.integers(1, 9), st.integers(0, 1000), st.data())
def test_fills_up_with_other_rows(num_rows: int, seed: int, data: st.DataObject) -> None:
    num = data.draw(st.integers(0, num_rows))
    chosen = data.draw(st.permutations(range(num_rows)))[: data.draw(st.integers(0, num))]
    filled = sampling.fill_uniformly(list(chosen), num, num_rows, generator(seed))
    expected = reference.fill_uniformly(list(chosen), num, num_rows, generator(seed))
    assert filled.tolist() == expected
    assert filled.dtype == torch.int64
    assert len(set(expected)) == num
