from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import fisher, fisher_bands, fisher_pairs
from tests import reference


def draw(num: int, num_features: int, num_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num, num_features, generator=generator, dtype=torch.float64)
    logits = 2 * torch.randn(num, num_classes, generator=generator, dtype=torch.float64)
    return features, logits.softmax(1)


problems = given(st.integers(1, 9), st.integers(1, 7), st.integers(2, 5), st.integers(0, 10**6))


@problems
def test_factors_are_their_definitions(num: int, d: int, k: int, seed: int) -> None:
    _, probs = draw(num, d, k, seed)
    for c in range(1, k + 1):
        expected = torch.stack([reference.top_factor(p, c) for p in probs])
        factors = fisher.top_factors(probs, c)
        assert factors.shape == (num, k, min(c, k - 1))
        torch.testing.assert_close(factors @ factors.mT, expected @ expected.mT)
        torch.testing.assert_close(factors.sum(1), torch.zeros_like(factors[:, 0]))
    expected = torch.stack([reference.binary_factor(p) for p in probs])
    torch.testing.assert_close(fisher.binary_factors(probs), expected)


@problems
def test_the_full_factor_gives_the_fisher_information(num: int, d: int, k: int, seed: int) -> None:
    features, probs = draw(num, d, k, seed)
    expected = sum(reference.fisher(p, h) for p, h in zip(probs, features, strict=True))
    assert isinstance(expected, Tensor)
    factors = fisher.full_factors(probs)
    torch.testing.assert_close(fisher.information((features, factors)), expected)
    v = fisher.embeddings(features, factors)
    torch.testing.assert_close((v @ v.mT).sum(0), expected)
    half = num // 2
    parts = [(features[:half], factors[:half]), (features[half:], factors[half:])]
    torch.testing.assert_close(fisher.information(*parts), expected)


@problems
def test_quadratic_forms_are_those_of_the_embeddings(num: int, d: int, k: int, seed: int) -> None:
    features, probs = draw(num, d, k, seed)
    root = torch.randn(k * d, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    matrix = root @ root.mT
    untouched = matrix.clone()
    for factors in (fisher.full_factors(probs), fisher.top_factors(probs, 2)):
        v = fisher.embeddings(features, factors)
        expected = v.mT @ matrix @ v
        torch.testing.assert_close(fisher.quadratic_forms(features, factors, matrix), expected)
        of_root = fisher.quadratic_forms_of_root(features, factors, root)
        torch.testing.assert_close(of_root, expected)
    binary, square = fisher.binary_factors(probs), matrix[:d, :d].contiguous()
    v = fisher.embeddings(features, binary)
    torch.testing.assert_close(fisher.quadratic_forms(features, binary, square), v.mT @ square @ v)
    assert torch.equal(matrix, untouched)


@pytest.mark.parametrize("blocks", [fisher_pairs, fisher_bands])
@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 6), st.integers(0, 10**6))
def test_symmetric_blocks_in_both_ways(
    blocks: ModuleType, num: int, d: int, k: int, seed: int
) -> None:
    """With fewer features than a band has, with as many, and with several bands."""
    features, probs = draw(num, d, k, seed)
    factors = torch.stack([probs, 1 - probs.flip(0)], -1)  # any, (N, K, 2)
    v = fisher.embeddings(features, factors)
    total = blocks.Sum(factors, d)
    half = num // 2
    total.add(features[:half], factors[:half])
    total.add(features[half:], factors[half:])
    matrix = total.matrix()
    torch.testing.assert_close(matrix, (v @ v.mT).sum(0))
    torch.testing.assert_close(matrix, matrix.mT)
    untouched = matrix.clone()
    torch.testing.assert_close(blocks.Form(matrix, k)(features, factors), v.mT @ matrix @ v)
    assert torch.equal(matrix, untouched)


def test_many_classes_are_taken_in_pairs() -> None:
    for k in (fisher_pairs.MIN_CLASSES - 1, fisher_pairs.MIN_CLASSES):
        features, probs = draw(7, 5, k, k)
        factors = fisher.full_factors(probs)
        v = fisher.embeddings(features, factors)
        matrix = fisher.information((features, factors))
        torch.testing.assert_close(matrix, (v @ v.mT).sum(0))
        forms = fisher.quadratic_forms(features, factors, matrix)
        torch.testing.assert_close(forms, v.mT @ matrix @ v)
        is_paired = isinstance(fisher.block_form(matrix, k), fisher_pairs.Form)
        assert is_paired == (k >= fisher_pairs.MIN_CLASSES)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, probs = draw(40, 5, 3, 0)
    factors = fisher.full_factors(probs)
    matrix = fisher.information((features, factors))
    whole = matrix, fisher.quadratic_forms(features, factors, matrix)
    monkeypatch.setattr(fisher, "SCRATCH_BYTES", {"cpu": 1})
    monkeypatch.setattr(fisher, "MIN_CHUNK_ROWS", 7)
    torch.testing.assert_close(fisher.information((features, factors)), whole[0])
    torch.testing.assert_close(fisher.quadratic_forms(features, factors, matrix), whole[1])


def test_saturated_probabilities_carry_no_information() -> None:
    probs = torch.tensor([[1.0, 0.0, 0.0]])
    for factors in (
        fisher.full_factors(probs),
        fisher.top_factors(probs, 2),
        fisher.binary_factors(probs),
    ):
        assert (factors == 0).all()


@pytest.mark.parametrize("num_top", [0, 4])
def test_top_factors_refuse_what_is_not_there(num_top: int) -> None:
    with pytest.raises(ValueError, match=rf"`num_top` in \[1, 3\], got {num_top}"):
        fisher.top_factors(torch.full((2, 3), 1 / 3), num_top)
