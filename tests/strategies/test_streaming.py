"""Pools that are not in memory: every strategy that can, reads them in chunks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dal import strategies
from dal.bench.select import Problem, draw_features, make_query
from dal.data import FeatureRows
from dal.data import rows as data_rows
from dal.data.listener import PoolListener
from dal.errors import ResourceError
from dal.functional import bait, bait_rank_one, clustering, fisher, representatives, seeding
from dal.runtime import devices, memory_maps
from dal.strategies import Query, TypiClust, typiclust
from dal.strategies import query as queries
from dal.strategies.k_means import ClusterStrategy
from dal.strategies.strategy import Strategy
from dal.strategies.testing import TwoLayers

READ_IN_CHUNKS = (
    *("random", "margin", "entropy", "least_confidence", "bald", "core_set", "bait_binary"),
    *("badge", "typiclust", "alfa_mix", "k_means", "drop_query", "cluster_margin"),
)
NUM_ROWS, CHUNK_ROWS = 6000, 1024
PROBLEM = Problem(NUM_ROWS - 40, 5, 40, 30)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """float16, in a file, with some rows twice."""
    drawn = draw_features(PROBLEM, 16)
    drawn[100:150] = drawn[2000:2050]
    file = tmp_path_factory.mktemp("pool") / "features.npy"
    np.save(file, drawn.numpy())
    return memory_maps.tensor(np.load(file, mmap_mode="c"))


def asked(features: Tensor, in_memory: bool) -> Query:
    return make_query(PROBLEM, features, torch.device("cpu"), True, in_memory)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "CHUNK_LOGITS", 5 * CHUNK_ROWS)
    for module in (data_rows, clustering, representatives):
        monkeypatch.setattr(module, "CHUNK_ROWS", CHUNK_ROWS)
    monkeypatch.setattr(fisher, "SCRATCH_BYTES", {"cpu": 4 * 16 * CHUNK_ROWS})
    monkeypatch.setattr(bait, "SHORTLIST_ROWS", CHUNK_ROWS // 2)
    monkeypatch.setattr(bait_rank_one, "CHUNK_ROWS", {"cpu": CHUNK_ROWS})
    # As for large pools.
    monkeypatch.setattr(seeding, "SMALL_POOL", NUM_ROWS // 2)
    monkeypatch.setattr(typiclust, "MAX_CLUSTERED_POINTS", NUM_ROWS // 2)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", READ_IN_CHUNKS)
def test_the_same_is_selected_in_memory_and_from_a_file(
    name: str, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy: Strategy = strategies.by_name(name)
    if isinstance(strategy, ClusterStrategy | TypiClust):
        strategy = type(strategy)(max_points_per_centroid=10)  # fewer than there are
    expected = strategy(asked(features, in_memory=True))
    sizes: list[int] = []
    read = FeatureRows._read

    def watched(rows: FeatureRows, indices: Tensor) -> Tensor:
        sizes.append(len(indices))
        return read(rows, indices)

    monkeypatch.setattr(FeatureRows, "_read", watched)
    query = asked(features, in_memory=False)
    found = strategy(query)
    assert torch.equal(found.positions, expected.positions)
    assert found.derived == expected.derived
    if found.scores is not None and expected.scores is not None:
        assert torch.equal(found.scores.nan_to_num(), expected.scores.nan_to_num())
    assert max(sizes, default=0) <= CHUNK_ROWS
    assert not {"pool_features", "pool_embeddings", "pool_probs"} & vars(query).keys()


def test_a_pool_beyond_memory_is_refused_by_who_needs_all_of_it(
    features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = asked(features, in_memory=False)
    monkeypatch.setattr(devices, "available_bytes", lambda _: 200_000)
    message = r"needs the whole pool of 5,960 × 16 in memory.*strategy.subset_size=1562"
    with pytest.raises(ResourceError, match=message):
        strategies.by_name("max_herding")(query)
    part = type(strategies.by_name("max_herding"))(subset_size=1562)
    assert len(part(query).positions) == 30


def test_embeddings_of_a_network_are_computed_as_they_are_read(
    features: Tensor,
) -> None:
    torch.manual_seed(0)
    head = TwoLayers(16, 5).requires_grad_(False).eval()
    query = replace(asked(features, in_memory=False), head=head)
    rows = query.embedding_rows
    assert rows.shape == (NUM_ROWS - 40, 5)
    assert not isinstance(rows, Tensor)
    kept = replace(asked(features, in_memory=True), head=head).embedding_rows
    assert isinstance(kept, Tensor)
    torch.testing.assert_close(rows[100:400], kept[100:400])


def test_who_shows_the_progress_is_told(features: Tensor) -> None:
    told: list[tuple[str, int]] = []

    class Listener(PoolListener):
        def read(self, num: int, total: int) -> None:
            assert num <= total == NUM_ROWS - 40
            told.append(("read", num))

        def streamed(self, num_bytes: int) -> None:
            told.append(("streamed", num_bytes))

        def chosen(self, num: int, total: int) -> None:
            assert total == 60  # twice as many as are selected
            told.append(("chosen", num))

    query = asked(features, in_memory=False)
    query.pool.listener = Listener()
    strategies.by_name("bait_binary")(query)
    assert ("read", NUM_ROWS - 40) in told
    assert ("streamed", 4 * 16 * (NUM_ROWS - 40)) in told
    assert told[-1] == ("chosen", 60)
