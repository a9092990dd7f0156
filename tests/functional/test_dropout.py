import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import dropout
from tests import reference
from tests.functional.test_clustering import points


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 30))
def test_bytes_do_not_depend_on_how_rows_are_drawn(sizes: list[int], num_bytes: int) -> None:
    at_once, in_parts = generator(), generator()
    whole = dropout.random_bytes(sum(sizes), num_bytes, at_once)
    parts = [dropout.random_bytes(size, num_bytes, in_parts) for size in sizes]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(at_once.get_state(), in_parts.get_state())


def test_bytes_are_uniform_and_independent() -> None:
    drawn = dropout.random_bytes(50_000, 16, generator())
    counts = drawn.flatten().bincount(minlength=256)
    # Of 800,000 in each of 256 bins, 3125 ± 56.
    assert ((counts - 3125).abs() < 5 * 56).all()
    correlations = drawn.double().T.corrcoef() - torch.eye(16)
    assert correlations.abs().max() < 5 / 50_000**0.5


@pytest.mark.parametrize("share", [0.75, 0.5, 0.1])
def test_the_expectation_stays(share: float) -> None:
    features = torch.ones(1000, 100)
    (passed,) = dropout.passes(features, 1, share, generator())
    kept = dropout.num_kept_levels(share) / 256
    assert kept == pytest.approx(1 - share, abs=1 / 512)
    assert passed.unique().tolist() == [0, pytest.approx(1 / kept)]
    assert float(passed.mean()) == pytest.approx(1, abs=5 * ((1 / kept - 1) / 1e5) ** 0.5)


def test_passes_differ_and_features_stay() -> None:
    features = points(5, 0, 12)
    before = features.clone()
    first, second = dropout.passes(features, 2, 0.5, generator())
    assert not torch.equal(first, second)
    assert torch.equal(features, before)


@settings(max_examples=200)
@given(
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from([0.75, 0.4, 0.996]),
    st.sampled_from([0.1, 1.0, 1000.0]),
    st.integers(0, 10**6),
)
def test_mismatches_are_their_definition(
    num_rows: int, num_features: int, num_passes: int, share: float, norm: float, seed: int
) -> None:
    features = norm * points(num_rows, seed, num_features)
    features[num_rows // 2 :: 3] = 0
    weight, bias = points(3, seed + 1, num_features), norm * points(1, seed + 2)[0]

    def logits(rows: Tensor) -> Tensor:
        return (rows @ weight.T + bias).relu() - 0.1 * rows[:, :1]

    expected = reference.num_mismatches(
        features, lambda row: int(logits(row[None]).argmax()), num_passes, share, generator(seed)
    )
    counts = dropout.num_mismatches(features, logits, num_passes, share, generator(seed))
    assert counts.tolist() == expected


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features = points(40, 0, 6)
    arguments = (lambda rows: rows[:, :3], 3, 0.75)
    whole = dropout.num_mismatches(features, *arguments, generator())
    assert whole.unique().tolist() == [0, 1, 2, 3]
    monkeypatch.setattr(dropout, "BLOCK_ROWS", 7)
    assert torch.equal(dropout.num_mismatches(features, *arguments, generator()), whole)


@pytest.mark.parametrize(
    ("num", "num_passes", "expected"),
    [
        (1, 3, (50, 2)),  # 25 for the one that is asked for
        (2, 3, (50, 2)),
        (3, 3, (80, 1)),  # 50 are fewer than 75
        (1, 4, (80, 1)),  # a majority of 4 is 3: of 20 rows
        (1, 1, (80, 1)),
    ],
)
def test_the_inconsistent_are_most_of_the_time_or_at_all(
    num: int, num_passes: int, expected: tuple[int, int]
) -> None:
    counts = torch.tensor([0] * 10 + [1] * 30 + [2] * 30 + [3] * 20)
    rows, least = dropout.candidates(counts, num_passes, num)
    assert (len(rows), least) == expected
    assert torch.equal(rows, (counts >= least).nonzero().flatten())


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001, 0.999, -1.0, 2.0])
def test_refuses_to_drop_nothing_or_all(share: float) -> None:
    with pytest.raises(ValueError, match=r"`dropout` in \[1/256, 1 - 1/256\], got"):
        dropout.num_kept_levels(share)
