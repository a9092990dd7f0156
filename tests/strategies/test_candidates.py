"""Strategies that select one of each cluster of candidates, and TCM: picks, options, refusals."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dal.data import FeatureRows
from dal.errors import ConfigError, DataError, ResourceError
from dal.heads import MLP, Head
from dal.runtime import devices
from dal.strategies import (
    AlfaMix,
    ClusterMargin,
    DropQuery,
    KMeans,
    Margin,
    Query,
    Strategy,
    Tcm,
    TypiClust,
)
from dal.strategies import query as queries
from tests import reference
from tests.reference import candidates as twins
from tests.strategies.test_contract import drawn_pool, query

MAKE: dict[str, Callable[..., Strategy]] = {
    "k_means": KMeans,
    "drop_query": DropQuery,
    "alfa_mix": AlfaMix,
    "cluster_margin": ClusterMargin,
    "tcm": Tcm,
}
each_strategy = pytest.mark.parametrize("name", MAKE)


@st.composite
def problems(draw: st.DrawFn, name: str) -> Query:
    """Queries of all kinds and scales for a strategy, to a linear head."""
    seed = draw(st.integers(0, 10**6))
    size = draw(st.integers(1, 70))
    num_features, num_classes = draw(st.integers(2, 8)), draw(st.integers(2, 5))
    norm = draw(st.sampled_from([0.1, 1.0, 45.0, 1000.0]))
    pool = norm * drawn_pool(size, seed, num_features) / num_features**0.5
    kinds = ["plain", "duplicates", "zeros"]
    if name != "cluster_margin":  # of equal mean distances, which is merged first is open
        kinds.append("few values")
    kind = draw(st.sampled_from(kinds))
    if kind == "duplicates":
        pool[size // 2 :] = pool[: size - size // 2].clone()
    elif kind == "zeros":
        pool[::3] = 0
    elif kind == "few values":
        pool = pool.sign() * norm
    num_labeled = draw(st.integers(1 if name == "alfa_mix" else 0, 12))
    num = draw(st.one_of(st.integers(1, min(size, 4)), st.just(size)))
    asked = query(pool, num, num_labeled, num_classes, seed)
    labeled = norm * asked.labeled_features / num_features**0.5
    head = nn.Linear(num_features, num_classes)
    generator = torch.Generator().manual_seed(seed)
    head.weight.data = 3 / norm * torch.randn(num_classes, num_features, generator=generator)
    head.bias.data = torch.randn(num_classes, generator=generator)
    labels = torch.zeros_like(asked.labels) if draw(st.booleans()) else asked.labels
    return Query(
        pool=asked.pool,
        labeled=FeatureRows(labeled),
        labels=labels,
        head=head.requires_grad_(False).eval(),
        num=num,
        generator=asked.generator,
    )


@each_strategy
@settings(max_examples=100)
@given(st.data())
def test_picks_what_its_definition_picks(name: str, data: st.DataObject) -> None:
    asked = data.draw(problems(name))
    state = asked.generator.get_state()
    expected = reference.selections[name](asked)
    asked.generator.set_state(state)
    assert MAKE[name]()(replace(asked)).positions.tolist() == list(expected)


@pytest.mark.parametrize(
    ("make", "twin", "options"),
    [
        (KMeans, twins.k_means, {"max_points_per_centroid": 2}),
        (DropQuery, twins.drop_query, {"max_points_per_centroid": 2}),
        (DropQuery, twins.drop_query, {"num_passes": 4}),
        (DropQuery, twins.drop_query, {"dropout": 0.3}),
        (AlfaMix, twins.alfa_mix, {"max_points_per_centroid": 2}),
        (AlfaMix, twins.alfa_mix, {"epsilon_step": 0.05}),
        (ClusterMargin, twins.cluster_margin, {"candidates_per_pick": 3}),
        (ClusterMargin, twins.cluster_margin, {"cut": 0.9}),
    ],
)
def test_every_option_matters_as_it_is_defined(
    make: Callable[..., Strategy], twin: Callable[..., list[int]], options: dict[str, Any]
) -> None:
    names = {"max_points_per_centroid": "max_points", "epsilon_step": "step"}
    names |= {"candidates_per_pick": "per_pick"}
    num_changed = 0
    for seed in range(6):
        pool = 2 * drawn_pool(90, seed)
        picked = make(**options)(query(pool, 3, seed=seed)).positions.tolist()
        renamed = {names.get(key, key): value for key, value in options.items()}
        assert picked == twin(query(pool, 3, seed=seed), **renamed)
        num_changed += picked != make()(query(pool, 3, seed=seed)).positions.tolist()
    assert num_changed > 0


@pytest.mark.parametrize("options", [{"max_clusters": 3}, {"normalize": False}])
@pytest.mark.parametrize("make", [TypiClust, Tcm])
def test_the_options_of_typiclust_matter(
    make: Callable[..., Strategy], options: dict[str, Any]
) -> None:
    def picks(strategy: Strategy) -> list[list[int]]:
        asked = [query(drawn_pool(200, seed), 5, num_labeled=9) for seed in range(5)]
        return [strategy(one).positions.tolist() for one in asked]

    assert picks(make(**options)) != picks(make())
    assert picks(make(**options)) == picks(TypiClust(**options))


def test_typiclust_caps_its_clusters() -> None:
    def num_clusters(**options: int) -> object:
        asked = query(drawn_pool(600, 0), 550, num_labeled=9)
        return TypiClust(**options)(asked).derived["num_clusters"]  # type: ignore[arg-type]

    assert num_clusters() == 500
    assert num_clusters(max_clusters=520) == 520
    assert num_clusters(max_clusters=10_000) == 559


def test_tcm_switches_at_a_number_of_labels() -> None:
    pool = drawn_pool(100, 0)

    def selected_by(num_labeled: int, **options: int) -> object:
        selection = Tcm(**options)(query(pool, 5, num_labeled))  # type: ignore[arg-type]
        strategy = {"TypiClust": TypiClust(), "Margin": Margin()}[
            str(selection.derived["selected_by"])
        ]
        expected = strategy(query(pool, 5, num_labeled))
        assert torch.equal(selection.positions, expected.positions)
        assert expected.scores is not None
        torch.testing.assert_close(selection.scores, expected.scores, equal_nan=True)
        return selection.derived["selected_by"]

    assert [selected_by(num) for num in (0, 19, 20, 21)] == ["TypiClust"] * 2 + ["Margin"] * 2
    assert [selected_by(num, switch_after=9) for num in (8, 9)] == ["TypiClust", "Margin"]
    headless = replace(query(pool, 5, 50), head=None)
    assert Tcm()(headless).derived["selected_by"] == "TypiClust"


@pytest.mark.parametrize("change", [{"head": None}, {"num_labeled": 0}])
def test_drop_query_without_labels_is_k_means(change: dict[str, Any]) -> None:
    pool = drawn_pool(80, 3)

    def asked() -> Query:
        made = query(pool, 6, change.get("num_labeled", 7))
        return replace(made, head=None) if "head" in change else made

    picked = DropQuery()(asked())
    assert torch.equal(picked.positions, KMeans()(asked()).positions)
    assert "num_candidates" not in picked.derived
    sampled = DropQuery(max_points_per_centroid=2)(asked()).positions
    assert torch.equal(sampled, KMeans(max_points_per_centroid=2)(asked()).positions)


@each_strategy
def test_chunks_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def selection() -> Any:
        return MAKE[name]()(query(2 * drawn_pool(300, 5), 3, num_labeled=20))

    whole = selection()
    monkeypatch.setattr(queries, "MIN_CHUNK_ROWS", 7)
    monkeypatch.setattr(queries, "CHUNK_LOGITS", 1)
    parts = selection()
    assert torch.equal(parts.positions, whole.positions)
    assert parts.derived == whole.derived


@each_strategy
def test_threads_do_not_matter(name: str) -> None:
    picks = []
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            picks.append(MAKE[name]()(query(2 * drawn_pool(4000, 5, 16), 20, num_labeled=90)))
    finally:
        torch.set_num_threads(num_threads)
    assert torch.equal(picks[0].positions, picks[1].positions)


def test_what_is_derived_is_what_happened() -> None:
    asked = query(2 * drawn_pool(300, 1), 3)
    dropped = DropQuery()(asked).derived
    assert dropped["min_mismatches"] == 2
    assert 75 <= dropped["num_candidates"] < 300  # type: ignore[operator]
    few = DropQuery()(query(2 * drawn_pool(300, 1), 20)).derived
    assert few["min_mismatches"] == 1
    assert few["num_candidates"] > dropped["num_candidates"]  # type: ignore[operator]

    mixed = AlfaMix()(query(2 * drawn_pool(300, 1), 3))
    assert mixed.derived["epsilon"] == 0.2
    assert 3 < mixed.derived["num_candidates"] < 300  # type: ignore[operator]
    many = AlfaMix()(query(2 * drawn_pool(300, 1), 250))
    assert many.derived["epsilon"] == 1.0
    assert many.derived["num_uniform"] == 250 - int(many.derived["num_candidates"]) > 0
    assert many.scores is not None
    assert many.scores.isnan().sum() == many.derived["num_uniform"]

    clustered = ClusterMargin()(query(2 * drawn_pool(300, 1), 3))
    assert clustered.derived["num_candidates"] == 30
    assert 1 < clustered.derived["num_clusters"] <= 30  # type: ignore[operator]
    all_margins = Margin()(query(2 * drawn_pool(300, 1), 300))
    margins = dict(zip(all_margins.positions.tolist(), all_margins.scores.tolist(), strict=True))  # type: ignore[union-attr]
    assert clustered.scores is not None
    for position, score in zip(clustered.positions.tolist(), clustered.scores, strict=True):
        assert score == pytest.approx(margins[position])
        assert position in all_margins.positions[:30]


@pytest.mark.parametrize("make", [AlfaMix, ClusterMargin])
def test_the_last_layer_is_all_that_counts(make: Callable[..., Strategy]) -> None:
    """With an MLP a strategy picks what it picks of the MLP's embeddings under its last layer."""
    pool = 3 * drawn_pool(80, 4)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        head = Head(4, 3, lambda **sizes: MLP(**sizes, hidden_size=6)).eval()
    asked = replace(query(pool, 6), head=head.requires_grad_(False))
    plain = Query(
        pool=FeatureRows(head.embed(pool)),
        labeled=FeatureRows(head.embed(asked.labeled_features)),
        labels=asked.labels,
        head=head.last_layer,
        num=6,
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(make()(asked).positions, make()(plain).positions)


class Embedding(nn.Module):
    """A head that does not say which its last layer is."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)

    def embed(self, features: Tensor) -> Tensor:
        return features.relu()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.last(self.embed(features))
        return logits


def test_a_head_that_hides_its_last_layer_is_named() -> None:
    def network(**_: int) -> nn.Module:
        return Embedding()

    for head, name in ((Embedding(), "Embedding"), (Head(4, 3, network), "Head")):
        with pytest.raises(ConfigError, match=f"attribute `last_layer`, got {name}"):
            AlfaMix()(replace(query(drawn_pool(9, 0), 2), head=head.eval()))


@pytest.mark.parametrize("make", [DropQuery, AlfaMix])
def test_a_diverged_head_is_named(make: Callable[..., Strategy]) -> None:
    linear = nn.Linear(4, 3)
    linear.weight.data.fill_(float("nan"))
    with pytest.raises(DataError, match="the head has diverged"):
        make()(replace(query(drawn_pool(9, 0), 2), head=linear))


def test_alfa_mix_without_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"AlfaMix needs labeled examples.*DropQuery.*KMeans"):
        AlfaMix()(query(drawn_pool(9, 0), 2, num_labeled=0))


def test_too_many_candidates_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = query(drawn_pool(500, 0), 40)
    monkeypatch.setattr(devices, "available_bytes", lambda _: 1_000_000)
    with pytest.raises(ResourceError, match=r"distances of 400 candidates.*candidates_per_pick"):
        ClusterMargin()(asked)
    assert "pool_features" not in vars(asked)
    assert len(ClusterMargin(candidates_per_pick=7)(asked).positions) == 40


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (KMeans, {"max_points_per_centroid": 0}, "`max_points_per_centroid` of at least 1"),
        (DropQuery, {"max_points_per_centroid": 0}, "`max_points_per_centroid` of at least 1"),
        (DropQuery, {"num_passes": 0}, "`num_passes` of at least 1, got 0"),
        (DropQuery, {"dropout": 1.0}, r"`dropout` in \[1/256, 1 - 1/256\], got 1.0"),
        (AlfaMix, {"epsilon_step": 0}, r"`epsilon_step` in \(0, 1\], got 0"),
        (AlfaMix, {"epsilon_step": 1.5}, r"`epsilon_step` in \(0, 1\], got 1.5"),
        (ClusterMargin, {"candidates_per_pick": 0}, "`candidates_per_pick` of at least 1, got 0"),
        (ClusterMargin, {"cut": -0.1}, "`cut` of at least 0, got -0.1"),
        (Tcm, {"switch_after": 0}, "`switch_after` of at least 1, or null"),
        (Tcm, {"max_clusters": 0}, "`max_clusters` of at least 1, got 0"),
        (TypiClust, {"max_clusters": 0}, "`max_clusters` of at least 1, got 0"),
        (TypiClust, {"max_points_per_centroid": 0}, "`max_points_per_centroid` of at least 1"),
        (ClusterMargin, {"subset_size": 0}, "`subset_size` of at least 1"),
        (Tcm, {"subset_size": 0}, "`subset_size` of at least 1"),
    ],
)
def test_options_are_checked(
    make: Callable[..., Strategy], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)
