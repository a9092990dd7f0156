import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import laplace
from tests import reference


@given(st.integers(0, 12), st.integers(1, 5), st.integers(2, 4), st.integers(0, 100))
def test_deviations_are_those_of_the_definition(
    num_labeled: int, num_features: int, num_classes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labeled = 45 * torch.randn(num_labeled, num_features, generator=generator)
    probs = torch.randn(num_labeled, num_classes, generator=generator).softmax(1)
    features = torch.randn(6, num_features, generator=generator)
    features[0] = 0
    factor = laplace.precision_factor(labeled, probs, 0.3)
    expected = reference.logit_deviations(features, labeled, probs, 0.3)
    found = laplace.logit_deviations(features, factor)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-7)


def test_a_prior_precision_is_positive() -> None:
    with pytest.raises(ValueError, match="`prior_precision` above 0, got -1"):
        laplace.precision_factor(torch.zeros(1, 1), torch.ones(1, 2), -1)
