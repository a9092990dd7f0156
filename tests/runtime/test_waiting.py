import os

import pytest

from dal.runtime import waiting


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": waiting.SPIN_COUNT}),
        (
            {"OMP_WAIT_POLICY": "passive"},
            {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": waiting.SPIN_COUNT},
        ),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "0"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}),
    ],
)
def test_what_the_user_says_is_kept(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    waiting.wait_briefly()
    assert os.environ == expected
