import faiss
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import clustering, representatives
from dal.functional.clustering import Clusters
from tests import reference
from tests.functional.test_clustering import points


def select(
    features: Tensor,
    num: int,
    num_rows: int | None = None,
    seed: int = 0,
    max_points_per_centroid: int | None = 256,
) -> representatives.Selection:
    """Of candidates that are every third row of a pool."""
    return representatives.select(
        features,
        torch.arange(len(features)) * 3,
        num,
        3 * len(features) if num_rows is None else num_rows,
        torch.Generator().manual_seed(seed),
        max_points_per_centroid,
    )


@settings(max_examples=200)
@given(st.integers(1, 40), st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 1000.0]), st.data())
def test_the_nearest_row_of_each_cluster(
    num_rows: int, seed: int, norm: float, data: st.DataObject
) -> None:
    num_clusters = data.draw(st.integers(1, 8))
    features = norm * points(num_rows, seed)
    if data.draw(st.booleans()):
        features[num_rows // 2 :] = features[0]  # duplicates: the lower row
    generator = torch.Generator().manual_seed(seed)
    assignment = torch.randint(num_clusters, (num_rows,), generator=generator)
    centres = norm * points(num_clusters, seed + 1)
    expected = reference.nearest_rows(features, assignment.tolist(), centres)
    rows, distances = representatives.nearest_rows(features, Clusters(assignment, centres))
    assert rows.tolist() == list(expected)
    assert distances.tolist() == pytest.approx(list(expected.values()), rel=1e-9)


def test_near_duplicates_are_told_apart() -> None:
    """At norm 45, the expansion of the square in float32 errs by more than these distances."""
    centre = torch.full((1, 384), 45 / 384**0.5)
    features = centre + 1e-4 * torch.tensor([[3.0], [1.0], [2.0]])
    rows, _ = representatives.nearest_rows(features, Clusters(torch.zeros(3).long(), centre))
    assert rows.tolist() == [1]


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features = points(50, 0)
    clusters = clustering.clusters(features, 6, 0, None)
    whole = representatives.nearest_rows(features, clusters)
    monkeypatch.setattr(representatives, "CHUNK_ROWS", 7)
    for one, other in zip(whole, representatives.nearest_rows(features, clusters), strict=True):
        assert torch.equal(one, other)


def test_a_few_candidates_are_all_taken_and_the_rest_is_uniform() -> None:
    drawn = set()
    for seed in range(20):
        selection = select(points(4, 0), 6, seed=seed)
        assert selection.positions[:4].tolist() == [0, 3, 6, 9]
        assert selection.num_uniform == 2
        assert selection.distances[:4].tolist() == [0, 0, 0, 0]
        assert selection.distances[4:].isnan().all()
        drawn |= set(selection.positions[4:].tolist())
    assert drawn == {1, 2, 4, 5, 7, 8, 10, 11}  # of the whole pool
    none = select(points(0, 0), 3, num_rows=5)
    assert none.num_uniform == 3
    assert len(none.positions.unique()) == 3


def test_empty_clusters_are_filled_uniformly() -> None:
    features = torch.zeros(40, 3)
    features[:3] = 1
    selection = select(features, 10)
    assert selection.positions[:2].sort().values.tolist() == [0, 9]
    assert selection.num_uniform == 8
    assert len(selection.positions.unique()) == 10


def test_a_sample_fits_the_centres() -> None:
    features = points(3000, 0)
    picks = {
        num: select(features, 3, max_points_per_centroid=num).positions.tolist()
        for num in (None, 10, 1000, 5000)
    }
    assert picks[None] == picks[1000] == picks[5000]  # 3000 rows are all of them
    assert picks[10] != picks[None]
    sampled = clustering.clusters(features, 3, 0, 10)
    nearest = torch.cdist(features, sampled.centres).argmin(1)
    assert torch.equal(sampled.assignment, nearest)  # every row has a cluster, sampled or not


def test_threads_do_not_matter() -> None:
    features = points(6000, 0)
    num_threads = faiss.omp_get_max_threads()
    picks = []
    try:
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            picks.append(select(features, 20))
    finally:
        faiss.omp_set_num_threads(num_threads)
    assert torch.equal(picks[0].positions, picks[1].positions)
    assert torch.equal(picks[0].distances, picks[1].distances)


@pytest.mark.parametrize("num", [0, 10])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 9\], got {num}"):
        select(points(3, 0), num)
