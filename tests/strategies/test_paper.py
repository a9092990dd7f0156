"""The paper's strategies as classes: their options, their twins, and what they refuse."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dal.errors import ConfigError, ResourceError
from dal.functional import bait, fisher, seeding, typicality
from dal.runtime import devices
from dal.strategies import (
    Badge,
    Bait,
    BaitBinary,
    BaitDiagonal,
    BaitExp,
    Random,
    Strategy,
    TypiClust,
    typiclust,
)
from tests import reference
from tests.strategies.test_contract import drawn_pool, query

CLASSES: dict[str, Callable[..., Strategy]] = {
    "badge": Badge,
    "bait": Bait,
    "bait_exp": BaitExp,
    "bait_binary": BaitBinary,
    "bait_diagonal": BaitDiagonal,
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", range(5))
def test_picks_what_its_definition_picks(name: str, seed: int) -> None:
    pool = drawn_pool(60, seed)
    expected = reference.selections[name](query(pool, 5, seed=seed))
    picked = CLASSES[name](dtype="float64")(query(pool, 5, seed=seed))
    assert picked.positions.tolist() == list(expected)


@pytest.mark.parametrize("seed", range(5))
def test_badge_draws_by_rejection_from_large_pools(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeding, "SMALL_POOL", 59)
    asked = query(drawn_pool(60, seed), 5, seed=seed)
    expected = reference.badge_by_rejection(
        asked.pool_probs.double(),
        asked.pool_features.double(),
        5,
        torch.Generator().manual_seed(seed),
        seeding.NUM_PROPOSALS,
        60 * seeding.MAX_REJECTED_SHARE,
    )
    picked = Badge(dtype="float64")(query(drawn_pool(60, seed), 5, seed=seed))
    assert picked.positions.tolist() == list(expected)


@pytest.mark.parametrize("seed", range(5))
def test_typiclust_picks_what_its_definition_picks(seed: int) -> None:
    pool = drawn_pool(200, seed)
    expected = reference.selections["typiclust"](query(pool, 5, seed=seed))
    assert TypiClust()(query(pool, 5, seed=seed)).positions.tolist() == expected


def test_typiclust_fits_its_clusters_of_large_pools_to_a_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which reads no more than the sample, chunks, and single clusters; the rest stays the same."""
    whole = TypiClust()(query(drawn_pool(300, 0), 20)).positions.tolist()
    monkeypatch.setattr(typiclust, "MAX_CLUSTERED_POINTS", 306)  # 300 and 7 labeled ones
    assert TypiClust()(query(drawn_pool(300, 0), 20)).positions.tolist() == whole  # 27 · 256 points
    assert (
        TypiClust(max_points_per_centroid=None)(query(drawn_pool(300, 0), 20)).positions.tolist()
        == whole
    )
    asked = query(drawn_pool(300, 0), 20)
    sampled = TypiClust(max_points_per_centroid=5)(asked).positions.tolist()
    assert sampled != whole
    features = torch.cat([asked.labeled.load(), asked.pool.load()])
    units = torch.nn.functional.normalize(features)
    generator = torch.Generator().manual_seed(0)
    expected = typicality.select(units, 7, 20, generator, max_points_per_centroid=5)
    assert sampled == expected.positions.tolist()
    monkeypatch.setattr(typiclust, "MAX_CLUSTERED_POINTS", 307)
    assert (
        TypiClust(max_points_per_centroid=5)(query(drawn_pool(300, 0), 20)).positions.tolist()
        == whole
    )


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Bait, {"lmbda": 100.0}),
        (Bait, {"oversample": 1}),
        (Bait, {"fisher_reduction": "sum"}),
        (BaitExp, {"top_classes": 1}),
        (BaitDiagonal, {"lmbda": 1e-3}),
        (BaitDiagonal, {"fisher_reduction": "sum"}),
        (BaitDiagonal, {"candidate": "full"}),
        (TypiClust, {"normalize": False}),
        (Badge, {"subset_size": 12}),
    ],
)
def test_every_option_matters(make: Callable[..., Strategy], options: dict[str, Any]) -> None:
    def picks(strategy: Strategy, seed: int) -> list[int]:
        return strategy(query(3 * drawn_pool(80, seed), 6, num_labeled=12)).positions.tolist()

    assert any(picks(make(), seed) != picks(make(**options), seed) for seed in range(10))


