from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dal.functional import bait_diagonal
from dal.functional.bait_objective import Hyperparameters, Selection
from tests import reference
from tests.functional.random_problems import RandomProblem, draw, problems


@settings(max_examples=150)
@given(drawn=problems, num=st.integers(1, 4), reduction=st.sampled_from(["mean", "sum"]))
def test_selects_what_explicit_matrices_select(
    drawn: RandomProblem, num: int, reduction: str
) -> None:
    hyperparameters = Hyperparameters(fisher_reduction=reduction)
    selection = bait_diagonal.select(*drawn, num, hyperparameters)
    twin = reference.DiagonalBait(*drawn.informations("full"), num, reduction=reduction)
    expected = twin.select()
    assert selection.positions.tolist() == list(expected)
    assert selection.gains.tolist() == pytest.approx(list(expected.values()), rel=1e-6, abs=1e-9)


@settings(max_examples=150)
@given(drawn=problems, num=st.integers(1, 4), reduction=st.sampled_from(["mean", "sum"]))
def test_full_rank_selects_what_explicit_matrices_select(
    drawn: RandomProblem, num: int, reduction: str
) -> None:
    hyperparameters = Hyperparameters(fisher_reduction=reduction)
    selection = bait_diagonal.select_full_rank(*drawn, num, hyperparameters)
    v = [
        reference.embedding(h, reference.full_factor(p))
        for h, p in zip(drawn.features, drawn.probs, strict=True)
    ]
    twin = reference.PublishedDiagonalBait(*drawn.informations("full"), v, num, reduction)
    expected = twin.select()
    assert selection.positions.tolist() == list(expected)
    assert selection.gains.tolist() == pytest.approx(list(expected.values()), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_float32_selects_the_same(seed: int) -> None:
    drawn = draw(300, 10, 12, 4, seed, scale=1.0)
    expected = bait_diagonal.select(*drawn, 5)
    selection = bait_diagonal.select(*drawn.to(torch.float32), 5)
    assert torch.equal(selection.positions, expected.positions)
    assert selection.gains.dtype == torch.float32
    torch.testing.assert_close(selection.gains.double(), expected.gains, rtol=1e-3, atol=1e-6)


def test_chunks_and_few_refreshed_bounds_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(60, 5, 6, 3, 3)
    whole = bait_diagonal.select(*drawn, 6)
    monkeypatch.setattr(bait_diagonal, "SCRATCH_BYTES", {"cpu": 1})
    monkeypatch.setattr(bait_diagonal, "NUM_REFRESHED", 3)
    chunked = bait_diagonal.select(*drawn, 6)
    assert torch.equal(chunked.positions, whole.positions)
    torch.testing.assert_close(chunked.gains, whole.gains)


@pytest.mark.parametrize(("num", "oversample"), [(9, 2), (5, 2), (1, 9), (3, 1)])
def test_a_batch_of_any_size(num: int, oversample: int) -> None:
    drawn = draw(9, 2, 3, 3, 0)
    selection = bait_diagonal.select(*drawn, num, Hyperparameters(oversample=oversample))
    expected = reference.DiagonalBait(*drawn.informations("full"), num).select(oversample)
    assert selection.positions.tolist() == list(expected)
    assert selection.gains.tolist() == pytest.approx(list(expected.values()))


@pytest.mark.parametrize("num", [0, 10])
@pytest.mark.parametrize("select", [bait_diagonal.select, bait_diagonal.select_full_rank])
def test_refuses_more_than_there_is(num: int, select: Callable[..., Selection]) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 9\], got {num}"):
        select(*draw(9, 2, 3, 3, 0), num)
