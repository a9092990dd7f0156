"""Selection from arrays of any training loop: ``dal.select``."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dal import randomness
from dal.data import ALDataModule, FeatureRows, Tensors
from dal.errors import ConfigError, DataError
from dal.experiment.cycle import Cycle
from dal.heads import LinearHead
from dal.labeling import selection
from dal.strategies import Query, Strategy

MAX_NAMED = 5  # ids that a message names


def select(
    embeddings: Any,
    *,
    num: int,
    probs: Any = None,
    labels: Sequence[Any] | None = None,
    labeled: Any = None,
    ids: Sequence[str] | None = None,
    strategy: str | Strategy | None = None,
    scale: str | float = "auto",
    seed: int = 0,
) -> Any:
    """The items to label next, best first.

    Three ways to say what is known:

    * ``probs`` and ``labeled``: class probabilities by your own network, and the rows that it was
      fitted to. The embeddings should be the inputs of its last layer.
    * ``labels``: a linear head is fitted to the embeddings of the labeled rows.
    * neither: nothing is labeled yet.

    Args:
        embeddings: ``(N, D)``, floating point, a NumPy array or a tensor.
        num: How many items to select, at least 1; all that are unlabeled, if these are fewer.
        probs: Class probabilities of all rows, ``(N, K)``, summing to 1.
        labels: N labels of any kind, of which None, NaN and -1 stand for no label.
        labeled: The labeled rows, as positions ``(L,)``, as a mask ``(N,)``, or as ids.
        ids: What the rows are called, distinct.
        strategy: A name as in ``strategy=NAME``, or a strategy. If not given, ``bait_binary`` if
            there are labels of two classes or ``probs``; before that ``typiclust`` up to 500 items
            and ``max_herding`` above.
        scale: What the embeddings are scaled to, as in :class:`~dal.data.ALDataModule`.
        seed: Of every random number, at least 0.

    Returns:
        If ``ids`` are given, a list of ids. Else positions ``(num,)``, int64, an array if
        ``embeddings`` is one and a tensor if not.

    Raises:
        ConfigError: If the arguments do not fit together, or the strategy needs what is not there.
        DataError: If a value cannot be used, for example a NaN among the embeddings.

    Example:
        >>> import dal
        >>> embeddings = np.random.default_rng(0).normal(size=(40, 8))
        >>> labels = ["cat", "dog", *[None] * 38]
        >>> dal.select(embeddings, labels=labels, num=3).shape
        (3,)
    """
    if num < 1:
        raise ConfigError(f"Expected `num` of at least 1, got {num}.")
    datamodule = ALDataModule(Tensors(_tensor(embeddings, "embeddings"), ids=ids), scale=scale)
    datamodule.setup()
    pool = datamodule.pool
    size = len(pool.features)
    names = _names(labels, size)
    rows = torch.tensor([row for row, name in enumerate(names) if name is not None]).long()
    if labeled is not None:
        marked = _rows(labeled, ids, size)
        if labels is not None and set(marked.tolist()) != set(rows.tolist()):
            raise ConfigError(
                f"Expected `labeled` to be the rows that `labels` has a label for, got "
                f"{len(marked)} rows where there are {len(rows)} labels. Leave `labeled` out."
            )
        if labels is None and probs is None:
            raise ConfigError("Expected `probs` or `labels` beside `labeled`, got neither.")
        rows = marked if labels is None else rows
    elif probs is not None and labels is None:
        raise ConfigError("Expected `labeled` or `labels` beside `probs`, got neither.")
    num = min(num, size - len(rows))
    if num == 0:
        raise DataError(f"Expected a row without a label, got labels for all of {size}.")
    known = None if probs is None else _checked_probs(_tensor(probs, "probs"), size)
    classes = sorted({name for name in names if name is not None})
    numbers = torch.tensor([classes.index(names[row] or "") for row in rows] if classes else [])
    if known is not None and len(classes) == 0:
        # What few strategies look at: the class that the network sees in them.
        numbers = known[rows].argmax(1)
    if len(rows):
        pool.label(rows, numbers.long())
    can_fit = known is not None or len(classes) >= 2
    chosen = selection.strategy(strategy, can_fit, num, size)
    generator = randomness.stream(seed, 0, "selection")
    if known is not None:
        query = ProbsQuery(
            pool=pool.unlabeled_rows(),
            labeled=pool.labeled_rows(),
            labels=pool.labels,
            head=NoHead(),
            num=num,
            generator=generator,
            probs=known,
        )
        positions = chosen(query).positions
    else:
        cycle = Cycle(datamodule, LinearHead, chosen, seed)
        selected = selection.choose(cycle, 0, num, generator).selection
        assert selected is not None
        positions = selected.positions
    indices = pool.unlabeled_indices[positions]
    if ids is not None:
        return pool.ids(indices)
    return indices.numpy() if isinstance(embeddings, np.ndarray) else indices


class NoHead(nn.Module):
    """In the place of a head that is not here: its probabilities were given."""

    def embed(self, features: Tensor) -> Tensor:
        """The features: they are the inputs of the last layer."""
        return features

    @property
    def last_layer(self) -> nn.Linear:
        """Refuses."""
        raise self._refusal()

    def forward(self, features: Tensor) -> Tensor:  # noqa: ARG002
        """Refuses."""
        raise self._refusal()

    def _refusal(self) -> ConfigError:
        return ConfigError(
            "This strategy needs more of the network than its probabilities. Give `labels` instead "
            "of `probs`: a head is fitted then; or choose another `strategy`."
        )


@dataclass(frozen=True)
class ProbsQuery(Query):
    """A query of which the probabilities are known, and the head is not.

    Attributes:
        probs: Class probabilities by index, ``(N, K)``, float32.
    """

    probs: Tensor = field(default_factory=lambda: torch.empty(0, 0))

    @property
    def num_classes(self) -> int:
        """K."""
        return self.probs.shape[1]

    def _logits(self, rows: FeatureRows) -> Iterator[Tensor]:
        for indices in rows.indices.split(self.chunk_rows):
            # Their softmax are the probabilities again; of 0, the smallest number stays.
            yield self.probs[indices].clamp_min(torch.finfo(torch.float32).tiny).log()


def _tensor(values: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"Expected `{name}` to be an array or a tensor: {error}") from error


def _names(labels: Sequence[Any] | None, size: int) -> list[str | None]:
    if labels is None:
        return [None] * size
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(values) != size:
        raise DataError(
            f"Expected a label, or None, for each of {size} rows, got {len(values)} `labels`."
        )
    return [None if _is_missing(value) else str(value) for value in values]


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value == -1) or bool(value != value)  # NaN
    except TypeError:  # pandas.NA is equal to nothing, nor unequal
        return True


def _rows(labeled: Any, ids: Sequence[str] | None, size: int) -> Tensor:
    """Positions of the labeled rows, ``(L,)``."""
    values = list(labeled)
    if values and all(isinstance(value, str) for value in values):
        return _positions(values, ids)
    marked = _tensor(labeled, "labeled")
    if marked.dtype == torch.bool:
        if marked.shape != (size,):
            raise DataError(
                f"Expected `labeled` as a mask of {size} rows, got one of shape "
                f"{tuple(marked.shape)}."
            )
        return marked.nonzero().flatten()
    marked = marked.long().flatten()
    if len(marked) and not (int(marked.min()) >= 0 and int(marked.max()) < size):
        raise DataError(
            f"Expected `labeled` positions in [0, {size}), got {int(marked.min())} to "
            f"{int(marked.max())}."
        )
    if len(marked.unique()) != len(marked):
        raise DataError("Expected distinct `labeled` positions, got one twice.")
    return marked


def _positions(names: Collection[str], ids: Sequence[str] | None) -> Tensor:
    position_of = {} if ids is None else {name: row for row, name in enumerate(ids)}
    unknown = [name for name in names if name not in position_of]
    if unknown:
        shown = ", ".join(unknown[:MAX_NAMED])
        raise DataError(f"Expected `labeled` to be positions or some of `ids`, got {shown}.")
    return torch.tensor([position_of[name] for name in names])


def _checked_probs(probs: Tensor, size: int) -> Tensor:
    if probs.ndim != 2 or len(probs) != size or probs.shape[1] < 2:
        raise DataError(
            f"Expected `probs` of shape ({size}, K) with K of at least 2, got "
            f"{tuple(probs.shape)}. They should be of all rows, the labeled ones among them."
        )
    sums = probs.double().sum(1)
    is_bad = ~((probs >= 0).all(1) & ((sums - 1).abs() < 1e-3))
    if is_bad.any():
        row = int(is_bad.nonzero()[0])
        raise DataError(
            f"Expected `probs` of at least 0 that sum to 1 in each row, got {int(is_bad.sum())} "
            f"others, the first at row {row} (sum {float(sums[row]):.4g}). Logits need a softmax "
            "first."
        )
    return probs.float()
