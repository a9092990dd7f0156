"""The computation of features under Lightning: batches in, parts of a draft out."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dal.errors import DataError
from dal.extraction.draft import Draft
from dal.extraction.encoder import Encoder, LengthReader, Reader
from dal.extraction.items import ItemSplit
from dal.extraction.progress import ExtractionListener
from dal.runtime import signals


class Batch(NamedTuple):
    """Items that the network takes at once.

    Attributes:
        part: The part of the draft that they are in.
        rows: Their rows in the split.
        input: What the reader has made of those that could be read; None if none could.
        problems: Why the others could not, by their row in the split.
        num_cut: How many of them are longer than the network takes.
        warnings: What the reader warned of, with the item's name.
    """

    part: int
    rows: list[int]
    input: Any
    problems: dict[int, str]
    num_cut: int
    warnings: list[str]

    @property
    def readable(self) -> list[int]:
        """The rows of the items that could be read, in the order of the input."""
        return [row for row in self.rows if row not in self.problems]


class Work(NamedTuple):
    """Items that one process reads at once: those of a batch, or a part that is to be sorted.

    Attributes:
        part: The part of the draft that they are in.
        rows: Their rows in the split.
    """

    part: int
    rows: range


class PlannedBatches(Dataset[list[Batch]]):
    """Batches of decoded items, one or several for each entry of a plan.

    Args:
        split: The items.
        reader: Decodes them.
        plan: What is read at once.
        batch_size: Items in a batch.
    """

    def __init__(
        self, split: ItemSplit, reader: Reader, plan: Sequence[Work], batch_size: int
    ) -> None:
        self.split = split
        self.reader = reader
        self.plan = plan
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> list[Batch]:
        part, rows = self.plan[number]
        decoded: dict[int, Any] = {}
        problems: dict[int, str] = {}
        shown: dict[int, list[str]] = {}
        for row, item in zip(rows, self.split.items[rows.start : rows.stop], strict=True):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                warnings.simplefilter("ignore", ResourceWarning)
                try:
                    decoded[row] = self.reader.read(item)
                except Exception as error:  # a decoder may raise anything
                    # Returned, because what a worker raises arrives wrapped in a traceback.
                    reason = " ".join(str(error).split()) or repr(error)
                    problems[row] = f"{self.split.name(row)}: {reason}"
            shown[row] = [f"{self.split.name(row)}: {warning.message}" for warning in caught]
        order, cut = list(rows), set[int]()
        if isinstance(self.reader, LengthReader):
            lengths = {row: self.reader.length(one) for row, one in decoded.items()}
            # The longest first: a batch that does not fit in memory fails at once.
            order.sort(key=lambda row: -lengths.get(row, 0))
            cut = {row for row, one in decoded.items() if self.reader.is_cut(one)}
        batches = []
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            readable = [decoded[row] for row in batch if row in decoded]
            batches.append(
                Batch(
                    part,
                    batch,
                    self.reader.collate(readable) if readable else None,
                    {row: problems[row] for row in batch if row in problems},
                    len(cut.intersection(batch)),
                    [message for row in batch for message in shown[row]],
                )
            )
        return batches


class OneByOne:
    """The batches of a loader that yields several at once.

    Args:
        loader: Yields lists of batches.
        num: How many batches that is in all.
    """

    def __init__(self, loader: Iterable[list[Batch]], num: int) -> None:
        self.loader = loader
        self.num = num

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[Batch]:
        for batches in self.loader:
            yield from batches


class Embedding(L.LightningModule):
    """Computes the missing parts of a draft, each process its share of them.

    Args:
        encoder: The network.
        split: The items.
        draft: Says which parts are missing.
        batch_size: Items in a batch. No batch extends over the end of a part, so that a part is the
            same whichever process computes it.
        num_workers: Processes that decode.
    """

    def __init__(
        self, encoder: Encoder, split: ItemSplit, draft: Draft, batch_size: int, num_workers: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.split = split
        self.draft = draft
        self.batch_size = batch_size
        self.num_workers = num_workers
        # A process may have no part to compute when there are fewer parts than processes.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.plan: list[Work] = []
        self.num_finished = 0

    def predict_dataloader(self) -> OneByOne:
        """This process's batches."""
        starts = np.cumsum([0, *(part.size for part in self.draft.parts)])
        missing = self.draft.missing()
        self.num_finished = len(self.split) - sum(self.draft.parts[part].size for part in missing)
        num_processes, rank = self.trainer.world_size, self.trainer.global_rank
        reader = self.encoder.reader
        self.plan = [
            Work(part, rows)
            for part in missing
            if part % num_processes == rank
            for rows in _read_at_once(
                range(int(starts[part]), int(starts[part + 1])), reader, self.batch_size
            )
        ]
        loader = DataLoader(
            PlannedBatches(self.split, reader, self.plan, self.batch_size),
            batch_size=None,
            num_workers=min(self.num_workers, len(self.plan)),
            pin_memory=self.device.type == "cuda",
        )
        return OneByOne(loader, sum(-(-len(work.rows) // self.batch_size) for work in self.plan))

    def predict_step(self, batch: Batch, _: int) -> Tensor:
        """Features ``(rows, D)``, float32, of the items that could be read."""
        if batch.input is None:
            return torch.empty(0, 0)
        features: Tensor = self.encoder(batch.input)
        return features


class PartWriter(L.Callback):
    """Writes each part of an :class:`Embedding`'s draft as soon as it is complete.

    Args:
        dtype: The NumPy type in which features are kept.
        listener: Is told how far the work is.
    """

    def __init__(self, dtype: type, listener: ExtractionListener) -> None:
        self.dtype = dtype
        self.listener = listener
        self._start_part()
        self.has_told = False
        self.warnings: list[str] = []

    def _start_part(self) -> None:
        self.features: list[np.ndarray] = []
        self.readable: list[int] = []
        self.problems: dict[int, str] = {}
        self.num_cut = 0

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Tells the listener how much there is to do."""
        assert isinstance(pl_module, Embedding)
        self.has_told = False
        self.listener.started(pl_module.split, pl_module.num_finished)

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Collects a batch, and writes its part if this was the last batch of it.

        Raises:
            DataError: If a feature is NaN or too large for the type, or cannot be written.
        """
        assert isinstance(pl_module, Embedding)
        signals.check()  # what a signal handler raised may have been lost
        self._tell(batch)
        self.readable += batch.readable
        self.problems |= batch.problems
        self.num_cut += batch.num_cut
        if len(outputs):
            self.features.append(self._features(outputs, pl_module.split, batch.readable))
        size = pl_module.draft.parts[batch.part].size
        if len(self.readable) + len(self.problems) == size:
            self._write_part(pl_module.draft, batch.part)
        # The progress of the other processes is not known here, but it is about the same.
        self.listener.advanced(len(batch.rows) * trainer.world_size)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Tells the listener what the reader warned of."""
        if self.warnings:
            more = f" ({len(self.warnings) - 1:,} more warnings)" if len(self.warnings) > 1 else ""
            self.listener.say(f"Warning for the {self.warnings[0]}{more}")
            self.warnings = []

    def _write_part(self, draft: Draft, part: int) -> None:
        features: np.ndarray = np.empty((0, 0), self.dtype)
        if self.features:
            features = np.concatenate(self.features)[np.argsort(self.readable)]
        first = min([*self.readable, *self.problems])
        problems = {row - first: problem for row, problem in sorted(self.problems.items())}
        draft.write(part, features, problems, self.num_cut)
        self._start_part()

    def _features(self, outputs: Tensor, split: ItemSplit, rows: Sequence[int]) -> np.ndarray:
        with np.errstate(over="ignore"):  # an overflow is infinite, which is checked below
            features: np.ndarray = outputs.cpu().numpy().astype(self.dtype)
        bad = (~np.isfinite(features).all(1)).nonzero()[0]
        if len(bad):
            raise DataError(
                f"The features of the {split.name(rows[int(bad[0])])} are NaN, "
                f"infinite, or too large for {np.dtype(self.dtype).name}. Try "
                "extraction.dtype=float32, or check the backbone's weights."
            )
        return features

    def _tell(self, batch: Batch) -> None:
        self.warnings += batch.warnings
        if batch.problems and not self.has_told:
            self.has_told = True
            problem = next(iter(batch.problems.values()))
            self.listener.say(f"Cannot read the {problem}. The others are computed first.")


def _read_at_once(part: range, reader: Reader, batch_size: int) -> list[range]:
    """The rows of a part, as they are read."""
    if isinstance(reader, LengthReader):
        return [part]
    return [part[start : start + batch_size] for start in range(0, len(part), batch_size)]
