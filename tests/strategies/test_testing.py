"""The check for strategies finds what it should find."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from dal.errors import StrategyError
from dal.strategies import Margin, Need, Query, Random, Strategy
from dal.strategies.testing import check


class FirstRows(Strategy):
    needs: ClassVar[frozenset[Need]] = frozenset()

    def select(self, query: Query) -> Tensor:
        return torch.arange(query.num)


class Remembering(FirstRows):
    num_calls = 0

    def select(self, query: Query) -> Tensor:
        self.num_calls += 1
        return (torch.arange(query.num) + self.num_calls) % len(query.pool)


class Global(FirstRows):
    def select(self, query: Query) -> Tensor:
        return torch.randperm(len(query.pool))[: query.num]


class Writing(FirstRows):
    def select(self, query: Query) -> Tensor:
        query.pool.features.mul_(2)
        return super().select(query)


class Training(FirstRows):
    needs: ClassVar[frozenset[Need]] = frozenset({Need.HEAD})

    def select(self, query: Query) -> Tensor:
        assert query.head is not None
        for parameter in query.head.parameters():
            parameter.mul_(2)
        return super().select(query)


class Repeating(FirstRows):
    def select(self, query: Query) -> Tensor:
        return torch.zeros(query.num, dtype=torch.int64)


class Modest(Margin):
    needs: ClassVar[frozenset[Need]] = frozenset()  # not true: Margin takes probabilities


class Labels(Random):
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS})


@pytest.mark.parametrize("strategy", [FirstRows(), Labels(), Random(subset_size=100)])
def test_strategies_that_keep_the_contract_pass(strategy: Strategy) -> None:
    check(strategy)


@pytest.mark.parametrize(
    ("strategy", "error", "message"),
    [
        (Remembering(), AssertionError, "Remembering on .* rows.*a second call .* selects other"),
        (Global(), AssertionError, "global state of random numbers has changed"),
        (Writing(), AssertionError, "written to the features of the pool"),
        (Training(), AssertionError, r"written to the head \(first.weight\)"),
        (Repeating(), StrategyError, "Repeating.select to return distinct positions"),
        (Modest(), Exception, "fitted head"),
    ],
)
def test_others_are_named(strategy: Strategy, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check(strategy)


def test_a_query_without_what_is_needed_names_who_could_answer() -> None:
    from dataclasses import replace

    from dal.errors import ConfigError
    from dal.strategies.testing import make_query

    headless = replace(make_query(torch.zeros(5, 2), 2), head=None)
    with pytest.raises(ConfigError, match="Margin needs a fitted head.*Random.*TypiClust"):
        Margin()(headless)
