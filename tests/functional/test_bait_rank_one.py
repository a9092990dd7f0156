import pytest
import torch

from dal.functional import bait_objective, bait_rank_one
from tests.functional.random_problems import draw_at_scale


@pytest.mark.parametrize("norm", [0.1, 45.0, 1000.0])
@pytest.mark.parametrize("num_labeled", [0, 10, 60])
def test_float32_keeps_the_digits_of_small_terms(norm: float, num_labeled: int) -> None:
    drawn = draw_at_scale(300, num_labeled, 24, 3, 0, norm)
    problem = bait_objective.problem(*drawn.arguments("binary"), 20)
    inverse = problem.invert(torch.arange(0, 300, 5)).dense()
    v = problem.factors[:, 0] * drawn.features
    p, q = v @ inverse * v, v @ inverse @ problem.mean_information @ inverse * v
    found = bait_rank_one.terms(
        drawn.features.float(), problem.factors.float(), inverse, problem.mean_information.float()
    )
    for terms, expected in zip(found, (p.sum(1), q.sum(1)), strict=True):
        error = (terms.flatten().double() - expected).abs() / expected
        assert error.max() < 1e-4
