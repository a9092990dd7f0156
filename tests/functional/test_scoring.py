import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.functional import scoring
from tests import reference


@given(st.integers(1, 20), st.integers(2, 9), st.integers(0, 1000))
def test_brier_agrees_with_its_definition(num_rows: int, num_classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(num_rows, num_classes, generator=generator, dtype=torch.float64)
    probs /= probs.sum(1, keepdim=True)
    labels = torch.randint(num_classes, (num_rows,), generator=generator)
    expected = torch.tensor(reference.brier(probs, labels), dtype=torch.float64)
    torch.testing.assert_close(scoring.brier(probs, labels), expected)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_calibration_error_agrees_with_its_definition_over_many_rows(num_classes: int) -> None:
    """In 20,000 rows, in chunks; sums in float32 are off by up to 7e-6."""
    generator = torch.Generator().manual_seed(num_classes)
    probs = (3 * torch.randn(20_000, num_classes, generator=generator)).softmax(1)
    probs[:50] = torch.eye(num_classes)[0]  # certain
    labels = torch.randint(num_classes, (20_000,), generator=generator)
    parts = zip(probs.split(3_000), labels.split(3_000), strict=True)
    sums = torch.stack([scoring.calibration_sums(*part, 15) for part in parts]).sum(0)

    confidences, predicted = probs.double().numpy().max(1), probs.numpy().argmax(1)
    is_right = predicted == labels.numpy()
    error = 0.0
    for lower in range(15):
        inside = (confidences > lower / 15) & (confidences <= (lower + 1) / 15)
        if inside.any():
            gap = abs(np.mean(is_right[inside]) - np.mean(confidences[inside]))
            error += inside.mean() * gap
    assert float(scoring.calibration_error(sums)) == pytest.approx(error, abs=1e-12)
