import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import ranking
from tests import reference


@given(st.lists(st.integers(-3, 3), max_size=30), st.data())
def test_lowest_and_highest_with_ties(values: list[int], data: st.DataObject) -> None:
    num = data.draw(st.integers(0, len(values)))
    scores = torch.tensor(values, dtype=torch.float64)
    assert ranking.lowest(scores, num).tolist() == reference.lowest(scores, num)
    assert ranking.highest(scores, num).tolist() == reference.lowest(-scores, num)


@pytest.mark.parametrize("num", [-1, 4])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[0, 3\], got {num}"):
        ranking.lowest(torch.zeros(3), num)
