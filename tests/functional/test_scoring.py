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
