from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import mixing
from tests import reference


class Problem(NamedTuple):
    z: Tensor
    weight: Tensor
    bias: Tensor
    labeled: Tensor
    labels: Tensor

    def in_float64(self) -> "Problem":
        z, weight, bias, labeled = (tensor.double() for tensor in self[:4])
        return Problem(z, weight, bias, labeled, self.labels)

    def anchors(self) -> Tensor:
        return mixing.anchors(self.labeled, self.labels, len(self.weight))

    def strengths(self) -> Tensor:
        logits = self.z @ self.weight.mT + self.bias
        return mixing.flip_strengths(self.z, logits, self.weight, self.anchors())

    def literal_candidates(self, epsilon: float) -> list[int]:
        """By the published procedure, in float64."""
        z, weight, bias, labeled, _ = self.in_float64()
        anchors = []
        for label in range(len(weight)):
            own = labeled[self.labels == label]
            anchors.append((own if len(own) else labeled).mean(0))
        return reference.flip_candidates(z, weight, bias, anchors, epsilon)


def draw(
    num: int = 30,
    num_labeled: int = 6,
    num_classes: int = 4,
    num_features: int = 5,
    norm: float = 1.0,
    seed: int = 0,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    offset = 2 * norm * normal(num_features)  # features that share a part, as a network's do
    return Problem(
        norm * normal(num, num_features) + offset,
        3 / norm * normal(num_classes, num_features),
        normal(num_classes),
        norm * normal(num_labeled, num_features) + offset,
        torch.randint(num_classes, (num_labeled,), generator=generator),
    )


@settings(max_examples=200)
@given(
    num=st.integers(1, 12),
    num_labeled=st.integers(1, 9),
    num_classes=st.integers(1, 6),
    num_features=st.integers(1, 8),
    norm=st.sampled_from([0.1, 1.0, 45.0, 1000.0]),
    seed=st.integers(0, 10**6),
    epsilon=st.sampled_from([0.05, 0.2, 0.6, 1.0]),
    double=st.booleans(),
)
def test_the_class_changes_where_the_published_procedure_says(
    epsilon: float, double: bool, **sizes: int | float
) -> None:
    """All but the rows whose strength is ε, to within rounding."""
    drawn = draw(**sizes)  # type: ignore[arg-type]
    if double:
        drawn = drawn.in_float64()
    strengths = drawn.strengths()
    assert strengths.dtype == drawn.z.dtype
    tolerance = 1e-10 if double else 1e-3
    literal = set(drawn.literal_candidates(epsilon))
    assert set((strengths < epsilon * (1 - tolerance)).nonzero().flatten().tolist()) <= literal
    assert set((strengths < epsilon * (1 + tolerance)).nonzero().flatten().tolist()) >= literal


def test_in_float32_the_same_rows_change() -> None:
    num_candidates = 0
    for seed in range(20):
        drawn = draw(num=50, norm=45.0, num_features=20, seed=seed)
        strengths = drawn.strengths()
        for epsilon in (0.2, 0.6, 1.0):
            literal = drawn.literal_candidates(epsilon)
            assert (strengths < epsilon).nonzero().flatten().tolist() == literal
            num_candidates += len(literal)
    assert 500 < num_candidates < 2500  # of 3000: both outcomes are common


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(num=50)
    whole = drawn.strengths()
    monkeypatch.setattr(mixing, "CHUNK_ROWS", 7)
    torch.testing.assert_close(drawn.strengths(), whole)


def test_anchors_are_means_of_classes_and_of_all() -> None:
    labeled = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 8.0]])
    labels = torch.tensor([3, 3, 1])
    expected = torch.tensor([[0.0, 8.0], [2.0, 0.0], [4 / 3, 8 / 3]])
    torch.testing.assert_close(mixing.anchors(labeled, labels, 4), expected)
    # Without a missing class, no mean of all.
    full = mixing.anchors(labeled, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(full, torch.tensor([[2.0, 0.0], [0.0, 8.0]]))
    with pytest.raises(ValueError, match="at least one labeled row"):
        mixing.anchors(labeled[:0], labels[:0], 4)


def test_a_row_at_the_only_anchor_does_not_move() -> None:
    drawn = draw(num_labeled=1)
    drawn.z[3] = drawn.labeled[0]
    assert drawn.strengths()[3] == torch.inf
    assert drawn.strengths().isfinite().sum() == len(drawn.z) - 1
    assert 3 not in drawn.literal_candidates(1.0)


def test_near_duplicates_of_the_only_anchor_hardly_move() -> None:
    """Features of norm 1000: distances by the plain expansion would err by more than theirs."""
    drawn = draw(norm=1000.0, num_labeled=1)
    drawn.z[:] = drawn.labeled + 0.01 * draw().z
    expected = drawn.in_float64().strengths()
    anchors = drawn.anchors()
    torch.testing.assert_close(
        mixing.farthest_distances(drawn.z, anchors).double(),
        torch.cdist(drawn.z.double(), anchors.double()).amax(1),
        rtol=1e-5,
        atol=0,
    )
    torch.testing.assert_close(drawn.strengths().double(), expected, rtol=1e-2, atol=0)


def test_equal_weights_change_no_class() -> None:
    drawn = draw()
    drawn.weight[:] = drawn.weight[0].clone()
    assert (drawn.strengths() == torch.inf).all()
    assert drawn.literal_candidates(1.0) == []
    one_class = draw(num_classes=1)
    assert (one_class.strengths() == torch.inf).all()


def test_two_equal_classes_do_not_change_into_each_other() -> None:
    """The logits of both are equal all along the ray, and the lower stays the best."""
    drawn = draw(num=60)
    drawn.weight[2], drawn.bias[2] = drawn.weight[1].clone(), drawn.bias[1].clone()
    strengths = drawn.strengths()
    of_both = (drawn.z @ drawn.weight.mT + drawn.bias).argmax(1) == 1
    assert of_both.any()
    assert (strengths[of_both] > 0).all()
    for epsilon in (0.2, 1.0):
        expected = drawn.literal_candidates(epsilon)
        assert (strengths < epsilon).nonzero().flatten().tolist() == expected


def test_a_part_that_all_weights_share_costs_no_digits() -> None:
    drawn = draw(num=200)
    shifted = drawn._replace(weight=drawn.weight + 100)
    exact = shifted.in_float64().strengths()
    logits = (shifted.z.double() @ shifted.weight.double().mT + shifted.bias.double()).float()
    strengths = mixing.flip_strengths(shifted.z, logits, shifted.weight, shifted.anchors())
    is_clear = exact > 0.05  # elsewhere the logits, which are given, are equal to within rounding
    torch.testing.assert_close(
        strengths[is_clear].double(), exact[is_clear], rtol=1e-2, atol=0, check_dtype=False
    )


def test_certain_rows_have_a_direction() -> None:
    """Their probabilities are 0 and 1, and the gradient vanishes; its direction does not."""
    drawn = draw()
    sure = drawn._replace(weight=1e4 * drawn.weight, bias=1e4 * drawn.bias)
    probs = (sure.z @ sure.weight.mT + sure.bias).softmax(1)
    assert (probs.amax(1) == 1).sum() > 10
    assert sure.strengths().isfinite().all()


@pytest.mark.parametrize(
    ("num", "step", "expected"),
    [
        (1, 0.2, ([0, 4], 0.2)),
        (2, 0.2, ([0, 1, 4], 0.4)),
        (3, 0.2, ([0, 1, 2, 3, 4], 0.8)),
        (3, 0.3, ([0, 1, 2, 3, 4], 0.9)),
        (3, 0.7, ([0, 1, 2, 4], 0.7)),
        (4, 0.7, ([0, 1, 2, 3, 4], 1.0)),
        (1, 1.0, ([0, 1, 2, 3, 4], 1.0)),
        (9, 0.2, ([0, 1, 2, 3, 4], 1.0)),
    ],
)
def test_epsilon_grows_until_more_rows_than_needed_change(
    num: int, step: float, expected: tuple[list[int], float]
) -> None:
    strengths = torch.tensor([0.1, 0.35, 0.6001, 0.75, 0.0, torch.inf, 1.0, 5.0])
    rows, epsilon = mixing.candidates(strengths, num, step)
    assert (rows.tolist(), epsilon) == expected
