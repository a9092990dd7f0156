"""The dual form of BAIT selects what the primal form and explicit matrices select."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import bait, bait_dual
from dal.functional.bait_objective import Hyperparameters
from tests import reference
from tests.functional import peaks
from tests.functional.random_problems import (
    RandomProblem,
    draw,
    draw_at_scale,
    each_factor,
    problems,
)
from tests.functional.test_bait_precision import objective


@each_factor
@settings(max_examples=150)
@given(drawn=problems, num=st.integers(1, 4), reduction=st.sampled_from(["mean", "sum"]))
def test_selects_what_explicit_matrices_select(
    factor: str, drawn: RandomProblem, num: int, reduction: str
) -> None:
    twin = reference.Bait(*drawn.informations(factor), num, reduction=reduction)
    selection = bait_dual.select(
        *drawn.arguments(factor), num, Hyperparameters(fisher_reduction=reduction)
    )
    expected = twin.select()
    assert selection.positions.tolist() == list(expected)
    assert selection.gains.tolist() == pytest.approx(list(expected.values()), rel=1e-6, abs=1e-9)


def shuffled_copies(drawn: RandomProblem, seed: int) -> RandomProblem:
    """The same pool with some rows twice, and some of zeros."""
    num = len(drawn.features)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(num, (num + num // 3,), generator=generator)
    features, probs = drawn.features[rows], drawn.probs[rows]
    features[::7] = 0
    return drawn._replace(features=features, probs=probs)


def originals(drawn: RandomProblem, positions: Tensor) -> list[int]:
    """The first of the rows that equal each of some rows, ascending."""
    _, inverse = torch.cat([drawn.features, drawn.probs], 1).unique(dim=0, return_inverse=True)
    return sorted(inverse[positions].tolist())


@settings(max_examples=80)
@given(
    factor=st.sampled_from(["exp", "exp", "full"]),
    num_rows=st.integers(5, 80),
    num_labeled=st.integers(0, 30),
    num=st.integers(1, 25),
    shape=st.sampled_from([(12, 2), (8, 3), (6, 5), (4, 10), (2, 100)]),
    seed=st.integers(0, 10**6),
    magnitude=st.floats(-1, 3),
    reduction=st.sampled_from(["mean", "sum"]),
    has_copies=st.booleans(),
)
def test_float32_selects_what_the_primal_form_selects(
    factor: str,
    num_rows: int,
    num_labeled: int,
    num: int,
    shape: tuple[int, int],
    seed: int,
    magnitude: float,
    reduction: str,
    has_copies: bool,
) -> None:
    """Of rows that are equal any, or else a batch that is as good."""
    num_features, num_classes = shape
    if factor == "full":  # of rank K − 1
        num_classes = min(num_classes, 5)
    drawn = draw_at_scale(num_rows, num_labeled, num_features, num_classes, seed, 10**magnitude)
    if has_copies:
        drawn = shuffled_copies(drawn, seed)
    num = min(num, num_rows)
    hyperparameters = Hyperparameters(fisher_reduction=reduction)
    expected = bait.select(*drawn.arguments(factor), num, hyperparameters).positions
    selection = bait_dual.select(*drawn.to(torch.float32).arguments(factor), num, hyperparameters)
    assert selection.gains.dtype == torch.float32
    if originals(drawn, selection.positions) != originals(drawn, expected):
        ratio = objective(drawn, factor, selection.positions, reduction) / objective(
            drawn, factor, expected, reduction
        )
        assert ratio == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("factor", ["exp", "full"])
@pytest.mark.parametrize(
    ("norm", "num_labeled", "num"), [(0.3, 20, 20), (45.0, 60, 60), (1000.0, 0, 40)]
)
def test_float32_selects_the_same_batch(
    factor: str, norm: float, num_labeled: int, num: int
) -> None:
    drawn = draw_at_scale(300, num_labeled, 24, 3, 0, norm)
    expected = bait.select(*drawn.arguments(factor), num)
    selection = bait_dual.select(*drawn.to(torch.float32).arguments(factor), num)
    assert torch.equal(selection.positions, expected.positions)
    torch.testing.assert_close(selection.gains.double(), expected.gains, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HISTORY_COLUMNS", 6),  # absorbed every three steps
        ("BATCH_COLUMNS", 2),  # columns of C² one candidate at a time
        ("BATCH_COLUMNS", 400),  # and of all at once
        ("BLOCK_COLUMNS", 14),
        ("ERROR_LIMIT", -1),  # all terms computed again before every step
    ],
)
def test_no_constant_changes_the_selection(
    name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = draw_at_scale(120, 12, 16, 6, 1, 45.0).arguments("exp")
    expected = bait_dual.select(*arguments, 20)
    monkeypatch.setattr(bait_dual, name, value)
    selection = bait_dual.select(*arguments, 20)
    assert torch.equal(selection.positions, expected.positions)
    torch.testing.assert_close(selection.gains, expected.gains)


def test_covariances_are_those_of_an_explicit_inverse() -> None:
    drawn = draw(7, 4, 3, 3, 0)
    h, a, labeled_h, labeled_a = drawn.arguments("exp")
    h, a = torch.cat([h, labeled_h]), torch.cat([a, labeled_a])
    problem = bait_dual.Problem(h, a, 7, lmbda=0.5, labeled_weight=3.0, density=1.0)
    v = torch.cat([torch.kron(x, y[:, None]) for x, y in zip(a, h, strict=True)], 1)  # (KD, n·r)
    z = v[:, 14:]
    m = 0.5 * torch.eye(len(v)).double() + 3 * z @ z.mT
    torch.testing.assert_close(
        bait_dual.covariances(problem), v.mT @ torch.linalg.solve(m, v[:, :14])
    )


@pytest.mark.parametrize(("num", "oversample"), [(9, 2), (5, 2), (1, 9), (3, 1)])
def test_a_batch_of_any_size(num: int, oversample: int) -> None:
    drawn = draw(9, 2, 3, 3, 0)
    selection = bait_dual.select(
        *drawn.arguments("exp"), num, Hyperparameters(oversample=oversample)
    )
    expected = reference.Bait(*drawn.informations("exp"), num).select(oversample)
    assert selection.positions.tolist() == list(expected)


@pytest.mark.parametrize("norm", [4e3, 1e6, 1e9])
def test_no_scale_is_too_large(norm: float) -> None:
    for seed in range(4):
        drawn = draw_at_scale(60, 8, 12, 4, seed, norm)
        for dtype in (torch.float32, torch.float64):
            positions = bait_dual.select(*drawn.to(dtype).arguments("exp"), 8).positions
            assert len(positions.unique()) == 8


@pytest.mark.parametrize("num", [0, 10])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 9\], got {num}"):
        bait_dual.select(*draw(9, 2, 3, 3, 0).arguments("exp"), num)


MEASURE_PEAKS = """
import os
import torch
from dal.functional import bait, bait_cost, bait_dual, fisher
from dal.runtime import devices
torch.set_num_threads(1)
cpu = torch.device("cpu")

