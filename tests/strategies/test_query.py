"""What a strategy is shown: embeddings of any head, samples of its posterior."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dal.data import FeatureRows
from dal.errors import ConfigError
from dal.functional import sharding
from dal.heads import MLP, Head, LinearHead
from dal.strategies import Badge, Bait, BaitBinary, BaitDiagonal, BaitExp, Query, Strategy
from dal.strategies import query as queries
from tests.strategies.test_contract import drawn_pool, query


def mlp_query(pool: Tensor, num: int, hidden_size: int = 6) -> Query:
    torch.manual_seed(2)
    head = Head(pool.shape[1], 3, lambda **sizes: MLP(**sizes, hidden_size=hidden_size))
    return replace(query(pool, num), head=head.eval().requires_grad_(False))


@pytest.mark.parametrize("make", [Bait, BaitExp, BaitBinary, BaitDiagonal, Badge])
def test_the_last_layer_is_all_that_counts(make: Callable[..., Strategy]) -> None:
    """With an MLP a strategy picks what it picks of the MLP's embeddings under its last layer."""
    with torch.random.fork_rng():
        asked = mlp_query(3 * drawn_pool(80, 4), 6)
    assert isinstance(asked.head, Head)
    plain = Query(
        pool=FeatureRows(asked.head.embed(asked.pool_features)),
        labeled=FeatureRows(asked.head.embed(asked.labeled_features)),
        labels=asked.labels,
        head=list(asked.head.network.children())[-1],
        num=asked.num,
        generator=torch.Generator().manual_seed(0),
    )
    picked = make()(asked).positions
    assert torch.equal(picked, make()(plain).positions)
    features_alone = make()(query(3 * drawn_pool(80, 4), 6)).positions
    assert not torch.equal(picked, features_alone)


def test_embeddings_of_a_linear_head_are_not_copied() -> None:
    for head in (nn.Linear(4, 3), LinearHead(4, 3)):
        asked = replace(query(drawn_pool(9, 0), 2), head=head)
        assert asked.pool_embeddings is asked.pool_features
        assert asked.labeled_embeddings is asked.labeled_features
        assert asked.embedding_size == 4


def test_embeddings_are_computed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MIN_CHUNK_ROWS", 4)
    monkeypatch.setattr(queries, "CHUNK_LOGITS", 1)
    with torch.random.fork_rng():
        asked = mlp_query(drawn_pool(11, 0), 2)
    assert isinstance(asked.head, Head)
    torch.testing.assert_close(asked.pool_embeddings, asked.head.embed(drawn_pool(11, 0)))
    assert "pool_features" not in vars(asked)
    assert asked.embedding_size == 6


def test_a_head_of_which_the_last_layer_is_not_known_is_refused() -> None:
    asked = replace(query(drawn_pool(9, 0), 2), head=nn.Sequential(nn.Linear(4, 3)))
    assert asked.pool_probs.shape == (9, 3)
    with pytest.raises(ConfigError, match="a Linear or has a method `embed`, got Sequential"):
        BaitBinary()(asked)


def test_samples_are_those_of_the_head() -> None:
    with torch.random.fork_rng():
        asked = mlp_query(drawn_pool(11, 0), 2)
    assert isinstance(asked.head, Head)
    spread = asked.map_pool_samples(lambda probs: probs.var(0), 3)
    asked.head.fit_posterior(asked.labeled_features)
    seed = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(0)))
    generator = torch.Generator().manual_seed(seed)
    samples = asked.head.sample(asked.pool_features, 3, generator).softmax(-1)
    assert samples.shape == (3, 11, 3)
    torch.testing.assert_close(spread, samples.var(0))


def test_joint_samples_are_functions_of_the_head() -> None:
    with torch.random.fork_rng():
        asked = mlp_query(drawn_pool(11, 0), 2)
    assert isinstance(asked.head, Head)
    rows = asked.map_pool_samples(lambda probs: probs.movedim(0, 1), 4, joint=True)
    functions = asked.head.sample_functions(4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(rows, functions(asked.pool_features).softmax(-1).movedim(0, 1))


@pytest.mark.parametrize("joint", [False, True])
def test_samples_do_not_depend_on_chunks(joint: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng():
        asked = mlp_query(drawn_pool(11, 0), 2)
    sizes: list[int] = []

    def kept(logits: Tensor) -> Tensor:
        sizes.append(logits.shape[1])
        return logits.movedim(0, 1)

    state = asked.generator.get_state()
    whole = asked.map_pool_logit_samples(kept, 3, joint)
    monkeypatch.setattr(queries, "MIN_CHUNK_ROWS", 6)
    monkeypatch.setattr(queries, "CHUNK_LOGITS", 1)
    asked.generator.set_state(state)
    parts = replace(asked).map_pool_logit_samples(kept, 3, joint)
    assert sizes == [11, 2, 2, 2, 2, 2, 1]  # 3 samples of 2 rows are as many as 6 rows
    torch.testing.assert_close(parts, whole)


def test_probabilities_by_class_are_the_same() -> None:
    asked = query(drawn_pool(11, 0), 2)
    by_class = asked.pool_probs_by_class
    assert by_class.is_contiguous()
    torch.testing.assert_close(by_class.mT, asked.pool_probs)


def test_the_number_of_classes_may_be_known_without_a_head() -> None:
    asked = query(drawn_pool(9, 0), 2, num_classes=3)
    assert replace(asked, known_classes=5).num_classes == 3  # the head's own
    headless = replace(asked, head=None)
    assert replace(headless, known_classes=5).num_classes == 5
    assert replace(headless, known_classes=5).restricted_to(torch.arange(3)).num_classes == 5
    with pytest.raises(ConfigError, match="a query with a fitted head"):
        _ = headless.num_classes


def test_a_head_without_a_posterior_is_refused() -> None:
    asked = query(drawn_pool(9, 0), 2)
    for joint, method in ((False, "sample"), (True, "sample_functions")):
        message = f"a head with a posterior, got Linear, which has no method `{method}`"
        with pytest.raises(ConfigError, match=message):
            asked.map_pool_samples(lambda probs: probs[0], 2, joint)


@pytest.mark.parametrize(
    ("rank", "expected"), [(0, slice(0, 0)), (1, slice(0, 8)), (2, slice(8, 11))]
)
def test_a_share_is_whole_chunks_or_nothing(
    rank: int, expected: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharding, "CHUNK_ROWS", 8)
    monkeypatch.setattr(queries, "MIN_CHUNK_ROWS", 5)
    monkeypatch.setattr(queries, "CHUNK_LOGITS", 1)
    asked = query(drawn_pool(11, 0), 2)
    assert asked.own_share() == (slice(0, 11, None), asked)
    asked = replace(asked, shares=sharding.Shares())
    asked.shares.num, asked.shares.rank = 3, rank
    rows, own = asked.own_share()
    assert rows == expected
    assert own.chunk_rows == 4  # at most 5, and a part of 8
    for name in ("pool_features", "pool_embeddings", "pool_probs", "feature_rows"):
        assert torch.equal(getattr(own, name)[:], getattr(asked, name)[rows])
    assert torch.equal(own.pool_probs_by_class, asked.pool_probs_by_class[:, rows])
    doubled = own.map_pool_features(lambda features: 2 * features)
    assert torch.equal(doubled, 2 * asked.pool_features[rows])
