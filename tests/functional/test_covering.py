import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import clustering, covering, distances, lazy
from tests import reference
from tests.functional import point_sets

unit_sets = point_sets.point_sets.map(F.normalize)


def select(
    units: Tensor,
    num_labeled: int,
    num: int,
    radius: float,
    num_targets: int | None = None,
    seed: int = 0,
) -> covering.Selection:
    generator = torch.Generator().manual_seed(seed)
    return covering.select(units, num_labeled, num, radius, num_targets, generator)


def radius_and_clusters(
    units: Tensor, num_clusters: int, purity: float, num_rows: int = 10**6
) -> tuple[float, list[int]]:
    generator = torch.Generator().manual_seed(1)
    radius = covering.pure_radius(units, num_clusters, purity, num_rows, generator)
    seed = int(torch.randint(2**31 - 1, (), generator=generator.manual_seed(1)))
    return radius, clustering.k_means(units, num_clusters, seed).tolist()


@settings(max_examples=250)
@given(unit_sets, st.sampled_from([0.0, 0.1, 0.7, 1.3, 3.0]), st.data())
def test_selects_what_plain_loops_select(units: Tensor, radius: float, data: st.DataObject) -> None:
    num_labeled = data.draw(st.integers(0, min(5, len(units) - 1)))
    num = data.draw(st.integers(1, len(units) - num_labeled))
    if radius == 0.0:  # exactly that of some pair
        i, j = (data.draw(st.integers(0, len(units) - 1)) for _ in range(2))
        radius = reference.distance(units[i], units[j])
    generator = torch.Generator().manual_seed(5)
    expected = reference.prob_cover(units, num_labeled, num, radius, generator)
    selected = select(units, num_labeled, num, radius, seed=5)
    assert selected.positions.tolist() == list(expected)
    scores = list(expected.values())
    assert selected.num_covered.tolist() == pytest.approx(scores, nan_ok=True)
    assert selected.num_uniform == sum(map(math.isnan, scores))


@settings(max_examples=100)
@given(
    point_sets.point_sets.filter(lambda points: len(points) <= 15).map(F.normalize),
    st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]),
    st.data(),
)
def test_the_radius_is_the_largest_that_is_pure_enough(
    units: Tensor, purity: float, data: st.DataObject
) -> None:
    num_clusters = data.draw(st.integers(1, min(4, len(units))))
    radius, clusters = radius_and_clusters(units, num_clusters, purity)
    assert radius == pytest.approx(reference.pure_radius(units, clusters, purity), rel=1e-12)
    table = [[reference.distance(x, y) for y in units] for x in units]
    assert reference.purity(table, clusters, radius) >= purity


def test_a_sample_of_balls_holds_all_rows() -> None:
    units = F.normalize(point_sets.draw("normal", 2000, 4, 1.0, 0))
    whole, _ = radius_and_clusters(units, 5, 0.9)
    sampled = [
        covering.pure_radius(units, 5, 0.9, 500, torch.Generator().manual_seed(seed))
        for seed in range(5)
    ]
    assert len(set(sampled)) == 5
    # Of the share 0.9, 500 balls have a standard error of 0.013.
    low, high = (radius_and_clusters(units, 5, purity)[0] for purity in (0.95, 0.85))
    assert all(low < radius < high for radius in sampled)
    assert low < whole < high


@pytest.mark.parametrize("kind", point_sets.KINDS)
@pytest.mark.parametrize("num_targets", [None, 300])
def test_selects_what_all_edges_select(kind: str, num_targets: int | None) -> None:
    """A pool of many blocks, more features, and a part of the rows as targets."""
    units = F.normalize(point_sets.draw(kind, 1300, 8, 45.0, 3))
    pool = units[7:].double()
    edges = torch.stack([(pool - row).norm(dim=1) for row in pool]) < 0.4
    by_labeled = torch.stack([(pool - row).norm(dim=1) for row in units[:7].double()]) < 0.4
    is_left = ~by_labeled.any(0)
    if num_targets is not None and is_left.sum() > num_targets:
        targets = is_left.nonzero().flatten()
        order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
        is_left[:] = False
        is_left[targets[order[:num_targets]]] = True
    expected: list[int] = []
    num_left = [int(is_left.sum())]
    while len(expected) < 200 and is_left.any():
        expected.append(int((edges & is_left).sum(1).argmax()))
        is_left &= ~edges[expected[-1]]
        num_left.append(int(is_left.sum()))
    selected = select(units, 7, 200, 0.4, num_targets)
    assert selected.positions[: len(expected)].tolist() == expected
    assert selected.num_covered[: len(expected)].tolist() == [
        before - after for before, after in itertools.pairwise(num_left)
    ]
    assert selected.num_targets == num_left[0]
    assert selected.num_uniform == 200 - len(expected)
    assert len(set(selected.positions.tolist())) == 200


def test_the_last_rows_are_candidates() -> None:
    """A known fault of other code: those after the last full chunk are not."""
    far = F.normalize(point_sets.draw("normal", distances.CHUNK_ROWS, 60, 1.0, 0))
    dense = F.normalize(point_sets.draw("offset", 9, 60, 1.0, 0))
    selected = select(torch.cat([far, dense]), 0, 1, 0.2)
    assert selected.positions.item() >= distances.CHUNK_ROWS
    assert selected.num_covered.item() == 9


def test_a_covered_row_may_cover_others_and_a_chosen_one_is_gone() -> None:
    angles = torch.tensor([0.0, 10.0, 20.0, 90.0]).deg2rad()
    units = torch.stack([angles.cos(), angles.sin()], 1)
    radius = 2 * math.sin(math.radians(11 / 2))
    assert select(units, 1, 1, radius).positions.tolist() == [0]  # covered, and covers the third
    rests = [select(units[:3], 0, 3, radius, seed=seed) for seed in range(5)]
    assert all(rest.positions[0] == 1 and rest.num_uniform == 2 for rest in rests)
    assert len({tuple(rest.positions.tolist()) for rest in rests}) == 2


@pytest.mark.parametrize("num_targets", [None, 150])
def test_blocks_change_nothing(num_targets: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    units = F.normalize(point_sets.draw("duplicates", 300, 3, 1.0, 0))
    radius, _ = radius_and_clusters(units, 4, 0.7)
    whole = select(units, 10, 80, radius, num_targets)
    monkeypatch.setattr(lazy, "BLOCK_ROWS", 3)
    monkeypatch.setattr(distances, "CHUNK_ROWS", 7)
    chunked = select(units, 10, 80, radius, num_targets)
    assert chunked.positions.tolist() == whole.positions.tolist()
    assert radius_and_clusters(units, 4, 0.7)[0] == radius


@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        select(F.normalize(point_sets.draw("normal", 8, 2, 1.0, 0)), 3, num, 0.5)
