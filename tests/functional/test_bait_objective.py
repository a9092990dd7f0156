import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import bait_objective, bait_updates, fisher
from dal.functional.bait_objective import Hyperparameters, candidate_terms
from dal.functional.bait_updates import Updates
from tests import reference
from tests.functional.random_problems import (
    RandomProblem,
    draw,
    each_factor,
    problems,
    small_problems,
)

NOBODY = torch.tensor([], dtype=torch.long)


@each_factor
@pytest.mark.parametrize("num_labeled", [0, 3, 40])  # 40·r columns are more than ¾ KD
@pytest.mark.parametrize("dense_size", [0, 512])
def test_terms_are_exact_after_every_step(
    factor: str, num_labeled: int, dense_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P, Q and the gains, updated, exact and from scratch, against inverses of the present M."""
    monkeypatch.setattr(bait_updates, "DENSE_SIZE", dense_size)
    drawn = draw(30, num_labeled, 6, 3, 11)
    num = 5
    problem = bait_objective.problem(*drawn.arguments(factor), num)
    twin = reference.Bait(*drawn.informations(factor), num)
    inverse = problem.invert(NOBODY)
    terms, updates = candidate_terms(problem, inverse), Updates(problem, inverse, 2 * num)
    m = twin.m.clone()
    v = fisher.embeddings(problem.features[:], problem.factors)
    chosen: list[int] = []
    for position in range(0, 6 * num, 3):
        exact = updates.exact_terms(v[[1, position]])
        terms.apply(*updates.append(exact, 1), problem)
        chosen.append(position)
        m = m + twin.added[position]
        inverse = torch.linalg.inv(m)
        weighted_inverse = inverse @ twin.mean @ inverse
        before = twin.objective(m)
        gains = m.new_tensor([before - twin.objective(m + added) for added in twin.added])
        exact = updates.exact_terms(v)
        fresh = candidate_terms(problem, problem.invert(torch.tensor(chosen)))
        for p, q, computed in [
            (terms.p, terms.q, terms.gains()),
            (exact.p, exact.q, exact.gains),
            (fresh.p, fresh.q, fresh.gains()),
        ]:
            torch.testing.assert_close(p, v.mT @ inverse @ v, atol=1e-8, rtol=1e-8)
            torch.testing.assert_close(q, v.mT @ weighted_inverse @ v, atol=1e-8, rtol=1e-8)
            torch.testing.assert_close(computed, gains, atol=1e-8, rtol=1e-8)


@each_factor
@pytest.mark.parametrize("dense_size", [0, 512])
def test_undone_steps_leave_no_trace(
    factor: str, dense_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bait_updates, "DENSE_SIZE", dense_size)
    problem = bait_objective.problem(*draw(9, 2, 4, 3, 0).arguments(factor), 2)
    updates = Updates(problem, problem.invert(NOBODY), 3)
    everybody = problem.embeddings(slice(None))
    expected = updates.exact_terms(everybody)
    for position in (1, 2):
        u, w = updates.append(updates.exact_terms(everybody), position)
    last_u, last_w = updates.last(2)
    assert torch.equal(last_u[:, -updates.rank :], u)
    assert torch.equal(last_w[:, -updates.rank :], w)
    assert not torch.allclose(updates.exact_terms(everybody).gains, expected.gains)
    updates.undo(2)
    for computed, exact in zip(updates.exact_terms(everybody), expected, strict=True):
        torch.testing.assert_close(computed, exact)


def test_a_negative_p_is_taken_for_none() -> None:
    """Below −I there is no Cholesky factor; what rounding made negative is 0."""
    p = torch.tensor([[[3.0, 0.0], [0.0, 3.0]], [[9.0, 0.0], [0.0, -2.0]]])
    expected = torch.tensor([[[0.25, 0.0], [0.0, 0.25]], [[0.1, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(bait_objective.shifted_inverse(p), expected)
    one = torch.tensor([[[-2.0]], [[1.0]]])
    assert bait_objective.gains(one, torch.ones(2, 1, 1)).tolist() == [1.0, 0.5]


@each_factor
@given(drawn=problems)
def test_every_addition_lowers_the_objective(factor: str, drawn: RandomProblem) -> None:
    problem = bait_objective.problem(*drawn.arguments(factor), 2)
    assert (candidate_terms(problem, problem.invert(NOBODY)).gains() >= -1e-12).all()


@given(drawn=small_problems(num_classes=st.just(2)))
def test_for_two_classes_binary_is_bait_with_half_lambda(drawn: RandomProblem) -> None:
    """The full information acts along (1, −1)/√2 alone, with twice the weight of the binary one."""
    gains = []
    for factor, lmbda in (("full", 1.0), ("binary", 0.5)):
        problem = bait_objective.problem(*drawn.arguments(factor), 3, Hyperparameters(lmbda))
        gains.append(candidate_terms(problem, problem.invert(NOBODY)).gains())
    torch.testing.assert_close(*gains)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"lmbda": 0.0}, "`lmbda` above 0, got 0.0"),
        ({"oversample": 0}, "`oversample` of at least 1, got 0"),
        ({"fisher_reduction": "max"}, "`fisher_reduction` of 'mean' or 'sum', got 'max'"),
    ],
)
def test_hyperparameters_are_checked(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Hyperparameters(**kwargs)  # type: ignore[arg-type]
