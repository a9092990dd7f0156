"""ProbCover: balls around the labeled examples that cover as much of the pool as possible."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dal.errors import ConfigError
from dal.functional import covering
from dal.strategies.query import Query
from dal.strategies.strategy import Need, Selection, Strategy


class ProbCover(Strategy):
    """Takes the example within δ of the most examples that no chosen or labeled one is within δ of.

    It looks at features alone, scaled to unit length.

    Args:
        subset_size: As in :class:`Strategy`.
        delta: The radius δ of a ball. By default the largest at which enough balls are pure, which
            means that they hold examples of one cluster of k-means only. The next three arguments
            are for that alone.
        purity: The share of balls that are pure, in (0, 1]; the paper takes 0.95.
        num_classes: How many clusters. By default the classes of the head; without a head ``num``,
            as if one of each class were asked for, and at least 2.
        delta_sample: How many balls to look at, drawn at random. With 2,000 a share of 0.95 has a
            standard error of 0.005.
        num_targets: Over how many of the examples not yet covered to count, drawn at random; all
            of them if None. Time is proportional to it. Candidates are always all.

    Memory: 4·(L + U + ``num_targets``)·D bytes.

    References:
        Yehuda et al. (2022), "Active learning through a covering lens", algorithm 1. Their radius
        is the best one of a list; see :func:`dal.functional.covering.pure_radius`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(
        self,
        subset_size: int | None = None,
        delta: float | None = None,
        purity: float = 0.95,
        num_classes: int | None = None,
        delta_sample: int = 2_000,
        num_targets: int | None = 50_000,
    ) -> None:
        super().__init__(subset_size)
        if delta is not None and not delta > 0:
            raise ConfigError(f"Expected `delta` above 0, or null to derive it, got {delta}.")
        if not 0 < purity <= 1:
            raise ConfigError(f"Expected `purity` in (0, 1], got {purity}.")
        if num_classes is not None and num_classes < 2:
            raise ConfigError(
                f"Expected `num_classes` of at least 2, or null for those of the head, got "
                f"{num_classes}."
            )
        if delta_sample < 1:
            raise ConfigError(f"Expected `delta_sample` of at least 1, got {delta_sample}.")
        if num_targets is not None and num_targets < 1:
            raise ConfigError(
                f"Expected `num_targets` of at least 1, or null for all, got {num_targets}."
            )
        self.delta = delta
        self.purity = purity
        self.num_classes = num_classes
        self.delta_sample = delta_sample
        self.num_targets = num_targets

    def select(self, query: Query) -> Selection:
        """Scores are how many targets each newly covered, NaN for those drawn uniformly.

        What is left when all targets are covered is drawn uniformly.
        """
        units = _unit_features(query)
        derived: dict[str, float | int | str] = {}
        delta = self.delta
        if delta is None:
            num_clusters = min(self._num_clusters(query), len(units))
            delta = covering.pure_radius(
                units, num_clusters, self.purity, self.delta_sample, query.generator
            )
            derived["num_clusters"] = num_clusters
        num_labeled = len(query.labeled)
        selected = covering.select(
            units,
            num_labeled,
            query.num,
            delta,
            self.num_targets,
            query.generator,
            query.report,
        )
        derived |= {
            "delta": delta,
            "num_targets": selected.num_targets,
            "num_uniform": selected.num_uniform,
        }
        return Selection(selected.positions, selected.num_covered, derived)

    def _num_clusters(self, query: Query) -> int:
        if self.num_classes is not None:
            return self.num_classes
        return max(2, query.num) if query.head is None else query.num_classes


def _unit_features(query: Query) -> Tensor:
    """Features of the labeled examples and then of the pool, ``(L + U, D)``, of unit length."""
    rows = (query.labeled, query.pool)
    size = sum(len(part) for part in rows)
    units = torch.empty(size, query.pool.num_features, device=query.device)
    start = 0
    for part in rows:
        for chunk in part.chunks():
            units[start : start + len(chunk)] = F.normalize(chunk)
            start += len(chunk)
    return units
