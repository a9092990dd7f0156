"""The computation of features under Lightning: batches in, parts of a draft out."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dal.errors import DataError
from dal.extraction.draft import Draft
from dal.extraction.encoder import Encoder, Reader
from dal.extraction.items import ItemSplit
from dal.extraction.progress import ExtractionListener
from dal.runtime import signals


class Batch(NamedTuple):
    """Items that the network takes at once.

    Attributes:
        input: What the reader has made of those that could be read; None if none could.
        problems: Why the others could not, by their row in the batch.
        warnings: What the reader warned of, with the item's name.
    """

    input: Any
    problems: dict[int, str]
    warnings: list[str]


class PlannedBatches(Dataset[Batch]):
    """Batches of decoded items, one for each entry of a plan.

    Args:
        split: The items.
        reader: Decodes them.
        plan: Rows of each batch.
    """

    def __init__(self, split: ItemSplit, reader: Reader, plan: Sequence[range]) -> None:
        self.split = split
        self.reader = reader
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Batch:
        rows = self.plan[number]
        arrays = []
        problems: dict[int, str] = {}
        shown: list[str] = []
        for row, item in zip(rows, self.split.items[rows.start : rows.stop], strict=True):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                warnings.simplefilter("ignore", ResourceWarning)
                try:
                    arrays.append(self.reader.read(item))
                except Exception as error:  # a decoder may raise anything
                    # Returned, because what a worker raises arrives wrapped in a traceback.
                    reason = " ".join(str(error).split()) or repr(error)
                    problems[row - rows.start] = f"{self.split.name(row)}: {reason}"
            shown += [f"{self.split.name(row)}: {warning.message}" for warning in caught]
        return Batch(self.reader.collate(arrays) if arrays else None, problems, shown)


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
        self.plan: list[tuple[int, range]] = []
        self.num_finished = 0

    def predict_dataloader(self) -> DataLoader[Batch]:
        """This process's batches."""
        starts = np.cumsum([0, *(part.size for part in self.draft.parts)])
        missing = self.draft.missing()
        self.num_finished = len(self.split) - sum(self.draft.parts[part].size for part in missing)
        num_processes, rank = self.trainer.world_size, self.trainer.global_rank
        self.plan = [
            (part, range(start, min(start + self.batch_size, int(starts[part + 1]))))
            for part in missing
            if part % num_processes == rank
            for start in range(int(starts[part]), int(starts[part + 1]), self.batch_size)
        ]
        return DataLoader(
            PlannedBatches(self.split, self.encoder.reader, [rows for _, rows in self.plan]),
            batch_size=None,
            num_workers=min(self.num_workers, len(self.plan)),
            pin_memory=self.device.type == "cuda",
        )

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
        self.rows: list[np.ndarray] = []
        self.problems: dict[int, str] = {}
        self.num_rows = 0
        self.has_told = False
        self.warnings: list[str] = []

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
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Collects a batch, and writes its part if this was the last batch of it.

        Raises:
            DataError: If a feature is NaN or too large for the type, or cannot be written.
        """
        assert isinstance(pl_module, Embedding)
        signals.check()  # what a signal handler raised may have been lost
        part, rows = pl_module.plan[batch_idx]
        self._tell(batch)
        for row, problem in batch.problems.items():
            self.problems[self.num_rows + row] = problem
        self.num_rows += len(rows)
        if len(outputs):
            readable = [row for row in rows if row - rows.start not in batch.problems]
            self.rows.append(self._features(outputs, pl_module.split, readable))
        if self.num_rows == pl_module.draft.parts[part].size:
            features = np.concatenate(self.rows) if self.rows else np.empty((0, 0), self.dtype)
            pl_module.draft.write(part, features, self.problems)
            self.rows, self.problems, self.num_rows = [], {}, 0
        # The progress of the other processes is not known here, but it is about the same.
        self.listener.advanced(len(rows) * trainer.world_size)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Tells the listener what the reader warned of."""
        if self.warnings:
            more = f" ({len(self.warnings) - 1:,} more warnings)" if len(self.warnings) > 1 else ""
            self.listener.say(f"Warning for the {self.warnings[0]}{more}")
            self.warnings = []

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
