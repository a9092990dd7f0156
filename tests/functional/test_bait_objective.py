import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import bait_objective, fisher
from dal.functional.bait_objective import Hyperparameters, Updates
from tests import reference
from tests.functional.random_problems import (
    RandomProblem,
    draw,
    each_factor,
    problems,
    small_problems,
)


@each_factor
@pytest.mark.parametrize("num_labeled", [0, 3, 40])  # 40·r columns are more than KD / 2
def test_terms_are_exact_after_every_step(factor: str, num_labeled: int) -> None:
    """P, Q and the changes, against inverses of the present M, forward and backward."""
    drawn = draw(30, num_labeled, 6, 3, 11)
    num = 5
    problem = bait_objective.problem(*drawn.arguments(factor), num)
    twin = reference.Bait(*drawn.informations(factor), num)
    terms, updates = bait_objective.candidate_terms(problem), Updates(problem, 3 * num)
    m = twin.m.clone()
    v = fisher.embeddings(problem.features, problem.factors)
    chosen = [(3 * step) % 30 for step in range(2 * num)]
    steps = [(position, 1) for position in chosen] + [(position, -1) for position in chosen[::2]]
    for position, sign in steps:
        update = updates.next(position, terms.p[position], terms.q[position], sign)
        terms.apply(update, problem)
        updates.append(update)
        m = m + sign * twin.added[position]
        inverse = torch.linalg.inv(m)
        weighted_inverse = inverse @ twin.mean @ inverse
        before = twin.objective(m)
        gains = m.new_tensor([before - twin.objective(m + added) for added in twin.added])
        for computed, expected in [
            (terms.p, v.mT @ inverse @ v),
            (terms.q, v.mT @ weighted_inverse @ v),
            (terms.changes(1), gains),
        ]:
            torch.testing.assert_close(computed, expected, atol=1e-8, rtol=1e-8)


@each_factor
def test_undone_steps_leave_no_trace(factor: str) -> None:
    problem = bait_objective.problem(*draw(9, 2, 4, 3, 0).arguments(factor), 2)
    terms, updates = bait_objective.candidate_terms(problem), Updates(problem, 3)
    arguments = (5, terms.p[5], terms.q[5], 1)
    expected = updates.next(*arguments)
    for position in (1, 2):
        updates.append(updates.next(position, terms.p[position], terms.q[position], 1))
    u, w = updates.last(2)
    assert u.shape == w.shape == (len(problem.weighted_inverse), 2 * updates.rank)
    assert not torch.equal(updates.next(*arguments).u, expected.u)
    updates.undo(2)
    assert torch.equal(updates.next(*arguments).u, expected.u)
    assert torch.equal(updates.next(*arguments).w, expected.w)


@each_factor
@given(drawn=problems)
def test_every_addition_lowers_the_objective(factor: str, drawn: RandomProblem) -> None:
    problem = bait_objective.problem(*drawn.arguments(factor), 2)
    assert (bait_objective.candidate_terms(problem).changes(1) >= -1e-12).all()


@given(drawn=small_problems(num_classes=st.just(2)))
def test_for_two_classes_binary_is_bait_with_half_lambda(drawn: RandomProblem) -> None:
    """The full information acts along (1, −1)/√2 alone, with twice the weight of the binary one."""
    changes = []
    for factor, lmbda in (("full", 1.0), ("binary", 0.5)):
        problem = bait_objective.problem(*drawn.arguments(factor), 3, Hyperparameters(lmbda))
        changes.append(bait_objective.candidate_terms(problem).changes(1))
    torch.testing.assert_close(*changes)


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
