"""What every strategy must do, whatever it selects by."""

from functools import cache
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor, nn

from dal.cli import config
from dal.data import FeatureRows
from dal.errors import DataError, StrategyError
from dal.functional import ranking, uncertainty
from dal.strategies import Entropy, LeastConfidence, Margin, Query, Random, Strategy

NAMES = sorted(path.stem for path in (config.folder() / "strategy").glob("*.yaml"))

each_strategy = pytest.mark.parametrize("name", NAMES)


def strategy(name: str) -> Strategy:
    made = instantiate(OmegaConf.load(config.folder() / "strategy" / f"{name}.yaml"))
    assert isinstance(made, Strategy)
    return made


@cache
def head(num_features: int, num_classes: int, scale: float = 1.0) -> nn.Module:
    linear = nn.Linear(num_features, num_classes)
    generator = torch.Generator().manual_seed(1)
    for parameter in linear.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
        parameter.requires_grad_(False)
    return linear.eval()


def query(
    pool: Tensor,
    num: int,
    num_labeled: int = 7,
    num_classes: int = 3,
    seed: int = 0,
    scale: float = 1.0,
) -> Query:
    generator = torch.Generator().manual_seed(5)
    return Query(
        pool=FeatureRows(pool),
        labeled=FeatureRows(torch.randn(num_labeled, pool.shape[1], generator=generator)),
        labels=torch.randint(num_classes, (num_labeled,), generator=generator),
        head=head(pool.shape[1], num_classes, scale),
        num=num,
        generator=torch.Generator().manual_seed(seed),
    )


def drawn_pool(num_rows: int, seed: int, num_features: int = 4) -> Tensor:
    return torch.randn(num_rows, num_features, generator=torch.Generator().manual_seed(seed))


def test_a_name_leads_from_the_yaml_to_the_class() -> None:
    for name in NAMES:
        assert type(strategy(name)).__name__.lower() == name.replace("_", "")


@each_strategy
@given(st.integers(1, 40), st.integers(0, 500), st.integers(2, 6), st.data())
def test_positions_are_distinct_and_in_the_pool(
    name: str, size: int, seed: int, num_classes: int, data: st.DataObject
) -> None:
    num = data.draw(st.integers(1, size))
    asked = query(drawn_pool(size, seed), num, num_classes=num_classes, seed=seed)
    positions = strategy(name).answer(asked)  # raises if they are not
    assert positions.shape == (num,)
    assert positions.dtype == torch.int64


@each_strategy
def test_equal_generators_select_alike_and_nothing_is_changed(name: str) -> None:
    pool = drawn_pool(30, 3)
    untouched, global_state = pool.clone(), torch.get_rng_state()
    first = strategy(name).select(query(pool, 6, seed=9))
    again = strategy(name).select(query(pool, 6, seed=9))
    assert torch.equal(first, again)
    assert torch.equal(pool, untouched)
    assert torch.equal(torch.get_rng_state(), global_state)


@each_strategy
@pytest.mark.parametrize("num_labeled", [0, 1])
def test_works_with_hardly_a_label(name: str, num_labeled: int) -> None:
    assert len(strategy(name).answer(query(drawn_pool(9, 0), 4, num_labeled=num_labeled))) == 4


@each_strategy
@pytest.mark.parametrize("pool", [torch.zeros(9, 4), torch.ones(9, 4)])
def test_works_on_duplicates_and_zero_vectors(name: str, pool: Tensor) -> None:
    assert len(strategy(name).answer(query(pool, 9))) == 9


@each_strategy
def test_works_on_saturated_probabilities(name: str) -> None:
    asked = query(drawn_pool(12, 0), 5, scale=1e4)
    assert (asked.pool_probs.amax(1) == 1).all()
    assert len(strategy(name).answer(asked)) == 5


@each_strategy
def test_the_labels_of_the_pool_cannot_be_seen(name: str) -> None:
    asked = query(drawn_pool(9, 0), 2)
    strategy(name).select(asked)
    shown = {name for name in dir(asked) if "label" in name}
    assert shown == {"labeled", "labeled_features", "labeled_logits", "labeled_probs", "labels"}
    assert len(asked.labels) == len(asked.labeled)


@pytest.mark.parametrize(
    ("chosen", "score"),
    [
        (Margin(), uncertainty.margin),
        (Entropy(), lambda probs: -uncertainty.entropy(probs)),
        (LeastConfidence(), lambda probs: -uncertainty.least_confidence(probs)),
    ],
)
def test_the_uncertain_come_first(chosen: Strategy, score) -> None:  # type: ignore[no-untyped-def]
    asked = query(drawn_pool(50, 1), 8)
    expected = ranking.lowest(score(asked.pool_probs), 8)
    assert torch.equal(chosen.select(asked), expected)


def test_ties_go_to_the_lower_position() -> None:
    for chosen in (Margin(), Entropy(), LeastConfidence()):
        assert chosen.select(query(torch.ones(9, 4), 4)).tolist() == [0, 1, 2, 3]


def test_random_is_uniform() -> None:
    counts = torch.zeros(5)
    for seed in range(2000):
        counts[Random().select(query(torch.zeros(5, 4), 2, seed=seed))] += 1
    # Each is in 2 of 5 draws: 800 ± 22.
    assert ((counts - 800).abs() < 110).all()


def test_random_reads_no_features() -> None:
    asked = query(drawn_pool(9, 0), 2)
    Random().select(asked)
    assert "pool_features" not in vars(asked)


def test_scores_do_not_keep_the_probabilities() -> None:
    asked = query(drawn_pool(9, 0), 2)
    torch.testing.assert_close(
        asked.pool_scores(uncertainty.margin), uncertainty.margin(asked.pool_probs)
    )
    fresh = query(drawn_pool(9, 0), 2)
    Margin().select(fresh)
    assert not {"pool_features", "pool_logits", "pool_probs"} & vars(fresh).keys()


class Broken(Strategy):
    def __init__(self, answer: Tensor) -> None:
        self.returned = answer

    def select(self, query: Query) -> Tensor:  # noqa: ARG002
        return self.returned


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.tensor([1]), r"shape \(2,\), got torch.int64 of shape \(1,\)"),
        (torch.tensor([1.0, 2.0]), "int64 positions.* got torch.float32"),
        (torch.tensor([0, 9]), r"in \[0, 9\), got \[0, 9\]"),
        (torch.tensor([-1, 0]), r"in \[0, 9\)"),
        (torch.tensor([3, 3]), "distinct"),
    ],
)
def test_an_answer_that_is_none_is_refused(answer: Tensor, message: str) -> None:
    with pytest.raises(StrategyError, match=f"Broken.select.*{message}"):
        Broken(answer).answer(query(drawn_pool(9, 0), 2))


def test_a_diverged_head_is_named() -> None:
    linear = nn.Linear(4, 3)
    linear.weight.data.fill_(float("nan"))
    asked = query(drawn_pool(9, 0), 2)
    diverged = Query(asked.pool, asked.labeled, asked.labels, linear, 2, asked.generator)
    with pytest.raises(DataError, match="the head has diverged"):
        Margin().select(diverged)


def test_every_strategy_has_a_page_of_yaml() -> None:
    assert {"random", "margin", "entropy", "least_confidence"} <= set(NAMES)
    assert all(Path(config.folder(), "strategy", f"{name}.yaml").is_file() for name in NAMES)
