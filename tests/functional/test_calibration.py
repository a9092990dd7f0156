import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dal.functional import calibration
from tests import reference


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(2, 5), st.sampled_from([0.1, 3.0, 30.0]), st.integers(0, 99))
def test_the_temperature_has_the_lowest_error(
    size: int, num_classes: int, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(size, num_classes, generator=generator)
    labels = torch.randint(num_classes, (size,), generator=generator)
    assert calibration.temperature(logits, labels) == reference.temperature(logits, labels)


def test_a_sure_head_that_is_often_wrong_is_cooled() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (4000,), generator=generator)
    is_right = torch.rand(4000, generator=generator) < 0.75
    predicted = torch.where(is_right, labels, 1 - labels)
    logits = 6.0 * torch.nn.functional.one_hot(predicted, 2)
    # softmax(6 / T) = 0.75 at T = 6 / log 3.
    assert calibration.temperature(logits, labels) == pytest.approx(6 / 1.0986, abs=0.4)
    assert calibration.temperature(logits, predicted) == 1.0
