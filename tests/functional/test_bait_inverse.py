import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import bait_inverse, fisher
from dal.functional.bait_inverse import DenseInverse, LowRankInverse
from tests.functional.random_problems import draw_at_scale, each_factor


def explicit(h: Tensor, a: Tensor, lmbda: float) -> Tensor:
    v = fisher.embeddings(h, a)
    m = lmbda * torch.eye(v.shape[1], dtype=v.dtype) + (v @ v.mT).sum(0)
    inverse: Tensor = torch.linalg.inv(m)
    return inverse


@each_factor
@pytest.mark.parametrize("norm", [1.0, 45.0])
@pytest.mark.parametrize("lmbda", [1.0, 0.3])
@pytest.mark.parametrize("is_low_rank", [True, False])
def test_both_forms_are_the_inverse(
    factor: str, norm: float, lmbda: float, is_low_rank: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bait_inverse, "is_low_rank", lambda *_: is_low_rank)
    h, a, labeled_h, labeled_a = draw_at_scale(9, 5, 7, 3, 0, norm).arguments(factor)
    inverse = bait_inverse.invert(labeled_h, labeled_a, lmbda)
    assert isinstance(inverse, LowRankInverse if is_low_rank else DenseInverse)
    expected = explicit(labeled_h, labeled_a, lmbda)
    num_classes = a.shape[1]
    if num_classes > 1 and not is_low_rank:  # without what all classes share
        centred = torch.eye(num_classes).double() - 1 / num_classes
        projection = torch.kron(centred, torch.eye(7).double())
        expected = projection @ expected @ projection
    mean = fisher.information((h, a)) / len(h)
    v = fisher.embeddings(h, a)
    columns = v.transpose(0, 1).flatten(1)
    torch.testing.assert_close(inverse.dense(), expected)
    torch.testing.assert_close(inverse.times(columns), expected @ columns)
    torch.testing.assert_close(inverse.quadratic_forms(h, a), v.mT @ expected @ v)
    torch.testing.assert_close(inverse.weighted(mean), expected @ mean @ expected)
    assert inverse.weighted(mean.float()).dtype == torch.float32
    assert inverse.quadratic_forms(h.float(), a.float()).dtype == torch.float32


@pytest.mark.parametrize("norm", [0.1, 45.0, 1000.0])
@pytest.mark.parametrize("num_classes", [3, 14])
def test_quadratic_forms_in_both_ways(norm: float, num_classes: int) -> None:
    """Neither is off by more than VᵀV, from which they are subtracted, is rounded in float32."""
    drawn = draw_at_scale(20, 6, 40, num_classes, 0, norm)
    h, a, labeled_h, labeled_a = drawn.arguments("full")
    v = fisher.embeddings(h, a)
    expected = v.mT @ (torch.eye(v.shape[1]) / 0.5 - explicit(labeled_h, labeled_a, 0.5)) @ v
    largest = (v.mT @ v / 0.5).abs().amax((1, 2), keepdim=True)
    inverse = bait_inverse.invert(labeled_h, labeled_a, 0.5)
    assert isinstance(inverse, LowRankInverse)
    for forms in (inverse._forms_by_example, inverse._forms_of_root):
        torch.testing.assert_close(forms(h, a) / largest, expected / largest, rtol=0, atol=1e-9)
        single = forms(h.float(), a.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(
            single / largest, expected / largest, rtol=0, atol=1e-5, check_dtype=False
        )


@pytest.mark.parametrize("num_labeled", [0, 1, 5, 25])
def test_forms_of_any_number_of_examples(num_labeled: int) -> None:
    h, a, labeled_h, labeled_a = draw_at_scale(9, num_labeled, 40, 3, 1, 45.0).arguments("full")
    v = fisher.embeddings(h, a)
    inverse = bait_inverse.invert(labeled_h, labeled_a, 1.0)
    assert isinstance(inverse, LowRankInverse)
    expected = v.mT @ explicit(labeled_h, labeled_a, 1.0) @ v
    torch.testing.assert_close(inverse.quadratic_forms(h, a), expected)


@each_factor
def test_inputs_in_float32_are_inverted_in_float64(factor: str) -> None:
    """The residual M M⁻¹ V − V at norm 1000 is far below what float32 could give."""
    for num in (3, 60):
        arguments = draw_at_scale(num, 0, 12, 3, 0, 1000.0).to(torch.float32).arguments(factor)
        h, a = arguments[:2]
        m = fisher.information((h.double(), a.double()))
        m.diagonal().add_(1)
        v = fisher.embeddings(h.double(), a.double())[0]
        computed = m @ bait_inverse.invert(h, a, 1.0).times(v)
        torch.testing.assert_close(computed, v, rtol=0, atol=1e-4)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_the_root_of_an_inverse(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size + 1, dtype=torch.float64, generator=generator)
    matrix = root @ root.mT + 0.1 * torch.eye(size).double()
    untouched = matrix.clone()
    g = bait_inverse.inverse_root(matrix)
    torch.testing.assert_close(g @ g.mT, torch.linalg.inv(matrix))
    assert torch.equal(matrix, untouched)


def test_what_rounding_made_indefinite_has_a_factor() -> None:
    v = torch.tensor([1e9, 2e9, -1e9], dtype=torch.float64)
    matrix = torch.eye(3, dtype=torch.float64) + torch.outer(v, v)
    assert torch.linalg.cholesky_ex(matrix - torch.eye(3) * 1e3).info > 0
    cholesky = bait_inverse.positive_cholesky(matrix - torch.eye(3) * 1e3)
    assert (cholesky.diagonal() > 0).all()
    torch.testing.assert_close(cholesky @ cholesky.mT, matrix)