def problem(num, num_features, num_classes, num_labeled):
    h = torch.randn(num + num_labeled, num_features)
    a = fisher.top_factors((h @ torch.randn(num_features, num_classes)).softmax(1), 2)
    return h[num_labeled:], a[num_labeled:], h[:num_labeled], a[:num_labeled]

def share(num_pool, num_features, num_classes, num_labeled, num):
    bait_dual.select(*problem(300, 8, 3, 4), 2)  # what the first call alone takes
    before = devices.peak_bytes(cpu)
    bait_dual.select(*problem(num_pool, num_features, num_classes, num_labeled), num)
    sizes = bait_cost.Sizes(num_pool, num_features, num_classes, 2, num_labeled, num)
    scratch = bait.NUM_CHUNKS * fisher.scratch_bytes(cpu)
    return (devices.peak_bytes(cpu) - before) / (bait_cost.dual_bytes(sizes, 4) + scratch)

CASES = (
    (2500, 16, 10, 20, 4),  # the covariances
    (1500, 16, 10, 1000, 4),  # the labeled examples
    (1000, 16, 10, 20, 300),  # the backward pass
    (1500, 16, 3000, 20, 4),  # the factors
)
"""


@pytest.mark.long
def test_the_memory_that_is_stated_is_what_is_taken() -> None:
    peaks.check(MEASURE_PEAKS, num_cases=4)
