"""BALD, PowerBALD, BatchBALD and Falcun as classes: their options, their twins, their refusals."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dal.bench import select
from dal.errors import ConfigError, ResourceError
from dal.heads import LinearHead
from dal.runtime import devices
from dal.strategies import Bald, BatchBald, Falcun, Query, Strategy
from dal.strategies import query as queries
from tests import reference, versus
from tests.strategies.test_contract import drawn_pool, query


def posterior_query(pool: Tensor, num: int, seed: int = 0, norm: float = 1.0) -> Query:
    """A query with a linear head that has a posterior."""
    asked = query(pool, num, num_labeled=9, seed=seed)
    head = LinearHead(pool.shape[1], 3)
    with torch.no_grad():
        for own, given in zip(head.parameters(), asked.head.parameters(), strict=True):  # type: ignore[union-attr]
            own.copy_(given / norm)
    return replace(asked, head=head.eval().requires_grad_(False))


@pytest.mark.parametrize("name", ["bald", "batch_bald", "falcun"])
@pytest.mark.parametrize("norm", [0.1, 1.0, 45.0, 1000.0])
@pytest.mark.parametrize("seed", range(3))
def test_picks_what_its_definition_picks(name: str, norm: float, seed: int) -> None:
    """In float32, with copies of some rows and a row of zeros."""
    pool = norm * drawn_pool(20, seed)
    pool = torch.cat([pool, pool[:6], torch.zeros(1, 4)])
    expected = reference.selections[name](posterior_query(pool, 3, seed, norm))
    picked = select.make_strategy(name)(posterior_query(pool, 3, seed, norm)).positions
    # A copy counts as its original: products of matrices may give it another last bit.
    originals = torch.cat([torch.arange(20), torch.arange(6), torch.tensor([26])])
    assert torch.equal(originals[picked], originals[torch.tensor(expected)])


def test_naive_twins_pick_the_same_in_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setattr(versus, "SMALL", versus.SMALL._replace(pool=40))
    names = ["bald", "batch_bald", "falcun"]
    figures = versus.against_naive(names, Console())
    assert {name: row["same_picks"] for name, row in figures.items()} == dict.fromkeys(names, True)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Bald, {"num_samples": 5}),
        (Bald, {"power": True}),
        (BatchBald, {"num_samples": 5}),
        (BatchBald, {"max_configurations": 4}),
        (Falcun, {"gamma": 1.0}),
    ],
)
def test_every_option_matters(make: Callable[..., Strategy], options: dict[str, Any]) -> None:
    def picks(strategy: Strategy, seed: int) -> list[int]:
        return strategy(posterior_query(3 * drawn_pool(80, seed), 6, seed)).positions.tolist()

    assert any(picks(make(), seed) != picks(make(**options), seed) for seed in range(10))


@pytest.mark.parametrize("strategy", [Bald(), Bald(power=True), BatchBald(), Falcun()])
def test_picks_do_not_depend_on_chunks(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = 3 * drawn_pool(200, 0)
    whole = strategy(posterior_query(pool, 6))
    monkeypatch.setattr(queries, "MIN_CHUNK_ROWS", 40)
    monkeypatch.setattr(queries, "CHUNK_LOGITS", 1)
    parts = strategy(posterior_query(pool, 6))
    assert torch.equal(parts.positions, whole.positions)
    torch.testing.assert_close(parts.scores, whole.scores)


def test_power_draws_in_proportion_to_the_information() -> None:
    pool = 0.3 * drawn_pool(4, 2)
    weights = torch.zeros(4)
    ordered = Bald(num_samples=200)(posterior_query(pool, 4, seed=0))
    assert ordered.scores is not None
    weights[ordered.positions] = ordered.scores
    counts = torch.zeros(4)
    for seed in range(600):
        counts[Bald(num_samples=200, power=True)(posterior_query(pool, 1, seed)).positions] += 1
    torch.testing.assert_close(counts / 600, weights / weights.sum(), atol=0.07, rtol=0)


def test_examples_without_information_are_drawn_uniformly() -> None:
    pool = torch.cat([drawn_pool(1, 0), torch.zeros(9, 4)])  # no weights, no doubt about them
    first = set()
    for seed in range(30):
        selection = Bald(power=True)(posterior_query(pool, 3, seed))
        assert selection.derived == {"num_uniform": 2}
        assert selection.positions[0] == 0
        assert selection.scores is not None
        assert selection.scores.isnan().tolist() == [False, True, True]
        first.add(int(selection.positions[1]))
    assert len(first) > 5
    assert Bald()(posterior_query(pool, 3)).positions.tolist() == [0, 1, 2]


def test_batch_bald_says_what_it_reached() -> None:
    selection = BatchBald(num_samples=4)(posterior_query(45 * drawn_pool(50, 0), 8))
    assert selection.scores is not None
    reached = float(selection.scores.nansum())
    assert selection.derived["information"] == pytest.approx(reached)
    assert reached == pytest.approx(torch.tensor(4.0).log().item(), abs=1e-2)  # log S, the most


def test_large_batches_are_refused_with_what_to_take_instead() -> None:
    asked = posterior_query(drawn_pool(60, 0), 51)
    with pytest.raises(ConfigError, match="at most 50 .* got 51.*strategy=bald strategy.power=tr"):
        BatchBald()(asked)
    assert "pool_features" not in vars(asked)
    assert len(BatchBald()(replace(asked, num=50)).positions) == 50


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_bytes", lambda _: 60_000)
    with pytest.raises(ResourceError, match="for 60 examples, 3 classes and 100 samples") as caught:
        BatchBald()(posterior_query(drawn_pool(60, 0), 2))
    assert "strategy.subset_size=50" in str(caught.value)
    assert len(BatchBald(subset_size=50)(posterior_query(drawn_pool(60, 0), 2)).positions) == 2


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Bald, {"num_samples": 1}, "`num_samples` of at least 2, got 1"),
        (BatchBald, {"num_samples": 0}, "`num_samples` of at least 2, got 0"),
        (BatchBald, {"max_configurations": 0}, "`max_configurations` of at least 1, got 0"),
        (Falcun, {"gamma": 0}, "`gamma` above 0, got 0"),
    ],
)
def test_options_are_checked(
    make: Callable[..., Strategy], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)
