from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import seeding, sharding
from dal.functional.seeding import Embeddings
from tests import reference


def draw(num: int, num_features: int, num_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num, num_features, generator=generator, dtype=torch.float64)
    logits = 2 * torch.randn(num, num_classes, generator=generator, dtype=torch.float64)
    return logits.softmax(1), features


class Computed:
    """Embeddings of some rows, given out in chunks; how often all are read is counted."""

    def __init__(self, probs: Tensor, features: Tensor) -> None:
        self.embeddings = Embeddings(seeding.gradient_factors(probs), features)
        self.num_readings = 0

    def take(self, rows: Tensor) -> Embeddings:
        return self.embeddings.take(rows)

    def map(self, function: Callable[[Embeddings], Tensor]) -> Tensor:
        self.num_readings += 1
        parts = torch.arange(len(self.embeddings.h)).split(7)
        return torch.cat([function(self.embeddings.take(rows)) for rows in parts])


def seed_centres(
    probs: Tensor, features: Tensor, num: int, seed: int, by_rejection: bool = False
) -> tuple[list[int], seeding.Seeding]:
    generator = torch.Generator().manual_seed(seed)
    source = Computed(probs, features)
    if by_rejection:
        result = seeding.k_means_plus_plus_by_rejection(source, num, generator)
    else:
        result = seeding.k_means_plus_plus(source.embeddings, num, generator)
    return result.positions.tolist(), result


both_ways = pytest.mark.parametrize("by_rejection", [False, True])


