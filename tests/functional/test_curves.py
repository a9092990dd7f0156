import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import curves
from tests import reference


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=20))
def test_agree_with_their_definitions(steps: list[tuple[int, float]]) -> None:
    num_labeled = torch.tensor([width for width, _ in steps]).cumsum(0)
    heights = torch.tensor([height for _, height in steps], dtype=torch.float64)
    assert curves.mean_height(heights).item() == pytest.approx(reference.mean_height(heights))
    assert curves.trapezoid(num_labeled, heights).item() == pytest.approx(
        reference.trapezoid(num_labeled, heights)
    )


def test_a_constant_curve_has_its_height_as_area() -> None:
    num_labeled = torch.tensor([10, 20, 50])
    assert curves.trapezoid(num_labeled, torch.full((3,), 0.25)) == 0.25


def test_the_mean_counts_cycles_and_the_area_labels() -> None:
    num_labeled, heights = torch.tensor([0, 1, 101]), torch.tensor([0.0, 0.0, 1.0])
    assert curves.mean_height(heights).item() == pytest.approx(1 / 3)
    assert curves.trapezoid(num_labeled, heights).item() == pytest.approx(50 / 101)


def test_refuse_what_is_no_curve() -> None:
    with pytest.raises(ValueError, match="at least one cycle"):
        curves.mean_height(torch.empty(0))
    with pytest.raises(ValueError, match="to increase"):
        curves.trapezoid(torch.tensor([10, 10]), torch.zeros(2))
    with pytest.raises(ValueError, match="C >= 1"):
        curves.trapezoid(torch.tensor([10]), torch.zeros(2))
