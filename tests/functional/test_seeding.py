import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import seeding
from tests import reference


def draw(num: int, num_features: int, num_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num, num_features, generator=generator, dtype=torch.float64)
    logits = 2 * torch.randn(num, num_classes, generator=generator, dtype=torch.float64)
    return logits.softmax(1), features


def seed_centres(
    probs: Tensor, features: Tensor, num: int, seed: int, max_stale: int | None = None
) -> tuple[list[int], seeding.Seeding]:
    embeddings = seeding.Embeddings(seeding.gradient_factors(probs), features)
    generator = torch.Generator().manual_seed(seed)
    result = seeding.k_means_plus_plus(embeddings, num, generator, max_stale)
    return result.positions.tolist(), result


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


@pytest.mark.parametrize("max_stale", [1, 4, 64])
def test_stale_draws_report_the_present_distance(max_stale: int) -> None:
    probs, features = draw(40, 3, 3, 0)
    g = (seeding.gradient_factors(probs)[:, :, None] * features[:, None]).flatten(1)
    positions, result = seed_centres(probs, features, 30, 1, max_stale)
    squares = torch.cdist(g[positions], g[positions]).square()
    expected = [squares[i, :i].min().item() for i in range(1, 30)]
    assert result.squared_distances[0].item() == pytest.approx(g.square().sum(1).max().item())
    assert result.squared_distances[1:].tolist() == pytest.approx(expected)
    assert result.num_uniform == 0


def test_factors_are_gradients() -> None:
    probs = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.2, 0.5, -0.3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(seeding.gradient_factors(probs), expected)


@pytest.mark.parametrize("max_stale", [1, 2, 4])
def test_draws_follow_the_square_law(max_stale: int) -> None:
    """Chi-square of the second, third and fourth draws together, over all of their triples."""
    size, num_runs = 5, 3000
    probs, features = draw(size, 3, 3, 5)
    embeddings = seeding.Embeddings(seeding.gradient_factors(probs), features)
    g = (embeddings.a[:, :, None] * embeddings.h[:, None]).flatten(1)
    distances = torch.cdist(g, g).square()
    first = int(g.norm(dim=1).argmax())
    generator = torch.Generator().manual_seed(0)
    observed = torch.zeros(size, size, size)
    for _ in range(num_runs):
        run = seeding.k_means_plus_plus(embeddings, 4, generator, max_stale).positions.tolist()
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


@pytest.mark.parametrize("max_stale", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_come_last_and_uniformly(max_stale: int, dtype: torch.dtype) -> None:
    probs, features = draw(3, 50, 4, 2)
    copies = torch.tensor([0] * 5 + [1] * 5 + [2] * 5)
    probs, features = probs[copies].to(dtype), features[copies].to(dtype)
    counts = torch.zeros(15)
    for seed in range(300):
        positions, result = seed_centres(probs, features, 6, seed, max_stale)
        assert len(set(positions)) == 6
        assert len(set(copies[positions[:3]].tolist())) == 3
        assert result.num_uniform == 3
        assert result.squared_distances.dtype == dtype
        assert (result.squared_distances[:3] > 0).all()
        assert (result.squared_distances[3:] == 0).all()
        counts[positions[3:]] += 1
    assert counts[0] == 0  # the first of the longest rows, and so always the first draw
    assert counts[1:].min() > 0


def test_zero_embeddings_are_drawn_uniformly() -> None:
    probs = torch.tensor([[1.0, 0.0]] * 6)
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    positions, result = seed_centres(probs, features, 6, 0)
    assert positions[0] == 0
    assert sorted(positions) == list(range(6))
    assert result.squared_distances.tolist() == [0.0] * 6
    assert result.num_uniform == 5


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, features = draw(50, 4, 3, 1)
    whole, _ = seed_centres(probs, features, 9, 0)
    monkeypatch.setattr(seeding, "CHUNK_ROWS", 7)
    chunked, _ = seed_centres(probs, features, 9, 0)
    assert chunked == whole


@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        seed_centres(*draw(5, 2, 2, 0), num, 0)
