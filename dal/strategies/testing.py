"""Checks of a strategy's contract, for the strategies of this package and for yours.

In a test of your own::

    from dal.strategies.testing import check


    def test_my_strategy() -> None:
        check(MyStrategy())
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from dal.data.rows import FeatureRows
from dal.errors import ConfigError
from dal.strategies.query import Query
from dal.strategies.strategy import Selection, Strategy, offered

NUM_DRAWN = 20  # problems of random sizes


class TwoLayers(nn.Module):
    """A head that is not linear: its embeddings are not its features."""

    def __init__(self, num_features: int, num_classes: int, num_hidden: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(num_features, num_hidden)
        self.last_layer = nn.Linear(num_hidden, num_classes)

    def embed(self, features: Tensor) -> Tensor:
        """Inputs of the last layer, ``(N, num_hidden)``."""
        embeddings: Tensor = self.first(features).relu()
        return embeddings

    def forward(self, features: Tensor) -> Tensor:
        """Logits, ``(N, K)``."""
        logits: Tensor = self.last_layer(self.embed(features))
        return logits

    def sample(self, features: Tensor, num: int, generator: torch.Generator) -> Tensor:
        """Logits with normal noise, ``(num, N, K)``."""
        logits: Tensor = self(features)
        return logits + torch.randn(num, 1, logits.shape[1], generator=generator)

    def sample_functions(self, num: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        """Functions to logits under weights with normal noise, ``(num, N, K)``."""
        noise = torch.randn(num, *self.last_layer.weight.mT.shape, generator=generator)
        return lambda features: self(features) + self.embed(features) @ noise


def make_query(
    pool: Tensor,
    num: int,
    num_labeled: int = 7,
    num_classes: int = 3,
    seed: int = 0,
    scale: float = 1.0,
) -> Query:
    """A query with a random head and random labeled examples.

    Args:
        pool: Features, ``(U, D)``.
        num: How many positions to ask for.
        num_labeled: L.
        num_classes: K.
        seed: Of the query's generator; everything else depends on the sizes alone.
        scale: Of the weights: at 10,000, probabilities are 0 or 1.

    Example:
        >>> query = make_query(torch.ones(20, 4), num=5)
        >>> query.num, len(query.pool), query.num_classes
        (5, 20, 3)
    """
    generator = torch.Generator().manual_seed(5)
    labeled = torch.randn(num_labeled, pool.shape[1], generator=generator)
    labels = torch.randint(num_classes, (num_labeled,), generator=generator)
    return Query(
        pool=FeatureRows(pool),
        labeled=FeatureRows(labeled),
        labels=labels,
        head=_randomized(TwoLayers(pool.shape[1], num_classes), scale),
        num=num,
        generator=torch.Generator().manual_seed(seed),
        refit=lambda positions: nearest_mean(labeled[positions], labels[positions], num_classes),
    )


def nearest_mean(features: Tensor, labels: Tensor, num_classes: int) -> nn.Linear:
    """A head by which the class with the nearest mean is the most probable one.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``, int64 in [0, num_classes).
        num_classes: K; a class without rows has the origin for its mean.

    Example:
        >>> head = nearest_mean(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), num_classes=2)
        >>> head(torch.tensor([[0.5], [1.5]])).argmax(1)
        tensor([0, 1])
    """
    # Without first weights: these would be drawn from the global generator.
    head: nn.Linear = nn.utils.skip_init(nn.Linear, features.shape[1], num_classes)
    head.requires_grad_(False)
    members = nn.functional.one_hot(labels, num_classes).to(features)  # (N, K)
    means = members.mT @ features / members.sum(0).clamp_min(1)[:, None]  # (K, D)
    head.to(features.device)
    head.weight.copy_(means)
    head.bias.copy_(-means.square().sum(1) / 2)
    return head.eval()


def check(strategy: Strategy) -> None:
    """Checks that a strategy does what every strategy has to do, whatever it selects by.

    It selects distinct positions of the pool, from pools of all sizes and kinds; with equal
    generators it selects alike; it keeps nothing from one call to the next; it changes neither
    features, labels nor head, and no global state of random numbers; and without labels, or
    without a head, it selects or refuses as its ``needs`` say.

    Args:
        strategy: With the arguments that are to be checked.

    Raises:
        AssertionError: If it breaks the contract; the message says how, and on which problem.
        DalError: What the strategy itself raised.

    Example:
        >>> from dal.strategies import Margin
        >>> check(Margin())
    """
    for name, query in _problems():
        where = f"{type(strategy).__name__} on {name}"
        headless = replace(query, head=None)
        for asked, place in ((query, where), (headless, f"{where}, without a head")):
            missing = strategy.needs - offered(asked)
            if missing:
                _check_refusal(strategy, asked, f"{place}, lacking {', '.join(sorted(missing))}")
            else:
                _check_selection(strategy, asked, place)


def _check_selection(strategy: Strategy, query: Query, where: str) -> None:
    before = _snapshot(query)
    global_states = _global_states()
    generator_state = query.generator.get_state()
    fresh = copy.deepcopy(strategy)

    selection = strategy(query)  # refuses what are no positions
    assert len(selection.positions) == query.num, f"{where}: expected {query.num} positions"
    assert _global_states() == global_states, (
        f"{where}: the global state of random numbers has changed; draw from query.generator"
    )
    for name, value in _snapshot(query).items():
        assert torch.equal(value, before[name]), f"{where}: it has written to the {name}"

    for other, what in ((strategy, "a second call"), (fresh, "a fresh copy")):
        query.generator.set_state(generator_state)
        again = other(replace(query))
        assert _are_equal(selection, again), (
            f"{where}: {what} with an equal generator selects otherwise; it may depend on nothing "
            "but the query"
        )


def _check_refusal(strategy: Strategy, query: Query, where: str) -> None:
    try:
        strategy(query)
    except ConfigError:
        return
    raise AssertionError(f"{where}: expected a ConfigError, got a selection")


def _problems() -> Iterator[tuple[str, Query]]:
    """Queries of all kinds, each with its description."""
    generator = torch.Generator().manual_seed(0)
    for seed in range(NUM_DRAWN):
        size, num_classes = _integer(1, 40, generator), _integer(2, 6, generator)
        num, num_labeled = _integer(1, size, generator), _integer(1, 9, generator)
        pool = torch.randn(size, 4, generator=generator)
        yield (
            f"{num} of {size} rows, {num_labeled} labeled, {num_classes} classes",
            make_query(pool, num, num_labeled, num_classes, seed),
        )
    pool = torch.randn(12, 4, generator=generator)
    yield "the whole pool", make_query(pool, 12)
    yield "a pool of one row", make_query(pool[:1], 1)
    yield "one labeled row", make_query(pool, 4, num_labeled=1)
    yield "no labeled rows", make_query(pool, 4, num_labeled=0)
    yield "equal rows", make_query(torch.ones(9, 4), 9)
    yield "rows of zeros", make_query(torch.zeros(9, 4), 5)
    yield "probabilities of 0 and 1", make_query(pool, 5, scale=1e4)
    yield "float16 features", make_query(pool.half(), 5)
    yield "features of norm 1000", make_query(1000 * pool, 5, scale=1e-3)


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _randomized(head: nn.Module, scale: float) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in head.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
        parameter.requires_grad_(False)
    return head.eval()


def _snapshot(query: Query) -> dict[str, Tensor]:
    """Copies of everything that a strategy must not write to, by name."""
    tensors = {
        "features of the pool": query.pool.features,
        "features of the labeled examples": query.labeled.features,
        "labels": query.labels,
    }
    if query.head is not None:
        tensors |= {f"head ({name})": value for name, value in query.head.state_dict().items()}
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _global_states() -> tuple[bytes, str, str]:
    numpy_state = repr(np.random.get_state())  # noqa: NPY002  # the very state to leave alone
    return bytes(torch.get_rng_state().tolist()), numpy_state, repr(random.getstate())


def _are_equal(first: Selection, second: Selection) -> bool:
    if not torch.equal(first.positions, second.positions):
        return False
    if first.scores is None or second.scores is None:
        return first.scores is second.scores
    return torch.equal(first.scores.nan_to_num(), second.scores.nan_to_num())
