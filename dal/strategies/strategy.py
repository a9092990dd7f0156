"""The contract of a strategy: what it needs, what it returns, and the checks of both."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from dal.errors import ConfigError, StrategyError, did_you_mean
from dal.functional import sharding
from dal.strategies.query import Query


class Need(enum.StrEnum):
    """What a strategy cannot select without."""

    HEAD = "a fitted head"
    LABELS = "labeled examples"
    POSTERIOR = "a head with a posterior"
    REFIT = "a way to fit the head again"


@dataclass(frozen=True)
class Selection:
    """What a strategy has selected, and what it knows of its choice.

    Attributes:
        positions: Rows of the pool shown, ``(num,)``, int64, distinct, in order of selection.
        scores: What each was selected by, ``(num,)``, if the strategy has such a number; its
            meaning is the strategy's own. NaN where a position was drawn and not scored.
        derived: What the strategy computed for itself on the way, such as a number of clusters.
    """

    positions: Tensor
    scores: Tensor | None = None
    derived: Mapping[str, float | int | str] = field(default_factory=dict)


class Strategy(ABC):
    """Chooses the examples to label next; called as ``strategy(query)``.

    A subclass writes :meth:`select`. It keeps nothing from one call to the next, or a resumed run
    would differ from an uninterrupted one.

    Args:
        subset_size: Candidates from which to select, drawn again for each call; the whole pool if
            None or not smaller. The published experiments of Huseljic et al. (2024) drew some.

    Attributes:
        needs: What a query must have. ``Need.HEAD`` unless a subclass says otherwise; an
            instance says it where its arguments decide.
        is_shared: Whether several processes share the rows of the pool among them, as
            ``query.shares`` says. If not, each of them selects from all rows.

    Raises:
        ConfigError: If ``subset_size`` is below 1.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.HEAD})
    is_shared: ClassVar[bool] = False
    subset_size: int | None = None

    def __init__(self, subset_size: int | None = None) -> None:
        if subset_size is not None and subset_size < 1:
            raise ConfigError(f"Expected `subset_size` of at least 1, got {subset_size}.")
        self.subset_size = subset_size

    @abstractmethod
    def select(self, query: Query) -> Tensor | Selection:
        """Positions in the pool of ``query``, best first.

        Args:
            query: The pool, the labeled examples, the fitted head and ``num``. It is called
                without gradients; ``torch.enable_grad`` brings them back.

        Returns:
            ``(query.num,)``, int64, distinct, in [0, U), on any device; or a :class:`Selection`
            with them.
        """

    @torch.no_grad()
    def __call__(self, query: Query) -> Selection:
        """What :meth:`select` selects from the pool, or from a subset of it; checked.

        Args:
            query: The question. Its head should be in evaluation mode.

        Returns:
            The selection, on the CPU.

        Raises:
            ConfigError: If the query lacks what the strategy needs, or the subset is smaller than
                ``num``.
            StrategyError: If the answer is not ``(num,)`` distinct int64 positions of the pool.
        """
        self.check_needs(query)
        if query.shares.num > 1 and not self.is_shared:
            query = replace(query, shares=sharding.ALONE)
        size = len(query.pool)
        if not 1 <= query.num <= size:
            raise ConfigError(
                f"Expected `num` in [1, {size}], the size of the pool, got {query.num}."
            )
        if self.subset_size is None or self.subset_size >= size:
            return self._checked_selection(query)
        if self.subset_size < query.num:
            raise ConfigError(
                f"Expected `subset_size` of at least {query.num}, the acquisition size, got "
                f"{self.subset_size}."
            )
        order = torch.randperm(size, generator=query.generator)
        subset = order[: self.subset_size].sort().values
        selection = self._checked_selection(query.restricted_to(subset))
        return replace(selection, positions=subset[selection.positions])

    def check_needs(self, query: Query) -> None:
        """Checks that a query has what this strategy needs.

        Raises:
            ConfigError: If it does not; the message names the strategies that could answer it.
        """
        missing = self.needs - offered(query)
        if missing:
            others = names_of_able(offered(query))
            needed = " and ".join(sorted(missing))
            raise ConfigError(
                f"{type(self).__name__} needs {needed}, and the query has none. Strategies that "
                f"work without: {', '.join(others)}."
            )

    def _checked_selection(self, query: Query) -> Selection:
        selected = self.select(query)
        selection = selected if isinstance(selected, Selection) else Selection(selected)
        positions, scores = selection.positions, selection.scores
        name, size = type(self).__name__, len(query.pool)
        if positions.shape != (query.num,) or positions.dtype != torch.int64:
            raise StrategyError(
                f"Expected {name}.select to return int64 positions of shape ({query.num},), got "
                f"{positions.dtype} of shape {tuple(positions.shape)}."
            )
        if positions.min() < 0 or positions.max() >= size:
            raise StrategyError(
                f"Expected {name}.select to return positions in [0, {size}), got "
                f"{positions.tolist()}."
            )
        if len(positions.unique()) != query.num:
            raise StrategyError(
                f"Expected {name}.select to return distinct positions, got {positions.tolist()}."
            )
        if scores is not None and scores.shape != (query.num,):
            raise StrategyError(
                f"Expected {name}.select to return a score for each of {query.num} positions, got "
                f"scores of shape {tuple(scores.shape)}."
            )
        return replace(
            selection, positions=positions.cpu(), scores=None if scores is None else scores.cpu()
        )


def offered(query: Query) -> frozenset[Need]:
    """What a query has of the things that a strategy may need."""
    has = {
        Need.HEAD: query.head is not None,
        Need.LABELS: len(query.labeled) > 0,
        Need.POSTERIOR: hasattr(query.head, "sample"),
        Need.REFIT: query.refit is not None,
    }
    return frozenset(need for need in Need if has[need])


def names_of_able(offered: frozenset[Need]) -> list[str]:
    """Names of the known strategies that need no more than is offered, sorted."""
    return sorted(known.__name__ for known in _known_strategies() if known.needs <= offered)


def _known_strategies(of: type[Strategy] = Strategy) -> Iterator[type[Strategy]]:
    for subclass in of.__subclasses__():
        if not getattr(subclass, "__abstractmethods__", None):
            yield subclass
        yield from _known_strategies(subclass)


def floating_type(name: str) -> torch.dtype:
    """The type that a strategy computes in.

    Args:
        name: ``"float32"`` or ``"float64"``.

    Raises:
        ConfigError: If it is neither.
    """
    types = {"float32": torch.float32, "float64": torch.float64}
    if name not in types:
        raise ConfigError(f"Unknown `dtype` '{name}'. {did_you_mean(name, types)}")
    return types[name]
