import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import gaussian, herding
from tests import reference

KINDS = ["drawn", "copies", "grid", "labeled copies", "near copies"]


def draw(kind: str, size: int, num_labeled: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features of pool and labeled examples, of norms from 0.1 to 1000; or 0 in a grid."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(size, 4, generator=generator)
    labeled = torch.randn(num_labeled, 4, generator=generator)
    if kind == "copies":
        features = features[torch.randint(1 + size // 3, (size,), generator=generator)]
    elif kind == "grid":
        features = features.sign() * (features.abs() > 1)
    elif kind == "labeled copies" and num_labeled:
        features[::2] = labeled[0]
    elif kind == "near copies":
        features = features[:1] + 1e-3 * features
    return features * 10 ** (4 * torch.rand((), generator=generator) - 1), labeled


def check(
    selection: herding.Selection,
    features: Tensor,
    labeled: Tensor,
    weights: Tensor,
    bandwidth: float,
    targets: Tensor | None = None,
) -> None:
    """Every pick has the highest gain of its step, to the digits of float64, and the lowest row."""
    chosen: list[int] = []
    for row, gain in zip(selection.positions.tolist(), selection.gains.tolist(), strict=True):
        sample = None if targets is None else targets.tolist()
        gains = reference.herding_gains(
            features, labeled, weights.double().tolist(), chosen, bandwidth, sample
        )
        assert gain == pytest.approx(gains[row], rel=1e-9, abs=1e-11)
        best = max(gains.values())
        # The lowest of those that are as high up to 1e-12, with room for rounding on both sides.
        assert gains[row] >= best * (1 - 1.01e-12) - 1e-14
        assert not any(
            gains[other] > best * (1 - 0.99e-12) + 1e-14 for other in gains if other < row
        )
        chosen.append(row)
    assert len(set(chosen)) == len(chosen)


@settings(max_examples=100)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 16),
    st.integers(0, 4),
    st.sampled_from([1.0, 0.3, 0.05, 1e-3]),
    st.booleans(),
    st.integers(0, 1000),
    st.data(),
)
def test_picks_are_those_of_plain_loops(
    kind: str,
    size: int,
    num_labeled: int,
    bandwidth: float,
    are_weighted: bool,
    seed: int,
    data: st.DataObject,
) -> None:
    features, labeled = draw(kind, size, num_labeled, seed)
    num = data.draw(st.integers(1, size))
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(size, generator=generator) if are_weighted else torch.ones(size)
    targets = None
    if data.draw(st.booleans()):
        order = torch.randperm(size, generator=generator)
        targets = order[: data.draw(st.integers(1, size))].sort().values
    selection = herding.select(features, labeled, weights, num, bandwidth, targets)
    assert selection.positions.shape == selection.gains.shape == (num,)
    check(selection, features, labeled, weights, bandwidth, targets)


@pytest.mark.parametrize("seed", range(20))
def test_of_drawn_rows_the_order_is_that_of_plain_loops(seed: int) -> None:
    features, labeled = draw("drawn", 40, 5, seed)
    weights = torch.rand(40, generator=torch.Generator().manual_seed(seed))
    selection = herding.select(features, labeled, weights, 8, 0.5)
    expected = reference.herding(features, labeled, weights.double().tolist(), 8, 0.5)
    assert selection.positions.tolist() == list(expected)
    assert selection.gains.tolist() == pytest.approx(list(expected.values()), rel=1e-9)


@pytest.mark.parametrize("num_targets", [None, 150])
@pytest.mark.parametrize("bandwidth", [1.0, 0.02])
def test_blocks_and_threads_change_nothing(
    bandwidth: float, num_targets: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labeled = draw("drawn", 400, 3, 1)
    targets = None if num_targets is None else torch.arange(0, 400, 400 // num_targets)
    weights = torch.rand(400, generator=torch.Generator().manual_seed(0))
    whole = herding.select(features, labeled, weights, 30, bandwidth, targets)
    monkeypatch.setattr(herding, "CANDIDATES", 5)
    monkeypatch.setattr(herding, "FIRST_CANDIDATES", 7)
    monkeypatch.setitem(herding.CHUNK_PAIRS, "cpu", 3)
    monkeypatch.setattr(gaussian, "CHUNK_ENTRIES", 50)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(num_threads % 2 + 1)
    try:
        parts = herding.select(features, labeled, weights, 30, bandwidth, targets)
    finally:
        torch.set_num_threads(num_threads)
    assert torch.equal(parts.positions, whole.positions)
    assert torch.equal(parts.gains, whole.gains)
    monkeypatch.setitem(herding.TARGET_ROWS, "cpu", 16)  # the blocks that a gain is summed over
    blocks = herding.select(features, labeled, weights, 30, bandwidth, targets)
    assert torch.equal(blocks.positions, whole.positions)
    torch.testing.assert_close(blocks.gains, whole.gains, rtol=1e-12, atol=0)


@pytest.mark.parametrize("with_targets", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_stochastic_search_takes_the_best_of_what_it_draws(
    seed: int, kind: str, with_targets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labeled = draw(kind, 60, 2, seed)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(60, generator=generator)
    targets = torch.arange(0, 60, 3) if with_targets else None
    draws: list[Tensor] = []
    drawn = herding._Search.drawn

    def watched(self: herding._Search, num: int, generator: torch.Generator | None) -> Tensor:
        draws.append(drawn(self, num, generator))
        return draws[-1]

    monkeypatch.setattr(herding._Search, "drawn", watched)
    selection = herding.select(features, labeled, weights, 20, 0.5, targets, 0.05, generator)
    chosen: list[int] = []
    for row, gain, rows in zip(
        selection.positions.tolist(), selection.gains.tolist(), draws, strict=True
    ):
        assert 1 <= len(rows) <= 2 * 9  # 60 / 20 · ln 20, rounded up; and as many seen before
        assert not set(chosen) & set(rows.tolist())
        sample = None if targets is None else targets.tolist()
        gains = reference.herding_gains(
            features, labeled, weights.double().tolist(), chosen, 0.5, sample
        )
        best = max(gains[candidate] for candidate in rows.tolist())
        assert gain == pytest.approx(gains[row], rel=1e-9, abs=1e-11)
        assert gains[row] >= best * (1 - 1.01e-12) - 1e-14
        chosen.append(row)
    assert len(set(torch.cat(draws).tolist())) > 40  # not the same ones in each step


def test_a_stochastic_search_covers_almost_as_much() -> None:
    features, labeled = draw("drawn", 500, 0, 0)
    generator = torch.Generator().manual_seed(0)
    whole = herding.select(features, labeled, torch.ones(500), 25, 0.5).gains.sum()
    for _ in range(5):
        part = herding.select(
            features, labeled, torch.ones(500), 25, 0.5, None, 0.1, generator
        ).gains.sum()
        assert 0.9 * whole < part <= whole * (1 + 1e-9)


def test_of_few_steps_each_looks_at_all() -> None:
    """With B <= ln(1/ε) as many as there are would be drawn."""
    features, labeled = draw("drawn", 50, 1, 0)
    whole = herding.select(features, labeled, torch.ones(50), 2, 0.5)
    part = herding.select(features, labeled, torch.ones(50), 2, 0.5, None, 0.1)
    assert torch.equal(part.positions, whole.positions)


@pytest.mark.parametrize("with_targets", [False, True])
def test_progress_is_told(with_targets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(herding.TARGET_ROWS, "cpu", 16)
    monkeypatch.setattr(herding, "FIRST_CANDIDATES", 16)
    features, labeled = draw("drawn", 50, 1, 0)
    targets = torch.arange(40) if with_targets else None
    told: list[tuple[int, int]] = []
    herding.select(
        features, labeled, torch.ones(50), 3, 0.5, targets, report=lambda *done: told.append(done)
    )
    first = [(16, 50), (32, 50), (48, 50), (50, 50)] if with_targets else None
    assert told == (first or [(4, 10), (7, 10), (9, 10), (10, 10)]) + [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("bandwidth", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_hold_in_every_precision(kind: str, bandwidth: float, precision: str) -> None:
    """Of kernel values from both sides, and so of gains: against float64."""
    features, _ = draw(kind, 50, 0, 3)
    rows = gaussian.unit_rows(features)
    true = torch.exp(-((rows[:, None] - rows).square().sum(-1)) / bandwidth**2)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        scaled, offsets = gaussian.scaled(features, bandwidth, torch.float32)
        overshoot = gaussian.overshoot(features.shape[1], bandwidth)
        above = gaussian.kernel_bound(scaled, offsets, scaled, offsets).double()
        below = gaussian.kernel_bound(scaled, offsets, scaled, offsets, -overshoot).double()
        picks = herding.select(features, features[:0], torch.ones(50), 6, bandwidth)
    finally:
        torch.set_float32_matmul_precision(before)  # type: ignore[no-untyped-call, unused-ignore]
    # Below 1e-37 float32 has too few digits, and nothing depends on them.
    assert (above >= true - 1e-37).all()
    assert (below <= true + 1e-37).all()
    if bandwidth == 1 and precision == "highest":
        torch.testing.assert_close(above, below, rtol=1e-3, atol=0)
    check(picks, features, features[:0], torch.ones(50), bandwidth)


def test_a_selection_looks_at_few_rows_after_the_first_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labeled = draw("drawn", 3000, 40, 0)
    seen: list[int] = []
    refresh, resolve = herding._Search._refresh, herding._Search._resolve

    def watched_refresh(self: herding._Search, rows: Tensor, dtype: torch.dtype) -> None:
        seen.append(len(rows))
        refresh(self, rows, dtype)

    def watched_resolve(self: herding._Search, rows: Tensor) -> float:
        seen.append(len(rows))
        return resolve(self, rows)

    monkeypatch.setattr(herding._Search, "_refresh", watched_refresh)
    monkeypatch.setattr(herding._Search, "_resolve", watched_resolve)
    herding.select(features, labeled, torch.ones(3000), 10, 1.0)
    assert sum(seen) < 3000


def test_all_ties_are_settled_without_a_pass_for_each_pick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a tiny bandwidth every row covers itself alone."""
    features, labeled = draw("drawn", 600, 2, 0)
    resolve, num_seen = herding._Search._resolve, 0

    def watched(self: herding._Search, rows: Tensor) -> float:
        nonlocal num_seen
        num_seen += len(rows)
        return resolve(self, rows)

    monkeypatch.setattr(herding._Search, "_resolve", watched)
    selection = herding.select(features, labeled, torch.ones(600), 20, 1e-4)
    assert selection.positions.tolist() == list(range(20))
    assert num_seen < 20 * 600 / 2


def test_the_estimate_is_unbiased() -> None:
    """Its mean over all samples of two targets is the gain."""
    features, labeled = draw("drawn", 6, 1, 0)
    exact = reference.herding_gains(features, labeled, [1.0] * 6, [], 1.0, None)
    pairs = torch.combinations(torch.arange(6))
    estimates = [
        reference.herding_gains(features, labeled, [1.0] * 6, [], 1.0, pair.tolist())
        for pair in pairs
    ]
    for row, gain in exact.items():
        for of_row in (True, False):  # also among samples with the row, and among those without
            those = [
                each[row]
                for each, pair in zip(estimates, pairs, strict=True)
                if (row in pair) == of_row
            ]
            assert math.fsum(those) / len(those) == pytest.approx(gain)


@given(st.sampled_from(KINDS), st.integers(0, 20), st.integers(0, 500))
def test_the_smallest_distance_is_that_of_plain_loops(kind: str, size: int, seed: int) -> None:
    features, _ = draw(kind, size, 1, seed) if size else (torch.empty(0, 4), None)
    expected = reference.smallest_distance(features)
    found = gaussian.smallest_distance(features)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-3 if expected < 1e-4 else 1e-9)


def test_the_smallest_distance_is_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = draw("drawn", 50, 0, 0)
    whole = gaussian.smallest_distance(features)
    monkeypatch.setattr(gaussian, "BLOCK_ROWS", 7)
    assert gaussian.smallest_distance(features) == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 0}, r"`num` in \[1, 5\], got 0"),
        ({"num": 6}, r"`num` in \[1, 5\], got 6"),
        ({"bandwidth": 0.0}, "`bandwidth` above 0, got 0.0"),
        ({"bandwidth": math.nan}, "`bandwidth` above 0, got nan"),
        ({"targets": torch.arange(0)}, "at least one row in `targets`, got none"),
        ({"epsilon": 1.0}, r"`epsilon` in \[0, 1\), got 1.0"),
        ({"epsilon": -0.1}, r"`epsilon` in \[0, 1\), got -0.1"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    features, labeled = draw("drawn", 5, 1, 0)
    with pytest.raises(ValueError, match=message):
        herding.select(features, labeled, torch.ones(5), **{"num": 1, "bandwidth": 1.0, **options})
