import pytest
import torch

from dal.functional import bait_backward, bait_objective
from tests import reference
from tests.functional.random_problems import RandomProblem, draw, draw_at_scale, each_factor


def removed_one_by_one(drawn: RandomProblem, factor: str, num: int, chosen: list[int]) -> list[int]:
    """From explicit matrices, what is left of the chosen."""
    twin = reference.Bait(*drawn.informations(factor), num)
    left = list(chosen)
    m = twin.m + torch.stack([twin.added[i] for i in left]).sum(0)
    while len(left) > num:
        least = min(left, key=lambda i: twin.objective(m - twin.added[i]))
        left.remove(least)
        m = m - twin.added[least]
    return left


@each_factor
@pytest.mark.parametrize("num_labeled", [0, 4, 30])
@pytest.mark.parametrize("num", [1, 5, 12])
@pytest.mark.parametrize("pending", [1, 4, 32])
def test_removes_what_explicit_matrices_remove(
    factor: str, num_labeled: int, num: int, pending: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bait_backward, "PENDING_STEPS", pending)
    for drawn in (draw(30, num_labeled, 5, 3, 2), draw_at_scale(30, num_labeled, 5, 3, 2, 10.0)):
        chosen = torch.arange(0, 24, 2)
        problem = bait_objective.problem(*drawn.arguments(factor), num)
        inverse = problem.invert(chosen[:0])
        is_kept = bait_backward.survivors(problem.take(chosen), inverse, num)
        expected = removed_one_by_one(drawn, factor, num, chosen.tolist())
        assert chosen[is_kept].tolist() == expected


def test_equal_losses_remove_the_first() -> None:
    h, a = torch.eye(3, dtype=torch.float64), torch.ones(3, 1, 1, dtype=torch.float64)
    problem = bait_objective.problem(h, a, h[:0], a[:0], 1)
    nobody = torch.tensor([], dtype=torch.long)
    is_kept = bait_backward.survivors(problem, problem.invert(nobody), 1)
    assert is_kept.tolist() == [False, False, True]


@pytest.mark.parametrize("norm", [3.0, 10.0, 100.0])
def test_of_two_equal_candidates_the_first_is_removed(norm: float) -> None:
    drawn = draw_at_scale(80, 20, 12, 3, 0, norm)
    drawn.features[40:], drawn.probs[40:] = drawn.features[:40].clone(), drawn.probs[:40].clone()
    problem = bait_objective.problem(*drawn.arguments("binary"), 40)
    nobody = torch.tensor([], dtype=torch.long)
    is_kept = bait_backward.survivors(problem, problem.invert(nobody), 40)
    first, second = is_kept[:40], is_kept[40:]
    assert (first != second).any()
    assert not (first & ~second).any()


@pytest.mark.parametrize("rank", [1, 2])
def test_what_no_digit_resolves_is_never_removed(rank: int) -> None:
    n = torch.stack([torch.eye(rank), -1e-17 * torch.eye(rank)]).double()
    losses = bait_backward._losses(n, torch.ones(2, rank, rank).double())
    assert losses.tolist() == [rank, torch.inf]
