import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dal.functional import linkage
from tests import reference
from tests.functional.test_clustering import points


@settings(max_examples=200)
@given(
    st.integers(1, 14),
    st.integers(1, 5),
    st.sampled_from([0.1, 1.0, 1000.0]),
    st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_clusters_are_merged_by_mean_distances(
    num: int, num_features: int, norm: float, cut: float, seed: int, with_duplicates: bool
) -> None:
    features = norm * points(num, seed, num_features)
    if with_duplicates:
        features[num // 2 :] = features[: num - num // 2].clone()
    clusters = linkage.average_linkage(features, cut)
    assert clusters.assignment.tolist() == reference.average_linkage(features.double(), cut)


def test_equal_rows_are_one_cluster() -> None:
    clusters = linkage.average_linkage(torch.ones(7, 3), 0.5)
    assert clusters.assignment.tolist() == [0] * 7
    assert clusters.max_distance == 0


def test_near_duplicates_are_told_apart() -> None:
    """At norm 45, the expansion of the square in float32 errs by more than these distances."""
    centre = torch.full((1, 384), 45 / 384**0.5)
    features = centre + 1e-4 * torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    assert linkage.average_linkage(features, 0.5).assignment.tolist() == [0, 0, 1, 1]


def test_the_memory_is_what_is_said() -> None:
    """The distances of scipy and ours, and little else."""
    code = """
import torch
from dal.functional import linkage
from dal.runtime import devices
cpu = torch.device("cpu")
linkage.average_linkage(torch.randn(300, 4), 0.5)  # what the first call alone takes
devices.reset_peak(cpu)
before = devices.peak_bytes(cpu)
linkage.average_linkage(torch.randn(3000, 4), 0.5)
print(devices.peak_bytes(cpu) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 0.8 < int(done.stdout) / linkage.peak_bytes(3000) < 1.2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 1000), st.data())
def test_rows_are_drawn_in_turns(clusters: list[int], seed: int, data: st.DataObject) -> None:
    numbers = {old: new for new, old in enumerate(dict.fromkeys(clusters))}
    assignment = [numbers[cluster] for cluster in clusters]
    num = data.draw(st.integers(0, len(assignment)))
    expected = reference.round_robin(assignment, num, torch.Generator().manual_seed(seed))
    drawn = linkage.round_robin(torch.tensor(assignment), num, torch.Generator().manual_seed(seed))
    assert drawn == expected
    assert len(set(drawn)) == num


def test_members_are_drawn_uniformly() -> None:
    assignment = torch.tensor([0] * 5 + [1] * 20)
    counts = torch.zeros(25)
    for seed in range(2000):
        counts[linkage.round_robin(assignment, 2, torch.Generator().manual_seed(seed))] += 1
    assert ((counts[:5] - 400).abs() < 5 * 18).all()
    assert ((counts[5:] - 100).abs() < 5 * 10).all()


def test_refuses_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        linkage.average_linkage(torch.empty(0, 3), 0.5)
    with pytest.raises(ValueError, match=r"`num` in \[0, 2\], got 3"):
        linkage.round_robin(torch.tensor([0, 0]), 3, torch.Generator())
