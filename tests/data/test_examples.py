import pytest
import torch

from dal.data.examples import Examples, checked, checked_together
from dal.errors import DataError


def good(num: int = 6, num_features: int = 2) -> Examples:
    return Examples(torch.zeros(num, num_features), torch.arange(num) % 3)


def with_labels(*labels: float) -> Examples:
    return Examples(torch.zeros(len(labels), 2), torch.tensor(labels))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_features_are_counted_and_located(value: float) -> None:
    features = torch.zeros(40_000, 2, dtype=torch.float16)
    features[20_000, 1] = value
    features[39_999, 0] = value
    with pytest.raises(DataError, match="finite test features.* 2 of 40000 rows.* at row 20000"):
        checked(Examples(features, torch.zeros(40_000, dtype=torch.int64)), "test")


def test_finite_features_whose_sum_overflows_pass() -> None:
    examples = Examples(torch.full((8, 2), 3e38), torch.arange(8) % 2)
    assert torch.equal(checked(examples, "train").features, examples.features)


def test_a_float64_beyond_float32_is_not_finite() -> None:
    examples = Examples(torch.full((8, 2), 1e300, dtype=torch.float64), torch.arange(8) % 2)
    with pytest.raises(DataError, match="finite train features"):
        checked(examples, "train")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (Examples(torch.zeros(3, 2), torch.arange(4)), "got 3 rows of features and 4 labels"),
        (Examples(torch.zeros(3), torch.arange(3)), r"features of shape \(N, D\), got \(3,\)"),
        (
            Examples(torch.zeros(3, 2), torch.zeros(3, 1).int()),
            r"labels of shape \(N,\), got \(3, 1\)",
        ),
        (Examples(torch.zeros(2, 2), None, ["a"]), "an id for each of 2 rows.*got 1"),
        (
            Examples(torch.zeros(3, 2), None, ["a", "b", "a"]),
            "distinct train ids, got 'a' at rows 0 and 2",
        ),
        (Examples(torch.zeros(0, 2), torch.arange(0)), "at least one row"),
        (Examples(torch.zeros(3, 0), torch.arange(3)), "at least one dimension"),
        (Examples(torch.zeros(3, 2).int(), torch.arange(3)), "float16, float32 or float64, got"),
        (with_labels(0.0, 1.0), "integer train labels, got torch.float32"),
        (Examples(torch.zeros(2, 2), torch.tensor([True, False])), "integer train labels"),
        (with_labels(0, -1, 1, -7), r"got 1 others, the first at row 3 \(-7\)"),
    ],
)
def test_one_split_is_checked(examples: Examples, message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked(examples, "train")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (good(), good(num_features=3), "same dimension, got 2 and 3"),
        (with_labels(0, 1, 3), good(), "3 different labels up to 3; the first one missing is 2"),
        (with_labels(1, 2), good(), "the first one missing is 0"),
        (with_labels(0, 0), good(), "at least 2 classes"),
        (good(), with_labels(0, 3), r"test labels in \[0, 2\], as in train, got 3 at row 1"),
    ],
)
def test_two_splits_must_fit(train: Examples, test: Examples, message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked_together(train, test)


def test_any_integer_labels_become_int64() -> None:
    for dtype in (torch.uint8, torch.int16, torch.int32):
        examples = checked(Examples(torch.zeros(4, 2), torch.arange(4).to(dtype)), "train")
        assert labels_of(examples).dtype == torch.int64


def labels_of(examples: Examples) -> torch.Tensor:
    assert examples.labels is not None
    return examples.labels


def test_the_fingerprint_sees_every_value() -> None:
    examples = good()
    same = Examples(examples.features.clone(), labels_of(examples).clone())
    assert examples.fingerprint() == same.fingerprint()
    same.features[5, 1] = 1e-30
    assert examples.fingerprint() != same.fingerprint()
    other = Examples(examples.features, labels_of(examples).flip(0))
    assert examples.fingerprint() != other.fingerprint()
