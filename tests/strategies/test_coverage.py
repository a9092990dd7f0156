"""CoreSet and ProbCover as classes: their options, their twins, and what they refuse."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from dal.errors import ConfigError
from dal.strategies import CoreSet, ProbCover, Strategy
from dal.strategies.testing import check
from tests import reference
from tests.strategies.test_contract import drawn_pool, query


@pytest.mark.parametrize("num_labeled", [0, 1, 7])
@pytest.mark.parametrize("scale", [0.1, 1.0, 1000.0])
@pytest.mark.parametrize("seed", range(3))
def test_core_set_picks_what_its_definition_picks(
    num_labeled: int, scale: float, seed: int
) -> None:
    pool = scale * drawn_pool(60, seed)
    expected = reference.selections["core_set"](query(pool, 9, num_labeled, seed=seed))
    assert CoreSet()(query(pool, 9, num_labeled, seed=seed)).positions.tolist() == expected


@pytest.mark.parametrize("num_labeled", [0, 7])
@pytest.mark.parametrize("seed", range(4))
def test_prob_cover_picks_what_its_definition_picks(num_labeled: int, seed: int) -> None:
    pool = drawn_pool(25, seed)
    expected = reference.selections["prob_cover"](query(pool, 9, num_labeled, seed=seed))
    assert ProbCover()(query(pool, 9, num_labeled, seed=seed)).positions.tolist() == expected


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (CoreSet, {"subset_size": 12}),
        (ProbCover, {"subset_size": 12}),
        (ProbCover, {"delta": 0.3}),
        (ProbCover, {"purity": 0.5}),
        (ProbCover, {"num_classes": 9}),
        (ProbCover, {"delta_sample": 3}),
        (ProbCover, {"num_targets": 20}),
    ],
)
def test_every_option_matters(make: Callable[..., Strategy], options: dict[str, Any]) -> None:
    def picks(strategy: Strategy, seed: int) -> list[int]:
        return strategy(query(drawn_pool(80, seed), 6, num_labeled=12)).positions.tolist()

    assert any(picks(make(), seed) != picks(make(**options), seed) for seed in range(10))


def test_what_was_derived_is_said() -> None:
    asked = query(drawn_pool(80, 0), 6, num_classes=4)
    derived = ProbCover()(asked).derived
    assert derived.keys() == {"delta", "num_clusters", "num_targets", "num_uniform"}
    assert derived["num_clusters"] == 4
    given = ProbCover(delta=0.6, num_targets=30)(asked).derived
    assert given == {"delta": 0.6, "num_targets": 30, "num_uniform": 0}
    assert CoreSet()(asked).derived == {"num_uniform": 0}
    equal = query(torch.ones(9, 4), 5)
    assert CoreSet()(equal).derived == {"num_uniform": 4}
    assert ProbCover(delta=0.01)(equal).derived["num_uniform"] == 4


def test_without_a_head_there_are_as_many_clusters_as_picks() -> None:
    asked = replace(query(drawn_pool(80, 0), 6, num_labeled=0), head=None)
    assert ProbCover()(asked).derived["num_clusters"] == 6
    assert ProbCover()(replace(asked, num=1)).derived["num_clusters"] == 2
    assert ProbCover(num_classes=3)(asked).derived["num_clusters"] == 3


@pytest.mark.parametrize(
    "strategy", [ProbCover(delta=0.5), ProbCover(num_classes=3, delta_sample=9, num_targets=9)]
)
def test_other_arguments_keep_the_contract(strategy: Strategy) -> None:
    check(strategy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0.0}, "`delta` above 0, or null to derive it, got 0.0"),
        ({"delta": float("nan")}, "`delta` above 0"),
        ({"purity": 0.0}, r"`purity` in \(0, 1\], got 0.0"),
        ({"purity": 1.1}, "`purity` in"),
        ({"num_classes": 1}, "`num_classes` of at least 2, or null for those of the head, got 1"),
        ({"delta_sample": 0}, "`delta_sample` of at least 1, got 0"),
        ({"num_targets": 0}, "`num_targets` of at least 1, or null for all, got 0"),
        ({"subset_size": 0}, "`subset_size` of at least 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProbCover(**options)
