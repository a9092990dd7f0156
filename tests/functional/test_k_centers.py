import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import distances, k_centers, lazy, sharding
from tests import reference
from tests.functional import point_sets


def select(points: Tensor, num_labeled: int, num: int, seed: int = 0) -> k_centers.Selection:
    generator = torch.Generator().manual_seed(seed)
    return k_centers.select(points[num_labeled:], points[:num_labeled], num, generator)


@settings(max_examples=250)
@given(point_sets.point_sets, st.data())
def test_selects_what_plain_loops_select(points: Tensor, data: st.DataObject) -> None:
    num_labeled = data.draw(st.integers(0, min(8, len(points) - 1)))
    num = data.draw(st.integers(1, len(points) - num_labeled))
    labeled, pool = points[:num_labeled], points[num_labeled:]
    generator = torch.Generator().manual_seed(5)
    expected = reference.core_set(pool, labeled, num, generator)
    selected = select(points, num_labeled, num, 5)
    assert selected.positions.tolist() == list(expected)
    scores = list(expected.values())
    assert selected.distances.tolist() == pytest.approx(scores, rel=1e-12, nan_ok=True)
    assert selected.num_uniform == sum(map(math.isnan, scores))


@pytest.mark.parametrize("kind", point_sets.KINDS)
@pytest.mark.parametrize("num_labeled", [0, 20])
def test_selects_what_all_distances_select(kind: str, num_labeled: int) -> None:
    """A pool of many blocks, and more features."""
    points = point_sets.draw(kind, 1500, 30, 45.0, 3)
    pool = points[num_labeled:].double()
    nearest = torch.full((len(pool),), torch.inf, dtype=torch.float64)
    for row in points[:num_labeled].double():
        nearest = nearest.minimum((pool - row).norm(dim=1))
    expected: list[int] = []
    while len(expected) < 60 and nearest.max() > 0:
        to_mean = (pool - pool.mean(0)).norm(dim=1)
        is_first = num_labeled == 0 and not expected
        expected.append(int(to_mean.argmin() if is_first else nearest.argmax()))
        nearest = nearest.minimum((pool - pool[expected[-1]]).norm(dim=1))
    selected = select(points, num_labeled, 60)
    assert selected.positions[: len(expected)].tolist() == expected
    assert selected.num_uniform == 60 - len(expected)


def test_what_coincides_with_a_centre_is_drawn_uniformly() -> None:
    points = torch.tensor([[1.0], [1.0], [1.0], [5.0], [5.0], [1.0]])
    rests = set()
    for seed in range(20):
        selected = select(points, 1, 3, seed)
        assert selected.positions[0] == 2
        assert selected.distances[0] == 4
        assert selected.distances[1:].isnan().all()
        assert selected.num_uniform == 2
        rests.add(tuple(selected.positions[1:].tolist()))
    assert len(rests) > 5


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = point_sets.draw("duplicates", 200, 5, 1.0, 0)
    whole = select(points, 10, 80)
    monkeypatch.setattr(lazy, "BLOCK_ROWS", 3)
    monkeypatch.setattr(distances, "CHUNK_ROWS", 7)
    monkeypatch.setattr(sharding, "CHUNK_ROWS", 7)
    assert select(points, 10, 80).positions.tolist() == whole.positions.tolist()


@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        select(point_sets.draw("normal", 8, 2, 1.0, 0), 3, num)
