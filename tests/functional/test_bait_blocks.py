import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dal.functional import bait_blocks, bait_rank_one
from dal.functional.bait_blocks import Candidates
from dal.functional.bait_objective import CandidateTerms, Problem


@settings(max_examples=200)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 10**6), st.data())
def test_takes_the_steps_that_no_candidate_outside_beats(
    size: int, num_steps: int, seed: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    h, u, w = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((size, 3), (3, num_steps), (3, num_steps))
    )
    scale, p, q, chosen = (
        torch.rand(shape, generator=generator, dtype=torch.float64)
        for shape in (size, size, size, num_steps)
    )
    chosen *= data.draw(st.sampled_from([0.3, 3.0, 100.0]))
    is_outside = torch.rand(size, generator=generator) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    next_best = is_outside.nonzero().flatten()[: data.draw(st.integers(0, size))]
    empty = h.new_zeros(0, 3)
    problem = Problem(h, scale[:, None, None], empty, empty[:, :1, None], torch.eye(3), 1.0)
    terms = CandidateTerms(p.clone()[:, None, None], q.clone()[:, None, None], p, q)
    first = Candidates(problem.take(next_best), terms.take(next_best), is_outside[next_best])
    margin = data.draw(st.sampled_from([0.0, 0.1]))

    x, y = scale[:, None] * (h @ u), scale[:, None] * (h @ w)
    expected = num_steps
    for step in reversed(range(1, num_steps)):
        for row in range(size):
            p_now = p[row] * (1 - margin) - x[row, :step].square().sum()
            q_now = q[row] * (1 + margin) - 2 * (x[row, :step] * y[row, :step]).sum()
            if is_outside[row] and q_now / (1 + p_now.clamp_min(0)) > chosen[step]:
                expected = step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bait_rank_one, "CHUNK_ROWS", {"cpu": data.draw(st.sampled_from([1, 7, 64]))})
        patch.setattr(bait_blocks, "GROUP_STEPS", data.draw(st.sampled_from([1, 3, 8])))
        patch.setattr(bait_blocks, "FEW_RIVALS", data.draw(st.sampled_from([0, 16, 10**6])))
        everybody = Candidates(problem, terms, is_outside)
        num_valid = bait_blocks.apply_valid(everybody, first, u, w, chosen, margin)
    assert num_valid == expected
    x, y = x[:, :num_valid], y[:, :num_valid]
    torch.testing.assert_close(terms.p.flatten(), p - x.square().sum(1))
    torch.testing.assert_close(terms.q.flatten(), q - 2 * (x * y).sum(1))
