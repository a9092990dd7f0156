"""Features of images: from the cache, or computed under Lightning and kept there."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import dal
from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import backbone as backbones
from dal.extraction import cache as caches
from dal.extraction.backbone import Backbone, Encoder
from dal.extraction.cache import Draft, Entry, FeatureCache
from dal.extraction.items import Items, ItemSplit
from dal.extraction.progress import Reporter
from dal.extraction.transform import Transform
from dal.runtime import signals, trainers
from dal.runtime.processes import Ranks
from dal.runtime.trainers import DEFAULT_TRAINER, quiet_lightning

DTYPES = {"float16": np.float16, "float32": np.float32}

# Rows that a killed extraction may lose: half a minute of a ViT-S on two CPU cores.
PART_ROWS = 1024
MAX_WORKERS = 8  # processes that decode, for each device


class FeatureExtractor:
    """Features of a frozen network, each computed once.

    Args:
        backbone: The network.
        cache: Where features are kept; the default cache if not given.
        trainer: Makes the Lightning trainer on whose devices the network runs.
        dtype: What is kept, ``"float16"`` or ``"float32"``. Half of the size costs a relative
            error of 5e-4, far below what the network makes of another interpolation.
        batch_size: Images that the network takes at once, on each device.
        num_workers: Processes that decode images, for each device; one less than there are cores,
            at most 8, if not given; 0 decodes in the process that computes.

    Memory: the network, a few batches, and one part of the features.

    Raises:
        ConfigError: If a number is out of range or ``dtype`` unknown.
    """

    def __init__(
        self,
        backbone: Backbone,
        cache: FeatureCache | None = None,
        trainer: Callable[..., L.Trainer] = DEFAULT_TRAINER,
        dtype: str = "float16",
        batch_size: int = 64,
        num_workers: int | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"Unknown `dtype` '{dtype}'. {did_you_mean(dtype, DTYPES)}")
        if batch_size < 1:
            raise ConfigError(f"Expected `batch_size` of at least 1, got {batch_size}.")
        if num_workers is not None and num_workers < 0:
            raise ConfigError(f"Expected `num_workers` of at least 0, got {num_workers}.")
        self.backbone = backbone
        self.cache = cache or FeatureCache()
        self.trainer = trainer
        self.dtype = dtype
        self.batch_size = batch_size
        self.num_workers = _default_workers() if num_workers is None else num_workers
        self.reporter = Reporter()

    def entry(self, source: Items, split: str) -> Entry:
        """The features of a split, with their labels; computed if the cache lacks them.

        Raises:
            DataError: If images or weights cannot be had or read, or the cache is damaged.
        """
        request = {
            "dataset": source.request(split),
            "backbone": self.backbone.request(),
            "dtype": self.dtype,
        }
        writer = PartWriter(self.reporter)
        # Each process knows its own batches: see Embedding.predict_dataloader.
        trainer = trainers.made(self.trainer, callbacks=[writer], use_distributed_sampler=False)
        with Ranks(trainer) as ranks, ExitStack() as held:
            found = None
            if ranks.is_first:
                found = self._find(request, source, split)
                if found is None:
                    name = caches.address(request)
                    held.enter_context(
                        self.cache.lock(name, f"the features of {split}", self.reporter)
                    )
                    found = self._find(request, source, split)  # another may have been faster
            if found is None or ranks.are_running:
                found = ranks.shared(found)
            if found is None:
                found = self._computed(request, source, split, trainer, writer, ranks)
            return found

    def _find(self, request: dict[str, Any], source: Items, split: str) -> Entry | None:
        present = [*self.backbone.local_files(), *source.local_files(split)]
        return self.cache.find(request, present, self.reporter)

    def _computed(
        self,
        request: dict[str, Any],
        source: Items,
        split: str,
        trainer: L.Trainer,
        writer: "PartWriter",
        ranks: Ranks,
    ) -> Entry:
        weights = self.backbone.local_files()
        for files in weights:
            _ = files.stamp  # of what is loaded, not of what may be there when all is done
        encoder = self.backbone.load()
        images = source.open(split)
        if len(images) == 0:
            raise DataError(f"Expected images in {images.where}, found none.")
        description = {
            "format": caches.FORMAT,
            "weights": encoder.content_hash(),
            "output": encoder.output,
            "transform": encoder.transform.description(),
            "images": images.fingerprint,
            "dtype": self.dtype,
        }
        content = caches.address(description)
        with ExitStack() as held:
            entry = None
            if ranks.is_first:
                held.enter_context(
                    self.cache.lock(content, f"the features of {images.where}", self.reporter)
                )
                entry = self.cache.entry(content)  # another request may have led to the same
            entry = ranks.shared(entry)
            if entry is None:
                entry = self._extracted(
                    trainer, writer, ranks, encoder, images, content, description, request
                )
            if ranks.is_first:
                self.cache.remember(request, content, [*weights, *images.local])
        return entry

    def _extracted(
        self,
        trainer: L.Trainer,
        writer: "PartWriter",
        ranks: Ranks,
        encoder: Encoder,
        images: ItemSplit,
        content: str,
        description: dict[str, Any],
        request: dict[str, Any],
    ) -> Entry:
        device = trainer.strategy.root_device
        settings = {
            "precision": backbones.precision(device),
            "device": device.type,
            "batch_size": self.batch_size,
        }
        sizes = [min(PART_ROWS, len(images) - start) for start in range(0, len(images), PART_ROWS)]
        draft = self.cache.draft(content, settings, sizes)
        if ranks.is_first:
            draft.open()
        module = Embedding(encoder, images, draft, self.batch_size, self.num_workers)
        writer.begin(draft, DTYPES[self.dtype], images)
        started = time.perf_counter()
        with quiet_lightning(), trainers.interruptible():
            trainer.predict(module, return_predictions=False)
        ranks.wait()
        seconds = time.perf_counter() - started
        entry = None
        if ranks.is_first:
            manifest = {
                "content": description,
                "class_names": images.class_names,
                "provenance": {
                    "request": request,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "seconds": round(seconds, 1),
                    "images_computed": writer.num_done,
                    **settings,
                    "devices": ranks.num,
                    "versions": _versions(),
                },
            }
            entry = self.cache.assemble(draft, content, images.labels, images.ids, manifest)
            self.reporter.ended()
        entry = ranks.shared(entry)
        assert entry is not None
        return entry


class Batch(NamedTuple):
    """Images that the network takes at once.

    Attributes:
        pixels: ``(N, 3, H, W)``, uint8.
        problem: Why they could not be read; empty if they could.
    """

    pixels: Tensor
    problem: str


class PlannedBatches(Dataset[Batch]):
    """Batches of decoded images, one for each entry of a plan.

    Args:
        split: The images.
        transform: What becomes of each.
        plan: Rows of each batch.
    """

    def __init__(self, split: ItemSplit, transform: Transform, plan: Sequence[range]) -> None:
        self.split = split
        self.transform = transform
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Batch:
        rows = self.plan[number]
        crop = self.transform.crop
        pixels = np.empty((len(rows), 3, crop, crop), np.uint8)
        encoded = self.split.items[rows.start : rows.stop]["image"]
        for row, item, out in zip(rows, encoded, pixels, strict=True):
            try:
                out[:] = self.transform.pixels(_decoded(item))
            except Exception as error:  # decoders raise what they like
                # Told and not raised: raised in a worker it would come wrapped in a traceback.
                problem = (
                    f"Cannot read the image {self.split.name(row)}: {str(error) or repr(error)}."
                )
                return Batch(torch.empty(0), problem)
        return Batch(torch.from_numpy(pixels), "")


class Embedding(L.LightningModule):
    """Computes the missing parts of a draft, each process its share of them.

    Args:
        encoder: The network.
        split: The images.
        draft: Which parts there are.
        batch_size: Images in a batch; no batch reaches over the end of a part, so that a part is
            the same whichever process computes it.
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
        starts = np.cumsum([0, *self.draft.sizes])
        missing = self.draft.missing()
        self.num_finished = len(self.split) - sum(self.draft.sizes[part] for part in missing)
        num_processes = self.trainer.world_size
        mine = [part for part in missing if part % num_processes == self.trainer.global_rank]
        self.plan = [
            (part, range(start, min(start + self.batch_size, int(starts[part + 1]))))
            for part in mine
            for start in range(int(starts[part]), int(starts[part + 1]), self.batch_size)
        ]
        return DataLoader(
            PlannedBatches(self.split, self.encoder.transform, [rows for _, rows in self.plan]),
            batch_size=None,
            num_workers=min(self.num_workers, len(self.plan)),
            pin_memory=self.device.type == "cuda",
        )

    def predict_step(self, batch: Batch, _: int) -> Tensor:
        """Features ``(N, D)``, float32.

        Raises:
            DataError: If an image could not be read.
        """
        if batch.problem:
            raise DataError(
                f"{batch.problem} Replace or remove it and run the same command again; what was "
                "computed before is kept as long as the other images stay as they are."
            )
        features: Tensor = self.encoder(batch.pixels)
        return features


