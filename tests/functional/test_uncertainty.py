import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import uncertainty
from tests import reference


@given(st.integers(0, 20), st.integers(2, 9), st.integers(0, 1000))
def test_agree_with_their_definitions(num_rows: int, num_classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 20 * torch.randn(num_rows, num_classes, generator=generator, dtype=torch.float64)
    probs = logits.softmax(-1)
    for name in ("margin", "entropy", "least_confidence"):
        expected = torch.tensor(getattr(reference, name)(probs), dtype=torch.float64)
        torch.testing.assert_close(getattr(uncertainty, name)(probs), expected)


def test_extremes() -> None:
    sure, unsure = torch.tensor([1.0, 0.0, 0.0]), torch.full((3,), 1 / 3)
    assert uncertainty.margin(sure) == 1
    assert uncertainty.margin(unsure) == 0
    assert uncertainty.entropy(sure) == 0
    torch.testing.assert_close(uncertainty.entropy(unsure), torch.tensor(3.0).log())
    assert uncertainty.least_confidence(sure) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keep_the_dtype(dtype: torch.dtype) -> None:
    probs = torch.full((4, 2), 0.5, dtype=dtype)
    for score in (uncertainty.margin, uncertainty.entropy, uncertainty.least_confidence):
        assert score(probs).dtype == dtype


def test_margin_needs_two_classes() -> None:
    with pytest.raises(ValueError, match=r"at least 2 classes, got \(3, 1\)"):
        uncertainty.margin(torch.ones(3, 1))
