import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import seeding
from tests import reference


def drawn(num: int, d: int, k: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num, d, generator=generator, dtype=torch.float64)
    logits = 2 * torch.randn(num, k, generator=generator, dtype=torch.float64)
    return logits.softmax(1), features


def seeded(
    probs: Tensor, features: Tensor, num: int, seed: int, max_stale: int | None = None
) -> list[int]:
    embeddings = seeding.Embeddings(seeding.gradient_factors(probs), features)
    generator = torch.Generator().manual_seed(seed)
    return seeding.k_means_plus_plus(embeddings, num, generator, max_stale).tolist()


@settings(max_examples=200)
@given(st.integers(1, 15), st.integers(1, 4), st.integers(2, 4), st.integers(0, 10**6), st.data())
def test_draws_what_explicit_embeddings_draw(
    size: int, d: int, k: int, seed: int, data: st.DataObject
) -> None:
    num = data.draw(st.integers(1, size))
    probs, features = drawn(size, d, k, seed)
    if data.draw(st.booleans()):  # duplicates
        probs, features = (
            probs[[0] * size],
            features[[0] * (size // 2) + [size - 1] * (size - size // 2)],
        )
    expected = reference.badge(probs, features, num, torch.Generator().manual_seed(seed))
    assert seeded(probs, features, num, seed) == expected


def test_factors_are_gradients() -> None:
    probs = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.2, 0.5, -0.3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(seeding.gradient_factors(probs), expected)


@pytest.mark.parametrize("max_stale", [1, 2, 4])
def test_draws_follow_the_square_law(max_stale: int) -> None:
    """Chi-square of the third and fourth draws, given what came before, over all pairs."""
    probs, features = drawn(7, 3, 3, 5)
    g = (seeding.gradient_factors(probs)[:, :, None] * features[:, None]).flatten(1)
    distances = torch.cdist(g, g).square()
    first = int(g.norm(dim=1).argmax())
    num_runs = 6000
    observed = torch.zeros(7, 7, 7)
    for seed in range(num_runs):
        run = seeded(probs, features, 4, seed, max_stale)
        assert run[0] == first
        assert len(set(run)) == 4
        observed[run[1], run[2], run[3]] += 1
    statistic, cells = 0.0, 0
    one = distances[first] / distances[first].sum()
    for second in range(7):
        near = torch.minimum(distances[first], distances[second])
        two = near / near.sum()
        for third in range(7):
            nearer = torch.minimum(near, distances[third])
            three = nearer / nearer.sum()
            for fourth in range(7):
                expected = (num_runs * one[second] * two[third] * three[fourth]).item()
                seen = observed[second, third, fourth].item()
                if expected < 1e-9:
                    assert seen == 0
                elif expected >= 5:
                    statistic += (seen - expected) ** 2 / expected
                    cells += 1
    assert cells > 60
    # Mean `cells`, variance twice that: 4 standard deviations.
    assert statistic < cells + 4 * (2 * cells) ** 0.5


@pytest.mark.parametrize("max_stale", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_come_last_and_uniformly(max_stale: int, dtype: torch.dtype) -> None:
    probs, features = drawn(3, 50, 4, 2)
    copies = torch.tensor([0] * 5 + [1] * 5 + [2] * 5)
    counts = torch.zeros(15)
    for seed in range(300):
        run = seeded(probs[copies].to(dtype), features[copies].to(dtype), 6, seed, max_stale)
        assert len(set(run)) == 6
        assert len(set(copies[run[:3]].tolist())) == 3
        counts[run[3:]] += 1
    assert counts[0] == 0  # of the longest rows the first, and so the first draw
    assert counts[1:].min() > 0


def test_zero_embeddings_are_drawn_uniformly() -> None:
    probs = torch.tensor([[1.0, 0.0]] * 6)
    run = seeded(probs, torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), 6, 0)
    assert run[0] == 0
    assert sorted(run) == list(range(6))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, features = drawn(50, 4, 3, 1)
    whole = seeded(probs, features, 9, 0)
    monkeypatch.setattr(seeding, "CHUNK_ROWS", 7)
    assert seeded(probs, features, 9, 0) == whole


@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        seeded(*drawn(5, 2, 2, 0), num, 0)
