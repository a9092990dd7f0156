"""The datamodule that knows which examples are labeled."""

from abc import ABC, abstractmethod

import lightning as L
import torch
from torch import Tensor

from dal import randomness
from dal.data import examples as checks
from dal.data.batches import Chunks, EpochBatches
from dal.data.examples import Examples
from dal.data.rows import FeatureRows
from dal.errors import ConfigError, DataError, did_you_mean

INITIAL_DRAWS = ("random", "class_balanced")
EVAL_SPLITS = ("test", "dev")
EVAL_CHUNK_ROWS = 1 << 13


class ALDataModule(L.LightningDataModule, ABC):
    """Examples of which some are labeled, held in memory or in memory maps.

    The train examples, less the ``dev`` part, are the pool of the experiment. An *index* names a
    train example for good; a *position* is a row of the unlabeled examples as a strategy is shown
    them, in ascending order of index. This class alone maps the one to the other.

    A subclass says in :meth:`load` where the examples come from.

    Args:
        batch_size: Rows in a training batch.
        dev_fraction: Share of the train examples held out for the choice of hyperparameters, in
            [0, 1). The paper holds out 10%.
        split_seed: Seed of that split. It is not the run's seed: the pool is the same in all runs.
    """

    train: Examples
    test: Examples
    num_classes: int

    def __init__(
        self, batch_size: int = 128, dev_fraction: float = 0.1, split_seed: int = 0
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"Expected `batch_size` of at least 1, got {batch_size}.")
        if not 0 <= dev_fraction < 1:
            raise ConfigError(f"Expected `dev_fraction` in [0, 1), got {dev_fraction}.")
        self.batch_size = batch_size
        self.dev_fraction = dev_fraction
        self.split_seed = split_seed
        self.batch_generator = torch.Generator()

    @abstractmethod
    def load(self) -> tuple[Examples, Examples]:
        """The train and the test examples, as they are; :meth:`setup` checks them."""

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Loads and checks the examples and splits off the dev part, once.

        Raises:
            DataError: If the examples cannot be learned from.
        """
        if hasattr(self, "train"):  # Lightning calls this before every fit
            return
        train, test = self.load()
        train, test = checks.checked(train, "train"), checks.checked(test, "test")
        self.num_classes = checks.checked_together(train, test)
        self.train, self.test = train, test

        order = torch.randperm(
            len(train), generator=randomness.stream(self.split_seed, 0, "dev split")
        )
        num_dev = round(self.dev_fraction * len(train))
        self.dev_indices = order[:num_dev].sort().values
        self._is_unlabeled = torch.ones(len(train), dtype=torch.bool)
        self._is_unlabeled[self.dev_indices] = False
        self.labeled_indices = torch.empty(0, dtype=torch.int64)

    @property
    def num_features(self) -> int:
        """D, the length of a feature row."""
        return self.train.features.shape[1]

    @property
    def num_unlabeled(self) -> int:
        """U, the number of examples a strategy can choose from."""
        return int(self._is_unlabeled.sum())

    @property
    def unlabeled_indices(self) -> Tensor:
        """Indices of the unlabeled examples, ``(U,)``, ascending: position to index."""
        return self._is_unlabeled.nonzero().flatten()

    @property
    def labels(self) -> Tensor:
        """Labels of the labeled examples, ``(L,)``, in the order in which they were acquired."""
        return self.train.labels[self.labeled_indices]

    def fingerprint(self) -> str:
        """Hexadecimal digits that change when any feature, any label or the dev part does."""
        split = Examples(self.dev_indices, self.dev_indices).fingerprint()
        return f"{self.train.fingerprint()}-{self.test.fingerprint()}-{split}"

    def initial_draw(self, num: int, how: str, generator: torch.Generator) -> Tensor:
        """Indices to start from, drawn from the unlabeled examples; labels nothing.

        Args:
            num: How many.
            how: ``"random"`` draws all alike. ``"class_balanced"`` takes the classes in turns, in
                an order drawn anew each round, so that their counts differ by at most one while
                every class has examples left.
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
        if not 1 <= num <= self.num_unlabeled:
            raise DataError(
                f"Expected `num_init` in [1, {self.num_unlabeled}], the size of the pool, "
                f"got {num}."
            )
        indices = self.unlabeled_indices
        shuffled = indices[torch.randperm(len(indices), generator=generator)]
        if how == "random":
            return shuffled[:num]
        if num < self.num_classes:
            raise DataError(
                f"Expected `num_init` of at least {self.num_classes}, one a class, for a class-"
                f"balanced draw, got {num}. Ask for more, or draw with init=random."
            )
        labels = self.train.labels[shuffled]
        # A row's turn is how many of its class come before it: round 0 has one row of every class.
        turn = torch.zeros_like(labels)
        for label in range(self.num_classes):
            is_label = labels == label
            turn[is_label] = torch.arange(int(is_label.sum()))
        # Shuffled again: in the order of the first shuffle, a round opens with frequent classes.
        order = torch.randperm(len(labels), generator=generator)
        return shuffled[order[turn[order].sort(stable=True).indices[:num]]]

    def label(self, indices: Tensor) -> None:
        """Moves examples from the unlabeled to the labeled ones.

        Args:
            indices: Their indices, ``(num,)``, distinct.

        Raises:
            DataError: If one of them is not an unlabeled example of the pool, or named twice.
        """
        is_known = (indices >= 0) & (indices < len(self.train))
        if not is_known.all() or not self._is_unlabeled[indices].all():
            raise DataError(f"Expected indices of unlabeled examples, got {indices.tolist()}.")
        if len(indices.unique()) != len(indices):
            raise DataError(f"Expected distinct indices, got {indices.tolist()}.")
        self._is_unlabeled[indices] = False
        self.labeled_indices = torch.cat([self.labeled_indices, indices])

    def forget_labels(self) -> None:
        """Makes every example of the pool unlabeled again."""
        self._is_unlabeled[self.labeled_indices] = True
        self.labeled_indices = self.labeled_indices[:0]

    def unlabeled_rows(self, device: torch.device) -> FeatureRows:
        """Features of the unlabeled examples by position, ``(U, D)``, not yet read."""
        return FeatureRows(self.train.features, self.unlabeled_indices, device)

    def labeled_rows(self, device: torch.device) -> FeatureRows:
        """Features of the labeled examples in order of acquisition, ``(L, D)``, not yet read."""
        return FeatureRows(self.train.features, self.labeled_indices, device)

    def train_dataloader(self) -> EpochBatches:
        """Full batches of the labeled examples, on the trainer's device, an epoch an item.

        Their order comes from ``batch_generator``, which is replaced before every fit.
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return EpochBatches(
            self.labeled_rows(device).load(),
            self.labels.to(device),
            self.batch_size,
            self.batch_generator,
        )

    def eval_dataloader(self, split: str) -> Chunks:
        """The examples on which a fit is judged.

        Args:
            split: ``"test"`` for results, ``"dev"`` for the choice of hyperparameters.

        Raises:
            ConfigError: If it is neither, or the dev part is empty.
        """
        if split not in EVAL_SPLITS:
            raise ConfigError(f"Unknown `eval_split` '{split}'. {did_you_mean(split, EVAL_SPLITS)}")
        if split == "test":
            return Chunks(*self.test, size=EVAL_CHUNK_ROWS)
        if len(self.dev_indices) == 0:
            raise ConfigError("Expected a `dev_fraction` above 0 with eval_split=dev, got no rows.")
        return Chunks(
            self.train.features[self.dev_indices],
            self.train.labels[self.dev_indices],
            size=EVAL_CHUNK_ROWS,
        )
