"""Features of items: found in the cache, or computed under Lightning and kept there."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np

from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import encoder
from dal.extraction.cache import FeatureCache
from dal.extraction.draft import Draft
from dal.extraction.encoder import Encoder, Network
from dal.extraction.entry import FORMAT, Entry
from dal.extraction.inference import Embedding, PartWriter
from dal.extraction.items import Items, ItemSplit
from dal.extraction.progress import ExtractionListener
from dal.runtime import trainers, versions
from dal.runtime.files import LocalFiles
from dal.runtime.processes import Processes
from dal.runtime.trainers import DEFAULT_TRAINER, quiet_lightning

DTYPES = {"float16": np.float16, "float32": np.float32}

# Rows that a killed extraction may lose: half a minute of a ViT-S on two CPU cores.
PART_ROWS = 1024
MAX_WORKERS = 8  # processes that decode, for each device


@dataclass(frozen=True)
class Job:
    """The features of one split: what was asked for, and what it turned out to be.

    Attributes:
        request: What was asked for, by name.
        encoder: The network.
        split: The items.
        dtype: The type of what is kept, a key of ``DTYPES``.
        local_files: The user's own files that the network and the items were read from.
    """

    request: dict[str, Any]
    encoder: Encoder
    split: ItemSplit
    dtype: str
    local_files: list[LocalFiles]

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the features depend on, in plain values."""
        return {
            "format": FORMAT,
            **self.encoder.description(),
            self.split.nouns: self.split.fingerprint,
            "dtype": self.dtype,
        }

    @cached_property
    def content(self) -> str:
        """The address of the features in the cache."""
        return FeatureCache.address(self.description)

    @property
    def part_sizes(self) -> list[int]:
        """Rows of each part in which the features are computed."""
        num = len(self.split)
        return [min(PART_ROWS, num - start) for start in range(0, num, PART_ROWS)]


class FeatureExtractor:
    """Features of a frozen network, each computed once.

    Args:
        backbone: The network.
        cache: Where features are kept; the default cache if not given.
        trainer: Makes the Lightning trainer on whose devices the network runs.
        dtype: What is kept, ``"float16"`` or ``"float32"``. float16 halves the size at the price of
            a relative error of 5e-4, far less than another interpolation of the images changes.
        batch_size: Items that the network takes at once, on each device.
        num_workers: Processes that decode items, for each device. If not given, one less than there
            are cores, at most 8. With 0, the process that computes also decodes.

    Attributes:
        listener: Is told how far an extraction is; a command puts its own here.

    Memory: the network, a few batches, and one part of the features.

    Raises:
        ConfigError: If a number is out of range or ``dtype`` unknown.
    """

    def __init__(
        self,
        backbone: Network,
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
        self.listener = ExtractionListener()

    def entry(self, items: Items, split: str) -> Entry:
        """The features of a split, with their labels; computed if they are not in the cache.

        Args:
            items: Where the split is.
            split: Its name, one of the values of ``items.splits``.

        Raises:
            DataError: If items or weights cannot be found or read, or the cache is damaged.
        """
        request = {
            "dataset": items.request(split),
            "backbone": self.backbone.request(),
            "dtype": self.dtype,
        }
        writer = PartWriter(DTYPES[self.dtype], self.listener)
        # Without Lightning's sampler: each process knows its own batches, see Embedding.
        trainer = trainers.build(self.trainer, callbacks=[writer], use_distributed_sampler=False)
        with Processes(trainer) as processes, ExitStack() as held:
            entry = None
            if processes.is_first:
                entry = self._find(request, items, split)
                if entry is None:
                    self._lock(held, self.cache.address(request), split)
                    entry = self._find(request, items, split)  # another process may have been first
            if entry is None or processes.all_started:
                entry = processes.shared(entry)
            if entry is None:
                job = self._job(request, items, split)
                if processes.is_first:
                    self._lock(held, job.content, job.split.where)
                    entry = self.cache.entry(job.content)  # another request may have led to it
                entry = processes.shared(entry)
                if entry is None:
                    entry = self._compute(job, trainer, processes)
                if processes.is_first:
                    self.cache.remember(request, job.content, job.local_files)
            return entry

    def _find(self, request: dict[str, Any], items: Items, split: str) -> Entry | None:
        local_files = [*self.backbone.local_files(), *items.local_files(split)]
        return self.cache.find(request, local_files, self.listener)

    def _lock(self, held: ExitStack, name: str, where: str) -> None:
        held.enter_context(self.cache.lock(name, f"the features of {where}", self.listener))

    def _job(self, request: dict[str, Any], items: Items, split: str) -> Job:
        weights = self.backbone.local_files()
        for local in weights:
            _ = local.stamp  # now: files that change after the network was loaded are noticed later
        network = self.backbone.load()
        opened = items.open(split)
        if len(opened) == 0:
            raise DataError(f"Expected {opened.nouns} in {opened.where}, found none.")
        return Job(request, network, opened, self.dtype, [*weights, *opened.local])

    def _compute(self, job: Job, trainer: L.Trainer, processes: Processes) -> Entry:
        device = trainer.strategy.root_device
        settings = {
            "precision": encoder.precision(device),
            "device": device.type,
            "batch_size": self.batch_size,
        }
        draft = self.cache.draft(job.content, settings, job.part_sizes)
        if processes.is_first:
            draft.open()
        module = Embedding(job.encoder, job.split, draft, self.batch_size, self.num_workers)
        began = time.perf_counter()
        with quiet_lightning(), trainers.interruptible():
            trainer.predict(module, return_predictions=False)
        processes.wait()
        entry = None
        if processes.is_first:
            provenance = {
                "seconds": round(time.perf_counter() - began, 1),
                "items_computed": sum(len(rows) for _, rows in module.plan),
                "devices": processes.num,
                **settings,
            }
            entry = self._assemble(job, draft, provenance)
            self.listener.ended()
        entry = processes.shared(entry)
        assert entry is not None
        return entry

    def _assemble(self, job: Job, draft: Draft, provenance: dict[str, Any]) -> Entry:
        manifest = {
            "content": job.description,
            "class_names": job.split.class_names,
            "provenance": {
                "request": job.request,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                **provenance,
                "versions": versions.installed("dal", "torch", "transformers", "PIL"),
            },
        }
        return draft.assemble(job.split.labels, job.split.ids, manifest)


def _default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MAX_WORKERS, (cores or 1) - 1))