def test_every_strategy_can_choose_from_a_subset() -> None:
    pool = drawn_pool(40, 0)
    for make in (*CLASSES.values(), TypiClust, Random):
        seen = set()
        for seed in range(6):
            picked = make(subset_size=8)(query(pool, 4, seed=seed)).positions
            assert len(picked.unique()) == 4
            seen |= set(picked.tolist())
        assert len(seen) > 8  # drawn again each time
        whole = make(subset_size=40)(query(pool, 4)).positions
        assert torch.equal(whole, make()(query(pool, 4)).positions)
        with pytest.raises(ConfigError, match="`subset_size` of at least 4"):
            make(subset_size=3)(query(pool, 4))


def test_a_subset_is_a_pool_of_its_own() -> None:
    """Its positions are translated back, and the mean information is of the subset."""
    pool = drawn_pool(30, 1)
    picked = Bait(subset_size=12)(query(pool, 3, seed=4)).positions
    generator = torch.Generator().manual_seed(4)
    subset = torch.randperm(30, generator=generator)[:12].sort().values
    assert torch.equal(picked, subset[Bait()(query(pool[subset], 3)).positions])


@pytest.mark.parametrize("make", [Bait, BaitExp])
def test_too_little_memory_is_refused_before_the_work(
    make: Callable[..., Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*_: object) -> None:
        raise AssertionError

    asked = query(drawn_pool(500, 0), 4)
    scratch = bait.NUM_CHUNKS * fisher.scratch_bytes(asked.device)
    monkeypatch.setattr(bait, "select", worked)
    monkeypatch.setattr(devices, "available_bytes", lambda _: scratch + 40_000)
    with pytest.raises(ResourceError) as caught:
        make()(asked)
    message = str(caught.value)
    assert f"{make.__name__} needs 0.1 GiB for 500 × 4 features and 3 classes" in message
    assert "strategy=bait_binary" in message
    assert "pool_features" not in vars(asked)
    subset = int(message.rpartition("subset_size=")[2].rstrip("."))
    monkeypatch.undo()
    monkeypatch.setattr(devices, "available_bytes", lambda _: scratch + 40_000)
    assert len(make(subset_size=subset)(query(drawn_pool(500, 0), 4)).positions) == 4
    with pytest.raises(ResourceError):
        make(subset_size=subset + 1)(query(drawn_pool(500, 0), 4))
    monkeypatch.setattr(devices, "available_bytes", lambda _: scratch + 1_000)
    with pytest.raises(ResourceError, match=r"with the classes\.$"):
        make()(query(drawn_pool(500, 0), 4))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Bait, {"lmbda": 0}, "`lmbda` above 0"),
        (BaitBinary, {"oversample": 0}, "`oversample` of at least 1"),
        (BaitDiagonal, {"fisher_reduction": "max"}, "'mean' or 'sum', got 'max'"),
        (BaitDiagonal, {"candidate": "half"}, "`candidate` of 'diagonal' or 'full', got 'half'"),
        (Bait, {"dtype": "float16"}, "Unknown `dtype` 'float16'. Did you mean 'float64'"),
        (BaitExp, {"top_classes": 0}, "`top_classes` of at least 1"),
        (Random, {"subset_size": 0}, "`subset_size` of at least 1"),
    ],
)
def test_options_are_checked(
    make: Callable[..., Strategy], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_more_top_classes_than_classes() -> None:
    with pytest.raises(ConfigError, match=r"`top_classes` in \[1, 3\], the number of classes"):
        BaitExp(top_classes=4)(query(drawn_pool(9, 0), 2))
