"""MaxHerding, UHerding and REFINE as classes: their twins, options, needs and refits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dal.errors import ConfigError
from dal.strategies import (
    Badge,
    Margin,
    MaxHerding,
    Need,
    Query,
    Random,
    Refine,
    Strategy,
    UHerding,
)
from dal.strategies.testing import check, nearest_mean
from tests import reference
from tests.strategies.test_contract import drawn_pool, query


def make_refine(**options: Any) -> Refine:
    few = {"first_size": 20, "num_rounds": 2, "num_subsets": 3}
    return Refine(**{"strategies": [Margin(), Badge()], **few, **options})


@pytest.mark.parametrize(("name", "make"), [("max_herding", MaxHerding), ("uherding", UHerding)])
@pytest.mark.parametrize("num_labeled", [0, 1, 3, 9, 20])
@pytest.mark.parametrize("seed", range(3))
def test_picks_what_its_definition_picks(
    name: str, make: Callable[[], Strategy], num_labeled: int, seed: int
) -> None:
    pool = 45 * drawn_pool(50, seed)
    asked = query(pool, 5, num_labeled, scale=0.05, seed=seed)
    assert make()(asked).positions.tolist() == reference.selections[name](asked)


def test_what_was_derived_is_reported() -> None:
    asked = query(drawn_pool(40, 0), 4, num_labeled=20)
    derived = UHerding(num_targets=30)(asked).derived
    assert derived.keys() == {"T", "h", "num_targets", "epsilon"}
    assert derived["h"] == pytest.approx(reference.smallest_distance(asked.labeled_features))
    assert derived["num_targets"] == 30
    assert derived["epsilon"] == 0.25  # gains are estimates
    head = nearest_mean(asked.labeled_features[:14], asked.labels[:14], 3)
    logits = head(asked.labeled_features[14:])
    assert derived["T"] == reference.temperature(logits, asked.labels[14:])
    assert UHerding(temperature=2.5)(asked).derived["T"] == 2.5
    assert MaxHerding(bandwidth=0.5)(asked).derived == {
        "h": 0.5,
        "num_targets": 40,
        "epsilon": 0.0,
    }
    assert UHerding()(query(drawn_pool(40, 0), 4, num_labeled=3)).derived["T"] == 1.0


def test_without_labels_or_head_all_rows_are_uncertain() -> None:
    unlabeled = query(drawn_pool(30, 1), 4, num_labeled=0)
    selection = UHerding()(unlabeled)
    assert selection.derived == {"h": 1.0, "num_targets": 30, "epsilon": 0.0}
    assert torch.equal(selection.positions, MaxHerding()(unlabeled).positions)
    headless = replace(query(drawn_pool(30, 1), 4), head=None)
    selection = UHerding()(headless)
    bandwidth = reference.smallest_distance(headless.labeled_features)
    assert bandwidth is not None
    expected = MaxHerding(bandwidth=bandwidth)(headless)
    assert torch.equal(selection.positions, expected.positions)


def test_a_temperature_spares_the_second_fit() -> None:
    asked = replace(query(drawn_pool(30, 0), 3), refit=None)
    assert UHerding.needs == UHerding().needs == {Need.REFIT}
    with pytest.raises(ConfigError, match="UHerding needs a way to fit the head again.*MaxHerding"):
        UHerding()(asked)
    assert UHerding(temperature=1).needs == frozenset()
    assert len(UHerding(temperature=1)(asked).positions) == 3
    check(UHerding(temperature=3.0, num_targets=5))


def test_the_second_fit_is_to_the_first_labels() -> None:
    fits: list[list[int]] = []
    asked = query(drawn_pool(30, 0), 3, num_labeled=11)

    def refit(positions: Tensor) -> nn.Module:
        fits.append(positions.tolist())
        return nearest_mean(asked.labeled_features[positions], asked.labels[positions], 3)

    UHerding()(replace(asked, refit=refit).restricted_to(torch.arange(20)))
    assert fits == [[0, 1, 2, 3, 4, 5, 6]]


def test_a_sample_of_targets_leaves_all_candidates() -> None:
    pool = drawn_pool(60, 3)
    picked = {
        position
        for seed in range(10)
        for position in MaxHerding(num_targets=6)(query(pool, 5, seed=seed)).positions.tolist()
    }
    assert len(picked) > 6
    whole = MaxHerding(num_targets=None)(query(pool, 5))
    assert torch.equal(MaxHerding(num_targets=60)(query(pool, 5)).positions, whole.positions)


def test_one_target_keeps_the_contract() -> None:
    check(MaxHerding(num_targets=1))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (MaxHerding, {"subset_size": 12}),
        (MaxHerding, {"num_targets": 12}),
        (MaxHerding, {"epsilon": 0.3}),
        (MaxHerding, {"bandwidth": 0.2}),
        (UHerding, {"subset_size": 12}),
        (UHerding, {"num_targets": 12}),
        (UHerding, {"epsilon": 0.3}),
        (UHerding, {"temperature": 15.0}),
        (make_refine, {"strategies": [Margin()]}),
        (make_refine, {"subset_size": 12}),
        (make_refine, {"final": Margin()}),
        (make_refine, {"num_rounds": 1}),
        (make_refine, {"num_subsets": 9}),
        (make_refine, {"first_size": 70}),
        (make_refine, {"share": 1.0}),
        (make_refine, {"max_candidates": 6}),
    ],
)
def test_every_option_matters(make: Callable[..., Strategy], options: dict[str, Any]) -> None:
    def picks(strategy: Strategy, seed: int) -> list[int]:
        return strategy(query(drawn_pool(80, seed), 4, num_labeled=12)).positions.tolist()

    assert any(picks(make(), seed) != picks(make(**options), seed) for seed in range(10))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (MaxHerding, {"num_targets": 0}, "`num_targets` of at least 1, got 0"),
        (MaxHerding, {"bandwidth": 0}, "`bandwidth` above 0, got 0"),
        (UHerding, {"epsilon": 1}, r"`epsilon` in \[0, 1\), or null to decide by the pool, got 1"),
        (UHerding, {"temperature": 0}, "`temperature` above 0, got 0"),
        (UHerding, {"num_targets": -1}, "`num_targets` of at least 1"),
        (make_refine, {"strategies": []}, "at least one strategy in `strategies`, got none"),
        (make_refine, {"num_rounds": 0}, "`num_rounds` of at least 1"),
        (make_refine, {"num_subsets": 0}, "`num_subsets` of at least 1"),
        (make_refine, {"first_size": 0}, "`first_size` of at least 1"),
        (make_refine, {"max_candidates": 0}, "`max_candidates` of at least 1"),
        (make_refine, {"share": 0}, r"`share` in \(0, 1\], got 0"),
        (make_refine, {"share": 1.5}, r"`share` in \(0, 1\], got 1.5"),
    ],
)
def test_options_are_checked(
    make: Callable[..., Strategy], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_refine_needs_what_its_parts_need() -> None:
    parts = [MaxHerding(), Random()]
    assert Refine(parts).needs == {Need.REFIT}
    assert Refine(parts, final=MaxHerding()).needs == frozenset()
    assert make_refine().needs == {Need.HEAD, Need.REFIT}
    check(make_refine(first_size=5, max_candidates=3))


class Watched(Random):
    """Keeps the pools that it was shown, and what it selected from each, as features."""

    def __init__(self) -> None:
        super().__init__()
        self.pools: list[Tensor] = []
        self.selected: list[Tensor] = []

    def select(self, query: Query) -> Tensor:
        positions = super().select(query)
        self.pools.append(query.pool_features)
        self.selected.append(query.pool_features[positions])
        return positions


def rows_of(pool: Tensor, part: Tensor) -> list[int]:
    return [int((pool == row).all(1).nonzero()) for row in part]


def test_refine_filters_as_it_says() -> None:
    """In every round: the sizes of the subsets, their rows, and the union of what was selected."""
    pool, first, second, final = drawn_pool(200, 0), Watched(), Watched(), Watched()
    strategy = Refine([first, second], final=final, num_rounds=3, num_subsets=4, first_size=50)
    selection = strategy(query(pool, 6))
    subsets = [rows_of(pool, part) for part in first.pools]
    assert subsets == [rows_of(pool, part) for part in second.pools]
    assert len(subsets) == 3 * 4
    candidates = set(range(200))
    for number in range(3):
        those = slice(4 * number, 4 * number + 4)
        size = 50 if number == 0 else max(6, int(0.4 * len(candidates)))
        for subset in subsets[those]:
            assert len(subset) == len(set(subset)) == size
            assert subset == sorted(subset)
            assert set(subset) <= candidates
        assert len({tuple(subset) for subset in subsets[those]}) == 4
        candidates = {
            row
            for each in (first, second)
            for part in each.selected[those]
            for row in rows_of(pool, part)
        }
    assert rows_of(pool, final.pools[0]) == sorted(candidates)
    assert selection.derived["num_candidates"] == len(candidates)
    assert selection.positions.tolist() == rows_of(pool, final.selected[0])


def test_too_many_candidates_are_thinned_uniformly() -> None:
    pool, counts = drawn_pool(12, 0), torch.zeros(12)
    for seed in range(150):
        final = Watched()
        strategy = Refine([Random()], final=final, num_rounds=1, max_candidates=4)
        strategy(query(pool, 3, seed=seed))  # ten draws of 3 of 12
        assert len(final.pools[0]) == 4
        counts[rows_of(pool, final.pools[0])] += 1
    assert ((counts - 150 / 3).abs() < 28).all()  # 4.8 standard deviations


def test_a_part_of_a_query_reads_nothing_again() -> None:
    asked = query(drawn_pool(20, 0), 2)
    positions = torch.tensor([4, 9, 2])
    fresh = asked.restricted_to(positions)
    assert not vars(fresh).keys() & {"pool_features", "labeled_features", "labeled_probs"}
    assert torch.equal(fresh.pool_features, drawn_pool(20, 0)[positions])
    for name in ("pool_features", "pool_probs", "labeled_features", "labeled_probs"):
        getattr(asked, name)
    part = asked.restricted_to(positions)
    assert part.labeled_features is asked.labeled_features
    assert part.labeled_probs is asked.labeled_probs
    assert torch.equal(part.pool_features, asked.pool_features[positions])
    assert "pool_probs" not in vars(part)
    assert part.refit is asked.refit
