"""Falcun against its plain definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import falcun, sharding
from tests import reference


def drawn_probs(num_rows: int, num_classes: int, seed: int, scale: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(3, num_classes, generator=generator)
    return (scale * torch.randn(num_rows, 3, generator=generator) @ weights).softmax(1)


def check(probs: Tensor, num: int, seed: int, gamma: float = 10.0) -> None:
    expected = reference.falcun(probs, num, torch.Generator().manual_seed(seed), gamma)
    selected = falcun.select(probs.mT.contiguous(), num, torch.Generator().manual_seed(seed), gamma)
    assert selected.positions.tolist() == list(expected)
    relevances = torch.tensor(list(expected.values()), dtype=torch.float64)
    torch.testing.assert_close(selected.relevances, relevances, equal_nan=True)
    assert selected.num_uniform == int(relevances.isnan().sum())


@given(
    st.integers(1, 25),
    st.integers(2, 40),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 3.0, 30.0, 1e4]),
    st.sampled_from([0.5, 1.0, 10.0, 2000.0]),
    st.booleans(),
    st.data(),
)
def test_picks_what_its_definition_picks(
    num_rows: int,
    num_classes: int,
    seed: int,
    scale: float,
    gamma: float,
    has_copies: bool,
    data: st.DataObject,
) -> None:
    probs = drawn_probs(num_rows, num_classes, seed, scale)
    if has_copies:
        probs = torch.cat([probs, probs])
    check(probs, data.draw(st.integers(1, len(probs))), seed, gamma)


def test_chunks_and_few_classes_change_no_pick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "CHUNK_ROWS", 7)
    monkeypatch.setattr(falcun, "CHUNK_ENTRIES", 100)
    for tail in (0.0, 0.25, 1.0):  # of all classes, of some, of one
        monkeypatch.setattr(falcun, "MAX_TAIL", tail)
        for seed in range(10):
            check(drawn_probs(60, 30, seed, 2.0), 15, seed)


def test_few_distances_are_computed_from_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = drawn_probs(3000, 50, 0, 4.0).mT.contiguous()
    num_exact = 0
    minimum = torch.minimum

    def counted(first: Tensor, second: Tensor) -> Tensor:
        nonlocal num_exact
        num_exact += len(first) * (first.ndim == 1)
        return minimum(first, second)

    monkeypatch.setattr(torch, "minimum", counted)
    falcun.select(probs, 20, torch.Generator())
    assert 20 <= num_exact < 20 * 3000 / 4


def test_sure_rows_are_drawn_uniformly() -> None:
    """Without uncertainty and without a distance there is nothing to go by."""
    probs = torch.eye(3)[torch.zeros(6, dtype=torch.int64)]
    first = set()
    for seed in range(40):
        selected = falcun.select(probs.mT.contiguous(), 2, torch.Generator().manual_seed(seed))
        assert selected.num_uniform == 2
        first.add(int(selected.positions[0]))
    assert first == set(range(6))


def test_a_draw_is_of_rows_that_exist() -> None:
    with pytest.raises(ValueError, match=r"`num` in \[1, 4\], got 5"):
        falcun.select(torch.full((2, 4), 0.5), 5, torch.Generator())
