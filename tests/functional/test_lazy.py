import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import lazy


@given(st.integers(1, 700), st.integers(1, 5), st.integers(0, 10**6))
def test_finds_the_highest_and_the_lower_row_of_equals(num: int, levels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int) -> Tensor:
        return torch.randint(high, (num,), generator=generator).double()

    now = draw(levels)
    is_stale = draw(2) > 0
    values = now + is_stale * draw(3)

    def update(rows: Tensor) -> None:
        assert is_stale[rows].all()
        assert len(rows) <= lazy.BLOCK_ROWS
        assert rows.tolist() == sorted(rows.tolist())
        values[rows] = now[rows]

    expected = now.tolist()
    row, value = lazy.highest(values, is_stale, update)
    assert (row, value) == (expected.index(max(expected)), max(expected))


def test_looks_only_at_what_could_win() -> None:
    values = torch.arange(10_000).flip(0).double()
    looked_at: list[int] = []

    def update(rows: Tensor) -> None:
        looked_at.extend(rows.tolist())

    assert lazy.highest(values, torch.ones(10_000, dtype=torch.bool), update) == (0, 9999.0)
    assert looked_at == list(range(lazy.BLOCK_ROWS))
