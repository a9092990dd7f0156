import pytest
import torch

from dal.functional import bait_objective, bait_updates
from dal.functional.bait_updates import Updates


@pytest.mark.parametrize("dense_size", [0, 512])
def test_steps_are_taken_back_over_what_the_matrix_includes(
    dense_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bait_updates, "DENSE_SIZE", dense_size)
    monkeypatch.setattr(bait_updates, "PENDING_STEPS", 4)
    generator = torch.Generator().manual_seed(0)
    h, a = (torch.rand(30, *size, generator=generator).double() for size in ((5,), (1, 1)))
    problem = bait_objective.problem(h, a, h[:3], a[:3], num=10)
    updates = Updates(problem, problem.invert(torch.tensor([], dtype=torch.long)), max_steps=30)
    in_m: list[int] = []
    for num_added, num_undone in ((6, 1), (3, 5), (9, 9), (10, 2)):
        for row in range(len(in_m), len(in_m) + num_added):
            rows = torch.tensor([row])
            updates.append(updates.exact_terms(problem.embeddings(rows)), 0)
            in_m.append(row)
        updates.undo(num_undone)
        del in_m[len(in_m) - num_undone :]
        expected = problem.invert(torch.tensor(in_m)).dense()
        torch.testing.assert_close(updates.times(torch.eye(5).double()), expected)
