import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import distances
from tests import reference
from tests.functional import point_sets


def all_distances(rows: Tensor, others: Tensor) -> list[list[float]]:
    return [[reference.distance(x, y) for y in others] for x in rows]


@settings(max_examples=300)
@given(point_sets.point_sets, st.data())
def test_the_nearest_is_exact(points: Tensor, data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(points)))
    rows, others = points[:split], points[split:]
    expected = [min(row, default=torch.inf) for row in all_distances(rows, others)]
    nearest = distances.nearest(rows, others)
    assert nearest.dtype == torch.float64
    assert nearest.tolist() == pytest.approx(expected, rel=1e-14, abs=0)


@given(point_sets.point_sets, st.integers(1, 4), st.integers(0, 1000))
def test_the_nearest_of_another_group_is_exact(points: Tensor, num: int, seed: int) -> None:
    groups = torch.randint(num, (len(points),), generator=torch.Generator().manual_seed(seed))
    table = all_distances(points, points)
    expected = [
        min((d for d, other in zip(row, groups, strict=True) if other != own), default=torch.inf)
        for row, own in zip(table, groups, strict=True)
    ]
    nearest = distances.nearest(points, points, groups, groups)
    assert nearest.tolist() == pytest.approx(expected, rel=1e-14, abs=0)


@settings(max_examples=300)
@given(point_sets.point_sets, st.data())
def test_pairs_at_exactly_the_radius_are_decided_as_by_exact_distances(
    points: Tensor, data: st.DataObject
) -> None:
    """The radius is the distance of some pair, of many pairs if there are duplicates."""
    i, j = (data.draw(st.integers(0, len(points) - 1)) for _ in range(2))
    radius = reference.distance(points[i], points[j])
    expected = [
        [reference.is_less(d, radius) for d in row] for row in all_distances(points, points)
    ]
    found = distances.are_within(points, points, radius)
    assert found.tolist() == expected
    assert not found[i, j]
    assert distances.are_within(points, points, radius * 1.001 + 1e-30)[i, j]


def test_an_infinite_radius_holds_all_and_a_radius_of_0_nothing() -> None:
    points = point_sets.draw("zeros", 9, 3, 1.0, 0)
    assert distances.are_within(points, points, torch.inf).all()
    assert not distances.are_within(points, points, 0.0).any()


def test_norm_expansion_would_err() -> None:
    """What these functions are for: the product alone takes one pair for another."""
    points = point_sets.draw("near duplicates", 80, 50, 1000.0, 0)
    rows, others = points[:40], points[40:]
    exact = torch.tensor(all_distances(rows, others), dtype=torch.float64).min(1)
    expanded = torch.cdist(rows, others, compute_mode="use_mm_for_euclid_dist")
    assert (expanded.argmin(1) != exact.indices).sum() > 5
    torch.testing.assert_close(distances.nearest(rows, others), exact.values, rtol=1e-14, atol=0)


@pytest.mark.parametrize("kind", point_sets.KINDS)
def test_chunks_and_threads_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = point_sets.draw(kind, 300, 40, 30.0, 1)
    groups = torch.arange(300) % 3
    radius = float(distances.nearest(points, points, groups, groups).median())

    def results() -> list[Tensor]:
        return [
            distances.nearest(points[:130], points[130:]),
            distances.nearest(points, points, groups, groups),
            distances.are_within(points, points, radius),
        ]

    whole = results()
    monkeypatch.setattr(distances, "CHUNK_ROWS", 7)
    monkeypatch.setattr(distances, "CHUNK_PAIRS", 5)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(2, num_threads))
    try:
        chunked = results()
    finally:
        torch.set_num_threads(num_threads)
    assert all(torch.equal(a, b) for a, b in zip(whole, chunked, strict=True))
