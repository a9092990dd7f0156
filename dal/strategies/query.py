"""What a strategy is shown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from dal.data.rows import FeatureRows
from dal.errors import DataError

CHUNK_LOGITS = 1 << 21  # 8 MiB of float32: near the cache between the head and the softmax
MIN_CHUNK_ROWS = 256


@dataclass(frozen=True)
class Query:
    """A question for ``num`` examples of a pool, with all that may be known for the answer.

    The labels of the pool are not among it. Features, logits and probabilities are computed when
    first asked for, in chunks of rows, and kept.

    Attributes:
        pool: Features of the unlabeled examples, ``(U, D)``. Their rows are the *positions* that
            a strategy returns.
        labeled: Features of the labeled examples, ``(L, D)``, in order of acquisition.
        labels: Their labels, ``(L,)``, int64, on ``device``.
        head: Maps features ``(..., D)`` to logits ``(..., K)``; fitted, in evaluation mode.
        num: How many positions to return, in [1, U].
        generator: The only source of randomness of a strategy; on the CPU.
    """

    pool: FeatureRows
    labeled: FeatureRows
    labels: Tensor
    head: nn.Module
    num: int
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        """Where features and logits are, and where a strategy should compute."""
        return self.pool.device

    @cached_property
    def num_classes(self) -> int:
        """K, the number of logits."""
        logits: Tensor = self.head(torch.empty(0, self.pool.num_features, device=self.device))
        return logits.shape[-1]

    @cached_property
    def pool_features(self) -> Tensor:
        """Features of the unlabeled examples, ``(U, D)``, float32. Memory: 4·U·D bytes."""
        return self.pool.load()

    @cached_property
    def labeled_features(self) -> Tensor:
        """Features of the labeled examples, ``(L, D)``, float32."""
        return self.labeled.load()

    @cached_property
    def pool_logits(self) -> Tensor:
        """Logits of the unlabeled examples, ``(U, K)``. Memory: 4·U·K bytes."""
        return torch.cat(list(self._logits(self.pool)))

    @cached_property
    def pool_probs(self) -> Tensor:
        """Class probabilities of the unlabeled examples, ``(U, K)``. Memory: 4·U·K bytes."""
        return self.pool_logits.softmax(-1)

    @cached_property
    def labeled_logits(self) -> Tensor:
        """Logits of the labeled examples, ``(L, K)``."""
        return torch.cat(list(self._logits(self.labeled)))

    @cached_property
    def labeled_probs(self) -> Tensor:
        """Class probabilities of the labeled examples, ``(L, K)``."""
        return self.labeled_logits.softmax(-1)

    def pool_scores(self, score: Callable[[Tensor], Tensor]) -> Tensor:
        """``score`` of the pool's class probabilities, row by row.

        Args:
            score: Maps probabilities ``(M, K)`` to ``(M, ...)`` without mixing rows.

        Returns:
            ``(U, ...)``. The probabilities are not kept: a million rows of a thousand classes
            would take 4 GB.
        """
        scores, start = None, 0
        for logits in self._logits(self.pool):
            part = score(logits.softmax(-1))
            if scores is None:  # not gathered and joined: that would take the memory twice
                scores = part.new_empty(len(self.pool), *part.shape[1:])
            scores[start : start + len(part)] = part
            start += len(part)
        assert scores is not None
        return scores

    def restricted_to(self, positions: Tensor) -> "Query":
        """The same question for a part of the pool.

        Args:
            positions: Of that part, ``(M,)``, int64, on the CPU.
        """
        pool = FeatureRows(self.pool.features, self.pool.indices[positions], self.device)
        return replace(self, pool=pool)

    def _logits(self, rows: FeatureRows) -> Iterator[Tensor]:
        if len(rows) == 0:
            yield self.head(torch.empty(0, rows.num_features, device=self.device))
        size = max(MIN_CHUNK_ROWS, CHUNK_LOGITS // self.num_classes)
        is_read = rows is self.pool and "pool_features" in vars(self)
        for features in self.pool_features.split(size) if is_read else rows.chunks(size):
            logits = self.head(features)
            # A sum is one fast pass; only where it is not finite the logits are looked at.
            if not logits.sum().isfinite() and not logits.isfinite().all():
                raise DataError(
                    "Expected finite logits, got NaN or infinity: the head has diverged. Lower "
                    "its learning rate (head.optimizer.lr) or scale the features down."
                )
            yield logits
