"""In float32 every form of BAIT reaches what it reaches in float64, on features of any scale."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import bait, bait_diagonal, bait_objective, fisher
from dal.functional.bait_objective import Hyperparameters, Selection
from tests.functional.random_problems import RandomProblem, draw_at_scale, each_factor


def objective(drawn: RandomProblem, factor: str, positions: Tensor, reduction: str) -> float:
    """tr(M⁻¹F) with these candidates in M, in float64."""
    num, num_labeled = len(positions), len(drawn.labeled_features)
    h, a, labeled_h, labeled_a = drawn.arguments(factor)
    mean = fisher.information((h, a), (labeled_h, labeled_a)) / (len(h) + num_labeled)
    weight = Hyperparameters(fisher_reduction=reduction).labeled_weight(num_labeled, num)
    scale = (num / (num_labeled + num)) ** 0.5
    m = fisher.information(
        (labeled_h, labeled_a * weight**0.5), (h[positions], a[positions] * scale)
    )
    m.diagonal().add_(1)
    return float(torch.linalg.solve(m, mean).trace())


@each_factor
@pytest.mark.parametrize(
    ("norm", "num_labeled", "num"),
    [(0.3, 20, 20), (45.0, 10, 10), (45.0, 60, 60), (450.0, 10, 10), (1000.0, 60, 40)],
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_float32_selects_what_float64_selects(
    factor: str, norm: float, num_labeled: int, num: int, reduction: str
) -> None:
    drawn = draw_at_scale(300, num_labeled, 24, 3, 0, norm)
    hyperparameters = Hyperparameters(fisher_reduction=reduction)
    expected = bait.select(*drawn.arguments(factor), num, hyperparameters)
    selection = bait.select(*drawn.to(torch.float32).arguments(factor), num, hyperparameters)
    assert torch.equal(selection.positions, expected.positions)
    assert selection.gains.dtype == torch.float32
    torch.testing.assert_close(selection.gains.double(), expected.gains, rtol=1e-3, atol=0)


@each_factor
@settings(max_examples=40)
@given(
    num=st.integers(40, 100),
    num_labeled=st.integers(0, 60),
    batch=st.integers(1, 30),
    num_features=st.integers(2, 30),
    num_classes=st.integers(2, 5),
    seed=st.integers(0, 10**6),
    magnitude=st.floats(-1, 3),
    reduction=st.sampled_from(["mean", "sum"]),
)
def test_float32_reaches_the_objective_of_float64(
    factor: str,
    num: int,
    num_labeled: int,
    batch: int,
    num_features: int,
    num_classes: int,
    seed: int,
    magnitude: float,
    reduction: str,
) -> None:
    drawn = draw_at_scale(num, num_labeled, num_features, num_classes, seed, 10**magnitude)
    hyperparameters = Hyperparameters(fisher_reduction=reduction)
    single, double = (
        bait.select(*drawn.to(dtype).arguments(factor), batch, hyperparameters).positions
        for dtype in (torch.float32, torch.float64)
    )
    ratio = objective(drawn, factor, single, reduction) / objective(
        drawn, factor, double, reduction
    )
    assert ratio == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("norm", [0.3, 45.0, 1000.0])
@pytest.mark.parametrize("select", [bait_diagonal.select, bait_diagonal.select_full_rank])
def test_diagonal_float32_selects_what_float64_selects(
    norm: float, select: Callable[..., Selection]
) -> None:
    drawn = draw_at_scale(600, 50, 64, 5, 0, norm)
    expected = select(*drawn, 50)
    selection = select(*drawn.to(torch.float32), 50)
    assert torch.equal(selection.positions, expected.positions)


@pytest.mark.parametrize("seed", range(2))
def test_many_steps_of_the_default_strategy(seed: int) -> None:
    """The size at which P and Q of all candidates drift, and have to be computed again."""
    drawn = draw_at_scale(2500, 200, 96, 5, seed, 45.0)
    expected = bait.select(*drawn.arguments("binary"), 200).positions
    selection = bait.select(*drawn.to(torch.float32).arguments("binary"), 200)
    assert torch.equal(selection.positions, expected)


@each_factor
def test_terms_are_computed_again_before_they_are_wrong(
    factor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest error of the gains of the best, after many steps, with and without."""
    drawn = draw_at_scale(400, 20, 24, 3, 1, 450.0)

    def error() -> float:
        problem = bait_objective.problem(*drawn.to(torch.float32).arguments(factor), 60)
        search = bait._ForwardPass(problem, 120)
        while len(search.positions) < 120:
            search.advance(120 - len(search.positions))
        positions, gains = search._best(20)
        exact = search.updates.exact_terms(problem.embeddings(positions)).gains
        return float((gains / exact - 1).abs().max())

    assert error() < 0.02
    monkeypatch.setattr(bait, "ERROR_LIMIT", torch.inf)
    assert error() > 0.05


@each_factor
@pytest.mark.parametrize("norm", [4e3, 1e6, 1e9])
def test_no_scale_is_too_large(factor: str, norm: float) -> None:
    """Far beyond what any digits resolve, a batch comes back all the same."""
    for seed in range(4):
        drawn = draw_at_scale(60, 8, 12, 4, seed, norm)
        for dtype in (torch.float32, torch.float64):
            positions = bait.select(*drawn.to(dtype).arguments(factor), 8).positions
            assert len(positions.unique()) == 8
