"""The datamodule of an experiment: a pool, its training batches, and what it is evaluated on."""

import math
from collections.abc import Sequence

import lightning as L
import numpy as np
import torch
from torch import Tensor

from dal import randomness
from dal.data import examples
from dal.data.batches import Chunks, EpochBatches
from dal.data.examples import Examples
from dal.data.listener import PoolListener
from dal.data.pool import Pool
from dal.data.rows import FeatureRows, check_in_memory
from dal.data.source import Source
from dal.errors import ConfigError, DataError, did_you_mean

INITIAL_DRAWS = ("random", "class_balanced")
EVAL_SPLITS = ("test", "dev")
EVAL_CHUNK_ROWS = 1 << 13
MAX_NAMED = 5  # classes that a message names
TARGET_NORM = 45.0  # about the mean norm of DINOv2 ViT-S/14 features of photographs


class ALDataModule(L.LightningDataModule):
    """Examples of a source, as a pool of which some are labeled.

    The pool is the train examples without the ``dev`` part, on which hyperparameters can be chosen,
    and without the part held out for testing if the source has no test split. An index is the row
    of an example as the source returned it, whatever is split off.

    Where all labels are known, :meth:`reveal` looks them up, as an experiment does in the place of
    annotators. Where they are not, all rows are the pool, and whoever has a label gives it to
    ``pool``.

    Args:
        source: Where the examples come from.
        batch_size: Rows in a training batch.
        dev_fraction: Share of the train examples held out for the choice of hyperparameters, in
            [0, 1). The paper holds out 10%.
        test_fraction: Share of the train examples held out for testing, by class, in (0, 1), if
            the source has no test split.
        split_seed: Seed of both splits. It is not the run's seed: the pool is the same in all runs.
        scale: The mean norm that the features of the pool are scaled to, and all others with them:
            ``"auto"`` for that of DINOv2 features, for which λ = 1 of BAIT and the head's learning
            rate of 0.2 were chosen; a number; or ``"none"``, to leave them alone. At norm 1, as
            many embeddings have it, BAIT with λ = 1 selects worse than at random.
        in_memory: Whether the features of the pool are kept in memory while a strategy reads them
            several times. With ``"auto"`` they are if they take, as float32, at most half of the
            memory that is available; if not, they are read in chunks in each pass, from the file
            that they are in. What is selected does not depend on it.

    Raises:
        ConfigError: If an argument is out of range.
    """

    train: Examples
    test: Examples | None
    pool: Pool
    mean_norm: float | None = None  # of the pool before it is scaled
    listener: PoolListener | None = None  # is told how far the pool is read

    def __init__(
        self,
        source: Source,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        scale: str | float = "auto",
        in_memory: str | bool = "auto",
    ) -> None:
        super().__init__()
        if not callable(getattr(source, "load", None)):
            raise ConfigError(
                f"Expected `source` to be a source of examples, with a method `load`, got "
                f"{type(source).__name__}."
            )
        if batch_size < 1:
            raise ConfigError(f"Expected `batch_size` of at least 1, got {batch_size}.")
        if not 0 <= dev_fraction < 1:
            raise ConfigError(f"Expected `dev_fraction` in [0, 1), got {dev_fraction}.")
        if not 0 < test_fraction < 1:
            raise ConfigError(f"Expected `test_fraction` in (0, 1), got {test_fraction}.")
        if split_seed < 0:
            raise ConfigError(f"Expected `split_seed` of at least 0, got {split_seed}.")
        if not _is_scale(scale):
            raise ConfigError(
                f"Expected `scale` to be 'auto', 'none' or a number above 0, got {scale!r}."
            )
        check_in_memory(in_memory)
        self.source = source
        self.batch_size = batch_size
        self.dev_fraction = dev_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.scale = scale
        self.in_memory = in_memory
        self.batch_generator = torch.Generator()

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Loads and checks the examples and splits the pool off, once.

        Raises:
            DataError: If the examples cannot be learned from.
        """
        if hasattr(self, "train"):  # Lightning calls this before every fit
            return
        train, test = self.source.load()
        train = examples.checked(train, "train")
        if test is not None:
            test = examples.checked(test, "test")
            examples.check_labeled(test.labels, "test")
        self.dev_indices = torch.empty(0, dtype=torch.int64)
        self._num_classes = 0
        candidates = torch.arange(len(train))
        if train.labels is not None and train.are_labeled:
            self._num_classes = examples.checked_together(train, test)
            parts = self._split(train.labels, test is not None, train.class_names)
            candidates, self.dev_indices, held_out = parts
            if test is None:
                test = Examples(train.features[held_out], train.labels[held_out])
        factor = 1.0
        if self.scale != "none" and len(candidates):
            rows = FeatureRows(train.features, candidates, listener=self.listener)
            self.mean_norm = rows.mean_norm()
            factor = self._factor(self.mean_norm)
        self.test, self.train = test, train
        self.pool = Pool(train.features, train.ids, candidates, factor, self.in_memory)
        self.pool.listener = self.listener

    def _factor(self, mean_norm: float) -> float:
        """What features are multiplied by to have the mean norm that was asked for."""
        if mean_norm == 0:
            raise DataError(
                "Expected features that are not all zero, got a pool of zeros, which cannot be "
                "scaled. Check how they were computed."
            )
        target = TARGET_NORM if self.scale == "auto" else float(self.scale)
        # Rounded, so that the last digit of another machine does not change a run.
        return float(f"{target / mean_norm:.6g}")

    def preview(
        self, labels: Tensor, test_labels: Tensor | None, class_names: Sequence[str] | None
    ) -> tuple[int, int]:
        """What the pool will be, as soon as labels are known: features may take hours.

        Args:
            labels: Of the train examples, ``(N,)``.
            test_labels: Of the test examples, if there is a test split.
            class_names: By label, if classes have names.

        Returns:
            Number of rows that the pool will have, and K.

        Raises:
            DataError: If a label is unknown, or the examples are too few or of one class.
        """
        examples.check_labeled(labels, "train")
        if test_labels is not None:
            examples.check_labeled(test_labels, "test")
        num_classes = examples.checked_classes(labels, test_labels)
        candidates, _, _ = self._split(labels, test_labels is not None, class_names)
        return len(candidates), num_classes

    def _split(
        self, labels: Tensor, has_test: bool, class_names: Sequence[str] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of the pool, of dev, and of those held out for testing, each ascending."""
        rest, held_out = torch.arange(len(labels)), torch.empty(0, dtype=torch.int64)
        if not has_test:
            rest, held_out = self._hold_out(labels, class_names)
        generator = randomness.stream(self.split_seed, 0, "dev split")
        order = torch.randperm(len(rest), generator=generator)
        num_dev = round(self.dev_fraction * len(rest))
        return rest[order[num_dev:].sort().values], rest[order[:num_dev].sort().values], held_out

    def _hold_out(self, labels: Tensor, class_names: Sequence[str] | None) -> tuple[Tensor, Tensor]:
        """The rows that remain, and those held out for testing, by class; both ascending."""
        from sklearn.model_selection import train_test_split

        counts = labels.bincount().tolist()
        what = f"Cannot hold {self.test_fraction:.0%} of the train examples out for testing"
        remedy = "or name a test split with data.splits.test=NAME."
        few = [label for label, count in enumerate(counts) if count < 2]
        if few:
            names = [f"'{label if class_names is None else class_names[label]}'" for label in few]
            shown = ", ".join(names[:MAX_NAMED])
            more = f" and {len(few) - MAX_NAMED} more" if len(few) > MAX_NAMED else ""
            raise DataError(
                f"{what}: expected at least 2 of each class, got 1 of {shown}{more}. Add examples, "
                f"remove the class, {remedy}"
            )
        num_test = math.ceil(self.test_fraction * len(labels))
        if not len(counts) <= num_test <= len(labels) - len(counts):
            raise DataError(
                f"{what}: expected at least one example of each of the {len(counts)} classes there "
                f"and in the pool, got {num_test} and {len(labels) - num_test} examples. Add "
                f"examples, choose another data.test_fraction, {remedy}"
            )
        parts = train_test_split(
            np.arange(len(labels)),
            test_size=self.test_fraction,
            stratify=labels,
            random_state=self.split_seed,
        )
        rest, held_out = (torch.from_numpy(np.sort(part)) for part in parts)
        return rest, held_out

    @property
    def num_features(self) -> int:
        """D, the length of a feature row."""
        return self.pool.num_features

    @property
    def num_classes(self) -> int:
        """K, of all labels of the source or of those that the pool knows so far."""
        return max(self._num_classes, self.pool.num_classes)

    def describe(self, indices: Tensor) -> list[tuple[str, str]]:
        """Id and label of some rows as the user knows them: for records.

        The label is the name of the class if classes have names, else its number.

        Raises:
            DataError: If the source lacks labels.
        """
        names = self.train.class_names
        labels = self.reveal(indices).tolist()
        shown = [str(label) if names is None else names[label] for label in labels]
        return list(zip(self.pool.ids(indices), shown, strict=True))

    def fingerprint(self) -> str:
        """Hexadecimal digits that change when any feature, any label or the dev part does."""
        test = "" if self.test is None else self.test.fingerprint()
        dev = Examples(self.dev_indices, self.dev_indices).fingerprint()
        return f"{self.train.fingerprint()}-{test}-{dev}"

    def check_labeled(self) -> None:
        """Checks that every label of the pool can be revealed.

        Raises:
            DataError: If the source lacks labels.
        """
        examples.check_labeled(self.train.labels, "train")

    def reveal(self, indices: Tensor) -> Tensor:
        """The labels of some rows, ``(num,)``: the oracle of an experiment.

        Raises:
            DataError: If the source lacks labels.
        """
        self.check_labeled()
        assert self.train.labels is not None
        return self.train.labels[indices]

    def label(self, indices: Tensor) -> None:
        """Reveals the labels of some unlabeled rows of the pool and gives them to it.

        Args:
            indices: Of the rows, ``(num,)``, distinct.

        Raises:
            DataError: As :meth:`Pool.label`, or if the source lacks labels.
        """
        is_row = (indices >= 0) & (indices < len(self.train))
        self.pool.label(indices, self.reveal(indices.where(is_row, 0)))

    def initial_draw(self, num: int, how: str, generator: torch.Generator) -> Tensor:
        """Indices to start from, drawn from the unlabeled rows; labels nothing.

        Args:
            num: How many.
            how: ``"random"`` draws uniformly. ``"class_balanced"`` takes the classes in turns, in
                an order drawn again for each round, so that their counts differ by at most one
                while every class has examples left.
            generator: Where the draw comes from.

        Returns:
            Indices, ``(num,)``, int64.

        Raises:
            ConfigError: If ``how`` is neither.
            DataError: If the pool has fewer than ``num``, or ``"class_balanced"`` is asked for
                fewer examples than there are classes.
        """
        if how not in INITIAL_DRAWS:
            raise ConfigError(f"Unknown initial draw '{how}'. {did_you_mean(how, INITIAL_DRAWS)}")
        indices = self.pool.unlabeled_indices
        if not 1 <= num <= len(indices):
            raise DataError(
                f"Expected `num_init` in [1, {len(indices)}], the size of the pool, got {num}."
            )
        shuffled = indices[torch.randperm(len(indices), generator=generator)]
        if how == "random":
            return shuffled[:num]
        check_balanced(num, self.num_classes)
        labels = self.reveal(shuffled)
        # A row's turn is how many of its class come before it: round 0 has one row of every class.
        turn = torch.zeros_like(labels)
        for label in range(self.num_classes):
            is_label = labels == label
            turn[is_label] = torch.arange(int(is_label.sum()))
        # Shuffled again: in the order of the first shuffle, a round opens with frequent classes.
        order = torch.randperm(len(labels), generator=generator)
        return shuffled[order[turn[order].sort(stable=True).indices[:num]]]

    def train_dataloader(self) -> EpochBatches:
        """Full batches of the labeled rows, on the trainer's device; an item is an epoch.

        Their order comes from ``batch_generator``, which is replaced before every fit.
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return EpochBatches(
            self.pool.labeled_rows(device).load(),
            self.pool.labels.to(device),
            self.batch_size,
            self.batch_generator,
        )

    def eval_dataloader(self, split: str) -> Chunks:
        """The examples on which a fit is evaluated.

        Args:
            split: ``"test"`` for results, ``"dev"`` for the choice of hyperparameters.

        Raises:
            ConfigError: If it is neither, or there are no examples in it.
        """
        if split not in EVAL_SPLITS:
            raise ConfigError(f"Unknown `eval_split` '{split}'. {did_you_mean(split, EVAL_SPLITS)}")
        if split == "test":
            if self.test is None or self.test.labels is None:
                raise ConfigError("Expected a test split with eval_split=test, got none.")
            features, labels = self.test.features, self.test.labels
            return Chunks(features, labels, EVAL_CHUNK_ROWS, self.pool.scale)
        if len(self.dev_indices) == 0:
            raise ConfigError("Expected a `dev_fraction` above 0 with eval_split=dev, got no rows.")
        features, labels = self.train.features[self.dev_indices], self.reveal(self.dev_indices)
        return Chunks(features, labels, EVAL_CHUNK_ROWS, self.pool.scale)


def check_balanced(num: int, num_classes: int) -> None:
    """Checks that a class-balanced draw has an example of each class.

    Raises:
        DataError: If it has not.
    """
    if num < num_classes:
        raise DataError(
            f"Expected `num_init` of at least {num_classes}, one for each class, for a "
            f"class-balanced draw, got {num}. Ask for more, or draw with init=random."
        )


def _is_scale(scale: str | float) -> bool:
    if isinstance(scale, str):
        return scale in ("auto", "none")
    return not isinstance(scale, bool) and 0 < scale < float("inf")
