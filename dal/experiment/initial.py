"""The initial pool: drawn at random, or selected by a strategy that needs features alone."""

import time
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dal import randomness
from dal.data import INITIAL_DRAWS, ALDataModule, Pool
from dal.errors import ConfigError, did_you_mean
from dal.strategies import Query, Strategy
from dal.strategies.strategy import names_of_able


class InitialPool(NamedTuple):
    """What a run starts from.

    Attributes:
        indices: Dataset indices, ``(num,)``, int64.
        facts: For the run's summary: how long a strategy took, and what it computed for itself;
            empty after a draw.
    """

    indices: Tensor
    facts: dict[str, Any]


def check(init: str | Strategy) -> None:
    """Checks that an initial pool can come about in this way.

    Raises:
        ConfigError: If it is the name of no draw, or a strategy that needs a head or labels.
    """
    if isinstance(init, str):
        if init not in INITIAL_DRAWS:
            raise ConfigError(
                f"Unknown `init` '{init}'. {did_you_mean(init, INITIAL_DRAWS)} A strategy that "
                "needs neither head nor labels will do as well."
            )
    elif init.needs:
        raise ConfigError(
            f"Expected `init` to be a strategy that needs neither head nor labels, got "
            f"{type(init).__name__}, which needs {' and '.join(sorted(init.needs))}. Strategies "
            f"that need neither: {', '.join(names_of_able(frozenset()))}."
        )


def choose(
    init: str | Strategy, datamodule: ALDataModule, num: int, seed: int, device: torch.device
) -> InitialPool:
    """Chooses the initial pool; labels nothing.

    Args:
        init: The name of a draw, or what selects.
        datamodule: Set up, nothing labeled.
        num: How many examples.
        seed: Of the run.
        device: Where a strategy computes.

    Raises:
        DataError: If the pool has too few examples.
        ConfigError: If the strategy refuses its arguments.
    """
    generator = randomness.stream(seed, 0, "initial pool")
    if isinstance(init, str):
        return InitialPool(datamodule.initial_draw(num, init, generator), {})
    pool = datamodule.pool
    started = time.perf_counter()
    query = query_without_head(pool, num, generator, device, datamodule.num_classes)
    selection = init(query)
    seconds = round(time.perf_counter() - started, 4)
    facts = {"initial_selection": {"seconds": seconds, **selection.derived}}
    return InitialPool(pool.unlabeled_indices[selection.positions], facts)


def query_without_head(
    pool: Pool,
    num: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    known_classes: int | None = None,
) -> Query:
    """What a strategy may know before there is a head.

    Args:
        pool: The examples, of which some may be labeled.
        num: How many to ask for.
        generator: The strategy's randomness.
        device: Where it should compute.
        known_classes: Number of classes, if it is known.
    """
    return Query(
        pool=pool.unlabeled_rows(device),
        labeled=pool.labeled_rows(device),
        labels=pool.labels.to(device),
        head=None,
        num=num,
        generator=generator,
        known_classes=known_classes,
    )
