"""The query: everything that a strategy may know of the pool, the labels and the head."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from dal.data.rows import FeatureRows, MappedRows
from dal.errors import ConfigError, DataError, ResourceError
from dal.functional import sharding
from dal.functional.rows import Rows
from dal.runtime import devices

CHUNK_LOGITS = 1 << 21  # 8 MiB of float32: near the cache between the head and the softmax
CHUNK_FEATURES = 1 << 26  # 256 MiB of float32
MIN_CHUNK_ROWS = 256

# Of the cached properties, those that a part of the pool does not change.
KEPT_IN_PARTS = frozenset(
    {"num_classes", "embedding_size", "labeled_features", "labeled_embeddings"}
    | {"labeled_logits", "labeled_probs"}
)


@dataclass(frozen=True)
class Query:
    """A question for ``num`` examples of a pool, with everything that may be known for the answer.

    The labels of the pool are not part of it. Features, embeddings, logits and probabilities are
    computed when they are first asked for, in chunks of rows, and kept. A strategy that reads the
    features in parts, several times, asks for :attr:`feature_rows` or :attr:`embedding_rows`: these
    are in memory if they fit there, and read from the file of the pool in each pass if not.

    Attributes:
        pool: Features of the unlabeled examples, ``(U, D)``. Their rows are the *positions* that
            a strategy returns.
        labeled: Features of the labeled examples, ``(L, D)``, in order of acquisition.
        labels: Their labels, ``(L,)``, int64, on ``device``.
        head: Maps features ``(..., D)`` to logits ``(..., K)``; fitted, in evaluation mode. A
            ``Linear``, or a module with a method ``embed`` as :class:`dal.heads.Head` has it. None
            as long as there is nothing to fit it to.
        num: How many positions to return, in [1, U].
        generator: The only source of randomness of a strategy; on the CPU.
        known_classes: Number of classes, where it is known without a head.
        refit: Fits a new head, of the configuration of ``head``, to some of the labeled rows, given
            as positions in ``labeled``, ``(M,)``, int64, on the CPU; it returns it in evaluation
            mode, on ``device``. Equal positions give equal heads. None if there is no way to.
        shares: The processes that answer the same query together, each for a share of the pool.
    """

    pool: FeatureRows
    labeled: FeatureRows
    labels: Tensor
    head: nn.Module | None
    num: int
    generator: torch.Generator
    known_classes: int | None = None
    refit: Callable[[Tensor], nn.Module] | None = None
    shares: sharding.Shares = sharding.ALONE

    @property
    def device(self) -> torch.device:
        """Where features and logits are, and where a strategy should compute."""
        return self.pool.device

    @cached_property
    def num_classes(self) -> int:
        """K, the number of logits; without a head, ``known_classes``.

        Raises:
            ConfigError: If there is neither.
        """
        if self.head is None and self.known_classes is not None:
            return self.known_classes
        logits: Tensor = self._fitted_head(self._no_features)
        return logits.shape[-1]

    @cached_property
    def embedding_size(self) -> int:
        """E, the length of an embedding; D if the head is linear."""
        return self.embeddings(self._no_features).shape[-1]

    @cached_property
    def last_layer(self) -> nn.Linear:
        """The last layer of the head, which maps embeddings to logits.

        Raises:
            ConfigError: If there is no head, or it does not say which layer that is.
        """
        if isinstance(self._fitted_head, nn.Linear):
            return self._fitted_head
        layer = getattr(self.head, "last_layer", None)
        if not isinstance(layer, nn.Linear):
            raise ConfigError(
                f"Expected a head that is a Linear or has its last layer, a Linear, as an "
                f"attribute `last_layer`, got {type(self.head).__name__}. Take dal.heads.Head; a "
                "network of your own with a method `embed` needs the attribute too."
            )
        return layer

    @cached_property
    def pool_features(self) -> Tensor:
        """Features of the unlabeled examples, ``(U, D)``, float32. Memory: 4·U·D bytes.

        Raises:
            ResourceError: If the device has too little memory.
        """
        self._check_fits(self.pool.num_features)
        return self.pool.load()

    @cached_property
    def feature_rows(self) -> Rows:
        """The same, to be read in parts; :attr:`pool_features` only if they should be kept."""
        return self.pool_features if self._are_kept(self.pool.num_features) else self.pool

    @cached_property
    def embedding_rows(self) -> Rows:
        """Inputs of the head's last layer for the unlabeled examples, ``(U, E)``, read in parts.

        If they are not kept, those of a head that is not linear are computed whenever they are
        read, and may differ in the last digit from one reading to another.
        """
        if self._embeds_by_identity:
            return self.feature_rows
        if self._are_kept(self.embedding_size):
            return self.pool_embeddings
        return MappedRows(self.pool, self.embeddings, self.embedding_size)

    @cached_property
    def labeled_features(self) -> Tensor:
        """Features of the labeled examples, ``(L, D)``, float32."""
        return self.labeled.load()

    @cached_property
    def pool_embeddings(self) -> Tensor:
        """Inputs of the head's last layer for the unlabeled examples, ``(U, E)``, float32.

        The features themselves if the head is linear. Memory: 4·U·E bytes.

        Raises:
            ResourceError: If the device has too little memory.
        """
        if self._embeds_by_identity:
            return self.pool_features
        self._check_fits(self.embedding_size)
        return self.map_pool_features(self.embeddings)

    @cached_property
    def labeled_embeddings(self) -> Tensor:
        """Inputs of the head's last layer for the labeled examples, ``(L, E)``, float32."""
        return self.embeddings(self.labeled_features)

    @cached_property
    def pool_logits(self) -> Tensor:
        """Logits of the unlabeled examples, ``(U, K)``. Memory: 4·U·K bytes."""
        return torch.cat(list(self._logits(self.pool)))

    @cached_property
    def pool_probs(self) -> Tensor:
        """Class probabilities of the unlabeled examples, ``(U, K)``. Memory: 4·U·K bytes."""
        return self.pool_logits.softmax(-1)

    @cached_property
    def pool_probs_by_class(self) -> Tensor:
        """The same by class, ``(K, U)``, contiguous; computed by itself. Memory: 4·U·K bytes."""
        probs = torch.empty(self.num_classes, len(self.pool), device=self.device)
        start = 0
        for logits in self._logits(self.pool):
            probs[:, start : start + len(logits)] = logits.softmax(-1).mT
            start += len(logits)
        return probs

    @cached_property
    def labeled_logits(self) -> Tensor:
        """Logits of the labeled examples, ``(L, K)``."""
        return torch.cat(list(self._logits(self.labeled)))

    @cached_property
    def labeled_probs(self) -> Tensor:
        """Class probabilities of the labeled examples, ``(L, K)``."""
        return self.labeled_logits.softmax(-1)

    def embeddings(self, features: Tensor) -> Tensor:
        """Inputs of the head's last layer, ``(M, E)``, for features that are given, ``(M, D)``.

        The same tensor if the head is linear.

        Raises:
            ConfigError: If there is no head, or it does not say what its last layer takes.
        """
        if isinstance(self._fitted_head, nn.Linear):
            return features
        embed = getattr(self.head, "embed", None)
        if embed is None:
            raise ConfigError(
                f"Expected a head that is a Linear or has a method `embed`, got "
                f"{type(self.head).__name__}: without one the inputs of its last layer are not "
                "known. Take dal.heads.Head(network=...)."
            )
        embeddings: Tensor = embed(features)
        return embeddings

    def logits(self, features: Tensor) -> Tensor:
        """Logits, ``(M, K)``, for features that are given, ``(M, D)``.

        Raises:
            ConfigError: If there is no head.
            DataError: If they are not finite.
        """
        logits: Tensor = self._fitted_head(features)
        # A sum is one fast pass; only where it is not finite the logits are looked at.
        if not logits.sum().isfinite() and not logits.isfinite().all():
            raise DataError(
                "Expected finite logits, got NaN or infinity: the head has diverged. Lower "
                "its learning rate (head.optimizer.lr) or scale the features down."
            )
        return logits

    def map_pool_features(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` of the features of the unlabeled examples, row by row.

        Args:
            function: Maps features ``(M, D)`` to ``(M, ...)`` without mixing rows.

        Returns:
            ``(U, ...)``. The features are not kept.
        """
        return self._joined(function(features) for features in self._chunks(self.pool))

    def map_pool(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` of the class probabilities of the unlabeled examples, row by row.

        Args:
            function: Maps probabilities ``(M, K)`` to ``(M, ...)`` without mixing rows.

        Returns:
            ``(U, ...)``. The probabilities are not kept.
        """
        return self.map_pool_logits(lambda logits: function(logits.softmax(-1)))

    def map_pool_logits(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` of the logits of the unlabeled examples, row by row: as :meth:`map_pool`."""
        return self._joined(function(logits) for logits in self._logits(self.pool))

    def map_pool_samples(
        self, function: Callable[[Tensor], Tensor], num_samples: int, joint: bool = False
    ) -> Tensor:
        """``function`` of class probabilities ``(S, M, K)`` under sampled weights, row by row.

        As :meth:`map_pool_logit_samples`, of which these are the softmax.
        """
        return self.map_pool_logit_samples(
            lambda logits: function(logits.softmax(-1)), num_samples, joint
        )

    def map_pool_logit_samples(
        self, function: Callable[[Tensor], Tensor], num_samples: int, joint: bool = False
    ) -> Tensor:
        """``function`` of logits under sampled weights, row by row.

        The samples come from the head's posterior, fitted to the labeled examples, and from
        ``generator``; they do not depend on the chunks in which rows are read.

        Args:
            function: Maps logits ``(S, M, K)`` to ``(M, ...)`` without mixing rows.
            num_samples: S.
            joint: False if each row is judged by itself: its logits have the right distribution,
                rows together do not. They come from the head's ``sample``, called for each chunk
                with a generator in the same state. True if rows are compared with each other under
                one sample: sample s has the same weights for all rows. They come from the head's
                ``sample_functions``, at S passes of the head.

        Returns:
            ``(U, ...)``. The logits are not kept.

        Raises:
            ConfigError: If the head has no such method.
        """
        method = "sample_functions" if joint else "sample"
        draw = getattr(self._fitted_head, method, None)
        if draw is None:
            raise ConfigError(
                f"Expected a head with a posterior, got {type(self.head).__name__}, which has no "
                f"method `{method}`. Take one of dal.heads."
            )
        fit_posterior = getattr(self.head, "fit_posterior", None)
        if fit_posterior is not None:
            fit_posterior(self.labeled_features)
        samples: Callable[[Tensor], Tensor]
        if joint:
            samples = draw(num_samples, self.generator)
        else:
            seed = int(torch.randint(2**63 - 1, (), generator=self.generator))
            draws = torch.Generator()

            def samples(rows: Tensor) -> Tensor:
                drawn: Tensor = draw(rows, num_samples, draws.manual_seed(seed))
                return drawn

        # As many rows as there are logits for, so that S samples take no more memory than one.
        chunk_rows = max(MIN_CHUNK_ROWS, CHUNK_LOGITS // self.num_classes) // num_samples
        return self._joined(
            function(samples(rows))
            for features in self._chunks(self.pool)
            for rows in features.split(max(1, chunk_rows))
        )

    def own_share(self, chunk_rows: int = 1) -> tuple[slice, "Query"]:
        """The rows of the pool that are this process's, maybe none, and the question for these.

        All rows and itself without other processes. What it computes of a row is then the same to
        the last digit: a share is whole chunks of those that are read, and of ``chunk_rows``.
        """
        rows = self.shares.own(len(self.pool), max(sharding.CHUNK_ROWS, chunk_rows))
        own = torch.arange(rows.start, rows.stop)
        return rows, self if self.shares.num == 1 else self.restricted_to(own)

    def report(self, num: int, total: int) -> None:
        """Tells who shows the progress of a selection how many of all its steps are done."""
        if self.pool.listener is not None:
            self.pool.listener.chosen(num, total)

    def restricted_to(self, positions: Tensor) -> "Query":
        """The same question for a part of the pool.

        What this query has loaded or computed of the labeled examples, and the features of the
        pool, are not read again.

        Args:
            positions: Of that part, ``(M,)``, int64, on the CPU.
        """
        part = replace(self, pool=self.pool.take(positions))
        kept = {name: value for name, value in vars(self).items() if name in KEPT_IN_PARTS}
        if "pool_features" in vars(self):
            kept["pool_features"] = self.pool_features[positions.to(self.device)]
        vars(part).update(kept)
        return part

    @property
    def _fitted_head(self) -> nn.Module:
        if self.head is None:
            raise ConfigError("Expected a query with a fitted head, got none: nothing is labeled.")
        return self.head

    @property
    def _no_features(self) -> Tensor:
        return torch.empty(0, self.pool.num_features, device=self.device)

    @property
    def chunk_rows(self) -> int:
        """How many rows of the pool are read and computed at a time; a power of two."""
        size = min(CHUNK_LOGITS // self.num_classes, CHUNK_FEATURES // self.pool.num_features)
        return sharding.part_of_chunk(max(MIN_CHUNK_ROWS, size))

    def _are_kept(self, num_columns: int) -> bool:
        are_kept = self.pool.are_kept(num_columns)
        if not are_kept and self.pool.listener is not None:
            self.pool.listener.streamed(self.pool.num_bytes(num_columns))
        return are_kept

    def _check_fits(self, num_columns: int) -> None:
        needed = self.pool.num_bytes(num_columns)
        available = devices.available_bytes(self.device)
        if needed > available:
            raise ResourceError(
                f"The strategy needs the whole pool of {len(self.pool):,} × {num_columns} in "
                f"memory, {devices.shown(needed)}, and {self.device} has "
                f"{devices.shown(available)}. Let it choose from a part: strategy.subset_size="
                f"{int(available // 2 // (4 * num_columns))}, or choose a strategy that reads the "
                "pool in chunks, such as margin or bait_binary."
            )

    @cached_property
    def _embeds_by_identity(self) -> bool:
        probe = self._no_features
        return self.embeddings(probe) is probe

    def _chunks(self, rows: FeatureRows) -> Iterator[Tensor]:
        """Features of some rows, ``(M, D)``, read again only if they have not been kept."""
        is_kept = rows is self.pool and "pool_features" in vars(self)
        if len(rows) == 0:
            yield self._no_features
        yield from (self.pool_features.split if is_kept else rows.chunks)(self.chunk_rows)

    def _logits(self, rows: FeatureRows) -> Iterator[Tensor]:
        for features in self._chunks(rows):
            yield self.logits(features)

    def _joined(self, parts: Iterator[Tensor]) -> Tensor:
        """Parts for consecutive rows of the pool as one tensor, ``(U, ...)``."""
        whole, start = None, 0
        for part in parts:
            if whole is None:  # not gathered and concatenated: that would take the memory twice
                whole = part.new_empty(len(self.pool), *part.shape[1:])
            whole[start : start + len(part)] = part
            start += len(part)
        assert whole is not None
        return whole