class PartWriter(L.Callback):
    """Writes each part of the features as soon as it is there.

    Args:
        reporter: Is told how far it is.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.num_done = 0

    def begin(self, draft: Draft, dtype: Any, split: ItemSplit) -> None:
        """Says where the next features belong.

        Args:
            draft: The parts.
            dtype: NumPy's type of what is kept.
            split: The images.
        """
        self.draft = draft
        self.dtype = dtype
        self.split = split
        self.num_done = 0
        self.rows: list[np.ndarray] = []

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Tells how much there is to do."""
        assert isinstance(pl_module, Embedding)
        self.reporter.started(
            f"features of {self.split.where}", len(self.split), pl_module.num_finished
        )

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Collects a batch, and writes its part if it is the last one of it.

        Raises:
            DataError: If a feature is NaN or too large for the type, or cannot be written.
        """
        assert isinstance(pl_module, Embedding)
        signals.check()  # what a handler raised may have been lost on its way
        part, rows = pl_module.plan[batch_idx]
        with np.errstate(over="ignore"):  # found out below
            features = outputs.cpu().numpy().astype(self.dtype)
        bad = (~np.isfinite(features).all(1)).nonzero()[0]
        if len(bad):
            raise DataError(
                f"The features of the image {self.split.name(rows.start + int(bad[0]))} are NaN, "
                f"infinite, or too large for {np.dtype(self.dtype).name}. Try "
                "extraction.dtype=float32, or check the backbone's weights."
            )
        self.rows.append(features)
        if sum(map(len, self.rows)) == self.draft.sizes[part]:
            self.draft.write(part, np.concatenate(self.rows))
            self.rows = []
        self.num_done += len(features)
        # Of the other ranks' progress nothing is known here but that it is about the same.
        self.reporter.advanced(len(features) * trainer.world_size)


def _decoded(item: dict[str, Any]) -> Any:
    """A PIL image from what ``Image(decode=False)`` holds, upright as a camera noted it."""
    from datasets import Image

    if not item or (item.get("bytes") is None and item.get("path") is None):
        raise DataError("there is none in this row")
    return Image().decode_example(item)


def _default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MAX_WORKERS, (cores or 1) - 1))


def _versions() -> dict[str, str]:
    import PIL
    import transformers

    return {
        "dal": dal.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "pillow": PIL.__version__,
    }
