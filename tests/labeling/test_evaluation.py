"""Intervals, folds and agreement."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.labeling import evaluation


@given(st.integers(1, 300), st.data())
def test_wilson_ends_solve_its_equation(num: int, data: st.DataObject) -> None:
    num_right = data.draw(st.integers(0, num))
    found = evaluation.audit(num_right, num)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    for end in (found.low, found.high):
        # Where the observed share is exactly z standard errors of that end away from it.
        error = math.sqrt(end * (1 - end) / num)
        assert abs(found.accuracy - end) == pytest.approx(evaluation.Z * error, abs=1e-9)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(2, 6))
def test_folds_are_stratified(labels: list[int], num: int) -> None:
    given_labels = torch.tensor(labels)
    found = evaluation.folds(given_labels, torch.Generator().manual_seed(0), num)
    for label in set(labels):
        own = found[given_labels == label]
        if len(own) == 1:
            assert own.tolist() == [-1]
            continue
        counts = torch.bincount(own, minlength=num)
        assert counts.max() - counts.min() <= 1
        assert own.min() >= 0
    sizes = torch.bincount(found[found >= 0], minlength=num)
    assert sizes.max() - sizes.min() <= 1
