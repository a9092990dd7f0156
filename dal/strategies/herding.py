"""MaxHerding and UHerding: the examples that cover the pool best, under a Gaussian kernel."""

from typing import ClassVar

import torch
from torch import Tensor

from dal.errors import ConfigError
from dal.functional import calibration, gaussian, herding, uncertainty
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy

# Half of the products of 50,000 rows with each other are a teraflop, seconds on a desktop.
NUM_TARGETS = 50_000
SAMPLED_EPSILON = 0.25  # of larger pools, for which gains are estimates anyway

MIN_CALIBRATED = 4  # labeled examples, fewer of which say nothing of the temperature
FIT_TENTHS = 7  # of the labeled examples fit the head whose temperature the others tell


class HerdingStrategy(Strategy):
    """What both have in common: the targets that the coverage is summed over.

    Args:
        subset_size: As in :class:`Strategy`. The subset alone is to be covered then.
        num_targets: Pool rows that gains are summed over, drawn again for each call. The whole
            pool if None or not smaller: so a selection is exact for pools of up to 50,000 rows by
            default, and an estimate for larger ones.
        epsilon: ε of a stochastic greedy search, in [0, 1): each step looks at N/``num``·ln(1/ε)
            drawn candidates, or at all if 0. By default 0 if all rows are targets, and 0.25 if not.

    Memory: see :func:`dal.functional.herding.select`.

    Raises:
        ConfigError: If a number is out of range.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(
        self,
        subset_size: int | None = None,
        num_targets: int | None = NUM_TARGETS,
        epsilon: float | None = None,
    ) -> None:
        super().__init__(subset_size)
        if num_targets is not None and num_targets < 1:
            raise ConfigError(f"Expected `num_targets` of at least 1, got {num_targets}.")
        if epsilon is not None and not 0 <= epsilon < 1:
            raise ConfigError(
                f"Expected `epsilon` in [0, 1), or null to decide by the pool, got {epsilon}."
            )
        self.num_targets = num_targets
        self.epsilon = epsilon

    def _select(
        self, query: Query, weights: Tensor, bandwidth: float, derived: dict[str, float]
    ) -> Selection:
        size, targets = len(query.pool), None
        if self.num_targets is not None and self.num_targets < size:
            order = torch.randperm(size, generator=query.generator)
            targets = order[: self.num_targets].sort().values
        epsilon = self.epsilon
        if epsilon is None:
            epsilon = 0.0 if targets is None else SAMPLED_EPSILON
        selected = herding.select(
            query.pool_features,
            query.labeled_features,
            weights,
            query.num,
            bandwidth,
            targets,
            epsilon,
            query.generator,
            query.report,
        )
        num_targets = size if targets is None else len(targets)
        return Selection(
            selected.positions,
            selected.gains,
            {**derived, "h": bandwidth, "num_targets": num_targets, "epsilon": epsilon},
        )


class MaxHerding(HerdingStrategy):
    """Takes the examples that cover the pool best; it looks at features alone.

    Args:
        subset_size: As in :class:`HerdingStrategy`.
        num_targets: As in :class:`HerdingStrategy`.
        epsilon: As in :class:`HerdingStrategy`.
        bandwidth: h of the kernel exp(−(‖x − y‖ / h)²) of unit rows, above 0; Bae et al. (2024)
            take 1.

    Raises:
        ConfigError: If a number is out of range.

    References:
        Bae et al. (2024), "Generalized coverage for more robust low-budget active learning".
    """

    def __init__(
        self,
        subset_size: int | None = None,
        num_targets: int | None = NUM_TARGETS,
        epsilon: float | None = None,
        bandwidth: float = 1.0,
    ) -> None:
        super().__init__(subset_size, num_targets, epsilon)
        if not bandwidth > 0:
            raise ConfigError(f"Expected `bandwidth` above 0, got {bandwidth}.")
        self.bandwidth = bandwidth

    def select(self, query: Query) -> Selection:
        """Best first; the scores are the coverage that each has added."""
        weights = torch.ones(len(query.pool), device=query.device)
        return self._select(query, weights, self.bandwidth, {})


class UHerding(HerdingStrategy):
    """Takes the examples that cover best what the head is unsure of.

    A pool example counts by u = 1 − (p₁ − p₂), with p the probabilities under a temperature T that
    calibrates a head like this one. The bandwidth h is the smallest distance above 0 between
    labeled unit rows, so that with more labels a choice covers less, and uncertainty decides.
    Without labels or without a head u = 1, and without two different labeled rows h = 1: then it
    is MaxHerding.

    It reports T, unless u = 1, and h. A tiny h says that two labeled examples are almost equal.

    Args:
        subset_size: As in :class:`HerdingStrategy`.
        num_targets: As in :class:`HerdingStrategy`.
        epsilon: As in :class:`HerdingStrategy`.
        temperature: T, above 0. By default that of 1.0, 1.1, ..., 19.9 with the lowest calibration
            error on the last 30% of the labeled examples, of a head that is fitted to the others;
            1 for up to three labeled examples. A number spares the second fit.

    Attributes:
        needs: A way to fit the head again, unless ``temperature`` is given.

    Raises:
        ConfigError: If a number is out of range.

    References:
        Bae et al. (2025), "Uncertainty herding: one active learning method for all label budgets".
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.REFIT})

    def __init__(
        self,
        subset_size: int | None = None,
        num_targets: int | None = NUM_TARGETS,
        epsilon: float | None = None,
        temperature: float | None = None,
    ) -> None:
        super().__init__(subset_size, num_targets, epsilon)
        if temperature is not None and not temperature > 0:
            raise ConfigError(f"Expected `temperature` above 0, got {temperature}.")
        self.temperature = temperature
        if temperature is not None:
            self.needs = frozenset()  # type: ignore[misc]  # of this instance alone

    def select(self, query: Query) -> Selection:
        """Best first; the scores are the uncertain coverage that each has added."""
        bandwidth = gaussian.smallest_distance(query.labeled_features) or 1.0
        if len(query.labeled) == 0 or query.head is None:
            weights = torch.ones(len(query.pool), device=query.device)
            return self._select(query, weights, bandwidth, {})
        temperature = self._calibrated(query) if self.temperature is None else self.temperature
        weights = query.map_pool_logits(
            # Float64: a margin close to 1 leaves few digits of its difference from 1.
            lambda logits: 1 - uncertainty.margin((logits.double() / temperature).softmax(-1))
        )
        return self._select(query, weights.clamp_min(0), bandwidth, {"T": temperature})

    def _calibrated(self, query: Query) -> float:
        num_labeled = len(query.labeled)
        if num_labeled < MIN_CALIBRATED:
            return 1.0
        assert query.refit is not None  # checked by `needs`
        num_fit = FIT_TENTHS * num_labeled // 10
        head = query.refit(torch.arange(num_fit))
        logits = head(query.labeled_features[num_fit:])
        return calibration.temperature(logits, query.labels[num_fit:])