@settings(max_examples=200)
@given(st.integers(1, 15), st.integers(1, 4), st.integers(2, 4), st.integers(0, 10**6), st.data())
def test_draws_what_explicit_embeddings_draw(
    size: int, d: int, k: int, seed: int, data: st.DataObject
) -> None:
    num = data.draw(st.integers(1, size))
    probs, features = draw(size, d, k, seed)
    if data.draw(st.booleans()):  # duplicates
        copies = [0] * (size // 2) + [size - 1] * (size - size // 2)
        probs, features = probs[[0] * size], features[copies]
    expected = reference.badge(probs, features, num, torch.Generator().manual_seed(seed))
    positions, result = seed_centres(probs, features, num, seed)
    assert positions == list(expected)
    distances = list(expected.values())
    assert result.squared_distances.tolist() == pytest.approx(distances, rel=1e-6, abs=1e-12)
    assert result.num_uniform == distances.count(0.0)


@settings(max_examples=200)
@given(st.integers(1, 15), st.integers(1, 4), st.integers(2, 4), st.integers(0, 10**6), st.data())
def test_draws_what_one_proposal_after_the_other_draws(
    size: int, d: int, k: int, seed: int, data: st.DataObject
) -> None:
    num = data.draw(st.integers(1, size))
    num_proposals = data.draw(st.sampled_from([1, 4, 256]))
    share = data.draw(st.sampled_from([0.0, 0.5, 4.0]))
    probs, features = draw(size, d, k, seed)
    if data.draw(st.booleans()):  # duplicates
        copies = [0] * (size // 2) + [size - 1] * (size - size // 2)
        probs, features = probs[[0] * size], features[copies]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeding, "NUM_PROPOSALS", num_proposals)
        patch.setattr(seeding, "MAX_REJECTED_SHARE", share)
        positions, result = seed_centres(probs, features, num, seed, by_rejection=True)
    expected = reference.badge_by_rejection(
        probs, features, num, torch.Generator().manual_seed(seed), num_proposals, share * size
    )
    assert positions == list(expected)
    distances = list(expected.values())
    assert result.squared_distances.tolist() == pytest.approx(distances, rel=1e-6, abs=1e-12)
    assert result.num_uniform == distances.count(0.0)


@both_ways
def test_reports_the_distance_when_drawn(by_rejection: bool) -> None:
    probs, features = draw(40, 3, 3, 0)
    g = (seeding.gradient_factors(probs)[:, :, None] * features[:, None]).flatten(1)
    positions, result = seed_centres(probs, features, 30, 1, by_rejection)
    squares = torch.cdist(g[positions], g[positions]).square()
    expected = [squares[i, :i].min().item() for i in range(1, 30)]
    assert result.squared_distances[0].item() == pytest.approx(g.square().sum(1).max().item())
    assert result.squared_distances[1:].tolist() == pytest.approx(expected)
    assert result.num_uniform == 0


@pytest.mark.parametrize(("num_copies", "size", "num_readings"), [(1, 400, 1), (20_000, 6, 2)])
def test_all_rows_are_read_again_if_many_are_rejected(
    num_copies: int, size: int, num_readings: int
) -> None:
    """Orthogonal rows are drawn by their bounds; copies of the first centre are rejected."""
    features = torch.eye(size)[[0] * num_copies + list(range(1, size))]
    source = Computed(torch.full((len(features), 3), 1 / 3), features)
    drawn = seeding.k_means_plus_plus_by_rejection(source, 5, torch.Generator().manual_seed(0))
    assert drawn.positions[0] == 0
    assert (drawn.positions[1:] >= num_copies).all()
    assert source.num_readings == num_readings


def test_factors_are_gradients() -> None:
    probs = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.2, 0.5, -0.3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(seeding.gradient_factors(probs), expected)


@both_ways
def test_draws_follow_the_square_law(by_rejection: bool) -> None:
    """Chi-square of the second, third and fourth draws together, over all of their triples."""
    size, num_runs = 5, 3000
    probs, features = draw(size, 3, 3, 5)
    embeddings = seeding.Embeddings(seeding.gradient_factors(probs), features)
    g = (embeddings.a[:, :, None] * embeddings.h[:, None]).flatten(1)
    distances = torch.cdist(g, g).square()
    first = int(g.norm(dim=1).argmax())
    observed = torch.zeros(size, size, size)
    for seed in range(num_runs):
        run, _ = seed_centres(probs, features, 4, seed, by_rejection)
        assert run[0] == first
        assert len(set(run)) == 4
        observed[tuple(run[1:])] += 1

    statistic, num_cells = 0.0, 0
    to_first = distances[first]
    for second in range(size):
        to_two = torch.minimum(to_first, distances[second])
        for third in range(size):
            to_three = torch.minimum(to_two, distances[third])
            for fourth in range(size):
                chances = (
                    to_first[second] / to_first.sum(),
                    to_two[third] / to_two.sum(),
                    to_three[fourth] / to_three.sum(),
                )
                expected = num_runs * torch.stack(chances).prod().item()
                seen = observed[second, third, fourth].item()
                if expected < 1e-9:
                    assert seen == 0
                elif expected >= 5:
                    statistic += (seen - expected) ** 2 / expected
                    num_cells += 1
    assert num_cells >= 20  # of 4 · 3 · 2
    # The mean is `num_cells` and the variance twice that: 4 standard deviations.
    assert statistic < num_cells + 4 * (2 * num_cells) ** 0.5


@both_ways
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_come_last_and_uniformly(by_rejection: bool, dtype: torch.dtype) -> None:
    probs, features = draw(3, 50, 4, 2)
    copies = torch.tensor([0] * 5 + [1] * 5 + [2] * 5)
    probs, features = probs[copies].to(dtype), features[copies].to(dtype)
    counts = torch.zeros(15)
    for seed in range(150):
        positions, result = seed_centres(probs, features, 6, seed, by_rejection)
        assert len(set(positions)) == 6
        assert len(set(copies[positions[:3]].tolist())) == 3
        assert result.num_uniform == 3
        assert result.squared_distances.dtype == dtype
        assert (result.squared_distances[:3] > 0).all()
        assert (result.squared_distances[3:] == 0).all()
        counts[positions[3:]] += 1
    assert counts[0] == 0  # the first of the longest rows, and so always the first draw
    assert counts[1:].min() > 0


@both_ways
def test_zero_embeddings_are_drawn_uniformly(by_rejection: bool) -> None:
    probs = torch.tensor([[1.0, 0.0]] * 6)
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    positions, result = seed_centres(probs, features, 6, 0, by_rejection)
    assert positions[0] == 0
    assert sorted(positions) == list(range(6))
    assert result.squared_distances.tolist() == [0.0] * 6
    assert result.num_uniform == 5


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, features = draw(50, 4, 3, 1)
    whole, _ = seed_centres(probs, features, 9, 0)
    monkeypatch.setattr(sharding, "CHUNK_ROWS", 7)
    chunked, _ = seed_centres(probs, features, 9, 0)
    assert chunked == whole


@both_ways
@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int, by_rejection: bool) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        seed_centres(*draw(5, 2, 2, 0), num, 0, by_rejection)
