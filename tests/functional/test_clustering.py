import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import clustering
from tests import reference


def points(num: int, seed: int, num_features: int = 3) -> Tensor:
    return torch.randn(num, num_features, generator=torch.Generator().manual_seed(seed))


def test_k_means_repeats() -> None:
    features = points(200, 0)
    first = clustering.k_means(features, 5, seed=1)
    assert torch.equal(first, clustering.k_means(features, 5, seed=1))
    assert not torch.equal(first, clustering.k_means(features, 5, seed=2))


def test_k_means_uses_all_rows() -> None:
    """A row is in the cluster whose mean is nearest.

    Of 2000 rows faiss would take a sample of 5 × 256, whose centres are not the means of all: the
    share of rows for which this holds would be 0.986 (measured).
    """
    features = points(2000, 0)
    shares = []
    for seed in range(5):
        assignment = clustering.k_means(features, 5, seed)
        centres = torch.stack([features[assignment == c].mean(0) for c in range(5)])
        nearest = torch.cdist(features, centres).argmin(1)
        shares.append((nearest == assignment).double().mean())
    assert torch.stack(shares).mean() > 0.995


def test_duplicates_leave_clusters_empty() -> None:
    features = torch.zeros(40, 3)
    features[:3] = 1
    assignment = clustering.k_means(features, 25, seed=0)
    assert assignment.max() < 25
    assert len(assignment[:3].unique()) == 1
    assert assignment[0] not in assignment[3:]


@given(st.integers(2, 40), st.integers(0, 1000), st.data())
def test_nearest_neighbors_are_their_definition(
    num_rows: int, seed: int, data: st.DataObject
) -> None:
    num = data.draw(st.integers(1, num_rows - 1))
    features = points(num_rows, seed)
    if data.draw(st.booleans()):
        features[1] = features[0]  # a duplicate is a neighbor at distance 0
    expected = torch.tensor(reference.neighbor_distances(features.double(), num))
    distances, rows = clustering.nearest_neighbors(features, num)
    torch.testing.assert_close(distances, expected, rtol=1e-3, atol=1e-3)
    assert (rows != torch.arange(num_rows)[:, None]).all()
    to_rows = (features[:, None] - features[rows]).norm(dim=-1)  # (N, num, D) -> (N, num)
    torch.testing.assert_close(to_rows, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_any_dtype_is_clustered_as_float32(dtype: torch.dtype) -> None:
    features = points(30, 1).to(dtype)
    expected = clustering.k_means(features.float(), 4, seed=0)
    assert torch.equal(clustering.k_means(features, 4, seed=0), expected)
    assert clustering.nearest_neighbors(features, 3).distances.dtype == torch.float32


def test_refuses_more_than_there_is() -> None:
    with pytest.raises(ValueError, match=r"`num` in \[1, 8\], got 9"):
        clustering.k_means(points(8, 0), 9, 0)
    with pytest.raises(ValueError, match=r"`num` in \[1, 7\], got 8"):
        clustering.nearest_neighbors(points(8, 0), 8)
