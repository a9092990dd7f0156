import pytest

from dal.errors import DataError
from dal.labeling.picks import Pick, common_kind


def test_kind_is_what_people_see() -> None:
    assert common_kind([Pick(1, "a", path="a.jpg", thumbnail=b"\xff")]) == "image"
    assert common_kind([Pick(1, "a", text="")]) == "text"
    assert common_kind([Pick(1, "a"), Pick(2, "b")]) == "id"
    assert common_kind([]) == "id"


def test_several_kinds_are_refused() -> None:
    with pytest.raises(DataError, match=r"got several: id \('a'\), text \('b'\)\. Make one"):
        common_kind([Pick(1, "a"), Pick(2, "b", text="B")])
