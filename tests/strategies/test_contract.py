"""What every strategy must do, whatever it selects by."""

import inspect
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor, nn

from dal import strategies
from dal.cli import config
from dal.errors import DataError, StrategyError
from dal.functional import ranking, uncertainty
from dal.strategies import Entropy, LeastConfidence, Margin, Need, Query, Random, Strategy
from dal.strategies.testing import check, make_query

NAMES = sorted(path.stem for path in (config.folder() / "strategy").glob("*.yaml"))

each_strategy = pytest.mark.parametrize("name", NAMES)


# Of REFINE's 301 selections for one, 13.
SHORTENED = {"refine": {"num_rounds": 2, "num_subsets": 1}}


def strategy(name: str) -> Strategy:
    path = config.folder() / "strategy" / f"{name}.yaml"
    made = instantiate(OmegaConf.load(path), **SHORTENED.get(name, {}))
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
    """As :func:`make_query`, with a linear head."""
    asked = make_query(pool, num, num_labeled, num_classes, seed)
    return replace(asked, head=head(pool.shape[1], num_classes, scale))


def drawn_pool(num_rows: int, seed: int, num_features: int = 4) -> Tensor:
    return torch.randn(num_rows, num_features, generator=torch.Generator().manual_seed(seed))


def test_a_name_leads_from_the_yaml_to_the_class() -> None:
    for name in NAMES:
        assert type(strategy(name)).__name__.lower() == name.replace("_", "")


@each_strategy
@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(0, 500), st.integers(2, 6), st.data())
def test_positions_are_distinct_and_in_the_pool(
    name: str, size: int, seed: int, num_classes: int, data: st.DataObject
) -> None:
    num, chosen = data.draw(st.integers(1, size)), strategy(name)
    ask = make_query if Need.POSTERIOR in chosen.needs else query  # a Linear has no posterior
    asked = ask(drawn_pool(size, seed), num, num_classes=num_classes, seed=seed)
    positions = chosen(asked).positions  # raises if they are not
    assert positions.shape == (num,)
    assert positions.dtype == torch.int64


@each_strategy
def test_the_contract_is_kept(name: str) -> None:
    check(strategy(name))


def test_the_labels_of_the_pool_cannot_be_seen() -> None:
    asked = query(drawn_pool(9, 0), 2)
    shown = {name for name in dir(asked) if "label" in name}
    assert shown == {
        "labeled",
        "labeled_embeddings",
        "labeled_features",
        "labeled_logits",
        "labeled_probs",
        "labels",
    }
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
    selection = chosen(asked)
    assert torch.equal(selection.positions, expected)
    assert torch.equal(selection.scores, abs(score(asked.pool_probs))[expected])  # type: ignore[arg-type]


def test_ties_go_to_the_lower_position() -> None:
    for chosen in (Margin(), Entropy(), LeastConfidence()):
        assert chosen(query(torch.ones(9, 4), 4)).positions.tolist() == [0, 1, 2, 3]


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
        asked.map_pool(uncertainty.margin), uncertainty.margin(asked.pool_probs)
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
        Broken(answer)(query(drawn_pool(9, 0), 2))


def test_a_diverged_head_is_named() -> None:
    linear = nn.Linear(4, 3)
    linear.weight.data.fill_(float("nan"))
    asked = query(drawn_pool(9, 0), 2)
    diverged = replace(asked, head=linear)
    with pytest.raises(DataError, match="the head has diverged"):
        Margin().select(diverged)


def test_every_strategy_has_a_yaml_file() -> None:
    assert {type(strategy(name)).__name__ for name in NAMES} >= {
        name
        for name in strategies.__all__
        if isinstance(getattr(strategies, name), type)
        and issubclass(getattr(strategies, name), Strategy)
        and not inspect.isabstract(getattr(strategies, name))
    }


def test_strategies_load_neither_lightning_nor_hydra() -> None:
    heavy = "{'lightning', 'hydra', 'wandb'}"
    code = f"import dal.strategies.testing, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
