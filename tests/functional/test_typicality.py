import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import typicality
from tests import reference


def points(num: int, seed: int, d: int = 3) -> Tensor:
    return torch.randn(num, d, generator=torch.Generator().manual_seed(seed))


def selected(features: Tensor, num_labeled: int, num: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return typicality.select(features, num_labeled, num, generator).tolist()


def assignment(features: Tensor, num_clusters: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    faiss_seed = int(torch.randint(2**31 - 1, (), generator=generator))
    return typicality.clusters(features, num_clusters, faiss_seed).tolist()


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
    run = selected(features, num_labeled, num)
    assert run[: len(expected)] == expected
    assert len(set(run)) == num
    assert all(0 <= position < num_pool for position in run)


def test_the_clusters_without_labels_come_first_and_the_largest_of_them() -> None:
    cluster = torch.tensor([0] * 6 + [1] * 9 + [2] * 8 + [3] * 5 + [4] * 20)
    is_labeled = torch.zeros(48, dtype=torch.bool)
    is_labeled[[0, 40, 41]] = True
    assert typicality.ranked_clusters(cluster, is_labeled) == [1, 2, 0, 4]


def test_a_cluster_gives_its_densest_point() -> None:
    around = torch.cat([10 * points(12, 0, 2), 100 + torch.tensor([[0.0, 0.0]])])
    dense = 100 + 0.1 * points(9, 1, 2)
    features = torch.cat([around, dense])
    assert selected(features, 0, 2)[0] >= 12 or selected(features, 0, 2)[1] >= 12


def test_all_clusters_small_is_uniform() -> None:
    features = points(12, 0)
    runs = {tuple(selected(features, 4, 8, seed)) for seed in range(5)}
    assert all(sorted(run) == list(range(8)) for run in runs)
    assert len(runs) > 1


def test_more_than_the_clusters_goes_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typicality, "MAX_CLUSTERS", 4)
    features = points(60, 3)
    run = selected(features, 10, 40)
    assert run == (
        expected := reference.typiclust(features.double(), 10, 40, assignment(features, 4))
    )
    assert len(expected) == 40


def test_duplicates_leave_clusters_empty() -> None:
    features = torch.zeros(40, 3)
    features[:3] = 1
    assert len(set(selected(features, 5, 20))) == 20


def test_far_more_than_five_hundred_clusters() -> None:
    features = points(1500, 0)
    run = selected(features, 400, 600)
    assert len(set(run)) == 600
    assert max(assignment(features, 500)) < 500


def test_clustering_repeats_and_uses_all_rows() -> None:
    features = points(2000, 0)
    first = typicality.clusters(features, 5, seed=1)
    assert torch.equal(first, typicality.clusters(features, 5, seed=1))
    # faiss's own sample would be 5 × 256 rows: its centres would not be the means of all rows.
    centres = torch.stack([features[first == c].mean(0) for c in range(5)])
    nearest = torch.cdist(features, centres).argmin(1)
    assert (nearest == first).double().mean() > 0.97


@pytest.mark.parametrize("num", [0, 6])
def test_refuses_more_than_there_is(num: int) -> None:
    with pytest.raises(ValueError, match=rf"`num` in \[1, 5\], got {num}"):
        selected(points(8, 0), 3, num)
    with pytest.raises(ValueError, match=r"`num` in \[1, 8\], got 9"):
        typicality.clusters(points(8, 0), 9, 0)
