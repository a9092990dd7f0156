"""One selection for people who label: by a head that is fitted first, or without any."""

from typing import Any, NamedTuple

import lightning as L
import torch

from dal import strategies
from dal.data import Pool
from dal.errors import ConfigError
from dal.experiment.cycle import Cycle
from dal.experiment.initial import query_without_head
from dal.runtime import trainers
from dal.strategies import BaitBinary, MaxHerding, Selection, Strategy, TypiClust
from dal.strategies.strategy import offered

MAX_TYPICLUST = 500  # it makes no more clusters than that, and takes one item of each
LARGE_POOL, NUM_TARGETS = 50_000, 20_000  # all pairs of rows of a larger pool take too long


class Chosen(NamedTuple):
    """What was selected, and the head by which it was, if there was one."""

    selection: Selection | None
    head: L.LightningModule | None


def strategy(given: str | Strategy | None, can_fit: bool, num: int, pool_size: int) -> Strategy:
    """The strategy that was asked for, or the default one.

    Args:
        given: A name, as in ``strategy=NAME``; an object; or None for the default:
            ``bait_binary`` with labels of two classes; before that ``typiclust`` up to 500 items
            and ``max_herding`` above.
        can_fit: Whether a head can be fitted.
        num: How many items are to be selected.
        pool_size: Of how many.

    Raises:
        ConfigError: If the name is unknown.
    """
    if isinstance(given, Strategy):
        return given
    if given is not None:
        return strategies.by_name(given)
    if can_fit:
        return BaitBinary()
    if num <= MAX_TYPICLUST:
        return TypiClust()
    return MaxHerding(num_targets=NUM_TARGETS if pool_size > LARGE_POOL else None)


def choose(cycle: Cycle, number: int, num: int, generator: torch.Generator) -> Chosen:
    """Fits a head if there are labels of two classes, and selects.

    Args:
        cycle: How heads are fitted, and what selects. Its pool holds the labels.
        number: Of the round, which names the streams of random numbers.
        num: How many to select; 0 for none.
        generator: The strategy's randomness, where no head is fitted.

    Raises:
        ConfigError: If the strategy needs what is not there.
    """
    pool = cycle.datamodule.pool
    if can_fit(cycle):
        outcome = cycle.run(number, num, eval_split=None)
        return Chosen(outcome.selection, outcome.head)
    if num == 0:
        return Chosen(None, None)
    device = trainers.build(cycle.trainer).strategy.root_device
    return Chosen(cycle.strategy(query_without_head(pool, num, generator, device)), None)


def check_needs_no_head(strategy: Strategy, pool: Pool) -> None:
    """Checks that a strategy can select by features alone.

    Raises:
        ConfigError: If it cannot; names the strategies that can.
    """
    can = offered(query_without_head(pool, 1, torch.Generator()))
    missing = strategy.needs - can
    if missing:
        able = [name for name, known in strategies.BY_NAME.items() if known.needs <= can]
        raise ConfigError(
            "Expected a `strategy` that selects by features alone, since there are no labels of "
            f"two classes yet, got '{name_of(strategy)}', which needs "
            f"{' and '.join(sorted(missing))}. Leave it out, or choose one of "
            f"{', '.join(sorted(able))}."
        )


def can_fit(cycle: Cycle) -> bool:
    """Whether the labels are of two classes at least: a head of one class knows nothing."""
    return len(cycle.datamodule.pool.labels.unique()) >= 2


def name_of(strategy: Strategy) -> str:
    """What a strategy is called in ``strategy=NAME``; one of the user's own, by its class."""
    names = {known: name for name, known in strategies.BY_NAME.items()}
    return names.get(type(strategy), type(strategy).__name__)


def describe(strategy: Strategy) -> list[Any]:
    """A strategy and its arguments in plain values: equal for equal strategies."""
    return [
        name_of(strategy),
        sorted((key, _plain(value)) for key, value in vars(strategy).items()),
    ]


def _plain(value: Any) -> str:
    if isinstance(value, Strategy):
        return str(describe(value))
    if isinstance(value, list | tuple):
        return str([_plain(part) for part in value])
    return str(value)
