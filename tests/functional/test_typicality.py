import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import clustering, typicality
from tests import reference
from tests.functional.test_clustering import points


def select(
    features: Tensor, num_labeled: int, num: int, seed: int = 0, max_clusters: int = 500
) -> tuple[list[int], typicality.Selection]:
    generator = torch.Generator().manual_seed(seed)
    selection = typicality.select(features, num_labeled, num, generator, max_clusters)
    return selection.positions.tolist(), selection


def assignment(features: Tensor, num_clusters: int, seed: int = 0) -> list[int]:
    """The clusters that ``select`` finds with the same seed."""
    generator = torch.Generator().manual_seed(seed)
    faiss_seed = int(torch.randint(2**31 - 1, (), generator=generator))
    return clustering.k_means(features, num_clusters, faiss_seed).tolist()


@given(st.integers(1, 60), st.integers(0, 1000))
def test_typicality_is_its_definition(num: int, seed: int) -> None:
    features = points(num, seed)
    expected = torch.tensor(reference.typicality(features.double()), dtype=torch.float32)
    torch.testing.assert_close(typicality.typicality(features), expected, rtol=1e-3, atol=1e-4)


@settings(max_examples=60)
@given(st.integers(8, 90), st.integers(0, 12), st.integers(0, 1000), st.data())
def test_selects_what_plain_loops_select(
    num_pool: int, num_labeled: int, seed: int, data: st.DataObject
) -> None:
    num = data.draw(st.integers(1, min(num_pool, 9)))
    features = points(num_labeled + num_pool, seed)
    expected = reference.typiclust(
        features.double(), num_labeled, num, assignment(features, num_labeled + num)
    )
    positions, selection = select(features, num_labeled, num)
    num_typical = len(expected)
    assert positions[:num_typical] == list(expected)
    assert len(set(positions)) == num
    assert all(0 <= position < num_pool for position in positions)
    scores = selection.typicality
    assert scores[:num_typical].tolist() == pytest.approx(list(expected.values()), rel=1e-3)
    assert scores[num_typical:].isnan().all()
    assert selection.num_uniform == num - num_typical
    assert selection.num_clusters == num_labeled + num


def test_the_clusters_without_labels_come_first_and_the_largest_of_them() -> None:
    cluster = torch.tensor([0] * 6 + [1] * 9 + [2] * 8 + [3] * 5 + [4] * 20)
    is_labeled = torch.zeros(48, dtype=torch.bool)
    is_labeled[[0, 40, 41]] = True
    assert typicality.ranked_clusters(cluster, is_labeled) == [1, 2, 0, 4]


def test_a_cluster_gives_its_densest_point() -> None:
    around = torch.cat([10 * points(12, 0, 2), 100 + torch.tensor([[0.0, 0.0]])])
    dense = 100 + 0.1 * points(9, 1, 2)
    positions, selection = select(torch.cat([around, dense]), 0, 2)
    assert max(positions) >= 12 > min(positions)
    assert positions[selection.typicality.argmax()] == max(positions)


def test_all_clusters_small_is_uniform() -> None:
    features = points(12, 0)
    runs = set()
    for seed in range(5):
        positions, selection = select(features, 4, 8, seed)
        assert sorted(positions) == list(range(8))
        assert selection.num_uniform == 8
        assert selection.typicality.isnan().all()
        runs.add(tuple(positions))
    assert len(runs) > 1


@settings(max_examples=60)
@given(st.integers(1, 70), st.integers(1, 12), st.integers(0, 1000), st.data())
def test_takes_the_most_typical_one_again_and_again(
    size: int, num: int, seed: int, data: st.DataObject
) -> None:
    features = points(size, seed)
    if data.draw(st.booleans()):  # duplicates, up to more of them than there are neighbors
        features[: data.draw(st.integers(0, size))] = features[0].clone()
    left = list(range(size))
    taken = typicality.most_typical(features, min(num, size))
    assert 1 <= len(taken) <= num
    if size >= 60:
        assert len(taken) == num
    for row, score in taken:
        scores = reference.typicality(features[left].double())
        assert score == pytest.approx(max(scores), rel=1e-3)
        assert scores[left.index(row)] == pytest.approx(max(scores), rel=1e-3)
        left.remove(row)


def test_more_than_the_clusters_goes_round() -> None:
    features = points(60, 3)
    expected = reference.typiclust(features.double(), 10, 40, assignment(features, 4))
    positions, selection = select(features, 10, 40, max_clusters=4)
    assert positions == list(expected)
    assert selection.num_clusters == 4
    assert selection.num_uniform == 0


def test_duplicates_leave_clusters_empty() -> None:
    features = torch.zeros(40, 3)
    features[:3] = 1
    positions, selection = select(features, 5, 20)
    assert len(set(positions)) == 20
    assert selection.num_clusters == 25


def test_far_more_than_five_hundred_clusters() -> None:
    positions, selection = select(points(1500, 0), 400, 600)
    assert len(set(positions)) == 600
    assert selection.num_clusters == 500


@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        select(points(8, 0), 3, num)
