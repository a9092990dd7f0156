"""Features of items: found in the cache, or computed under Lightning and kept there."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np
import torch

from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import draft, encoder
from dal.extraction.cache import FeatureCache
from dal.extraction.draft import BrokenItem, Draft, Part
from dal.extraction.encoder import Encoder, LengthReader, Network
from dal.extraction.entry import FORMAT, Entry
from dal.extraction.inference import Embedding, PartWriter
from dal.extraction.items import Items, ItemSplit, Labeling
from dal.extraction.look import Look
from dal.extraction.progress import ExtractionListener
from dal.runtime import trainers, versions
from dal.runtime.processes import Processes
from dal.runtime.trainers import DEFAULT_TRAINER, quiet_lightning

DTYPES = {"float16": np.float16, "float32": np.float32}

# Rows that a killed extraction may lose: a quarter of a minute of a ViT-S on two CPU cores.
PART_ROWS = 512
SORTED_PART_ROWS = 2048  # of items that are sorted by length, such as texts: it takes many of them
EXAMPLES = {"image": "backbone=dinov2_vits14", "text": "backbone=minilm"}  # by what they read
MAX_SHOWN_PROBLEMS = 10
MAX_WORKERS = 8  # processes that decode, for each device


@dataclass(frozen=True)
class Job:
    """The features of one split: what was asked for, and what it turned out to be.

    Attributes:
        request: What was asked for, by name.
        encoder: The network.
        split: The items.
        dtype: The type of what is kept, a key of ``DTYPES``.
        skip_broken: Whether items that cannot be read are left out.
    """

    request: dict[str, Any]
    encoder: Encoder
    split: ItemSplit
    dtype: str
    skip_broken: bool

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the features and labels depend on, in plain values."""
        items = dict(self.split.fingerprint)
        if self.split.identity:
            items["digests"] = [part.digest for part in self.split.identity]
        return {
            "format": FORMAT,
            **self.encoder.description(),
            self.split.nouns: items,
            "dtype": self.dtype,
            **({"skip_broken": True} if self.skip_broken else {}),
        }

    @cached_property
    def content(self) -> str:
        """The address of the features in the cache."""
        return FeatureCache.address(self.description)

    def parts(self) -> list[Part]:
        """The parts in which the features are computed, by the content of the items if possible."""
        is_sorted = isinstance(self.encoder.reader, LengthReader)
        num_rows = SORTED_PART_ROWS if is_sorted else PART_ROWS
        if self.split.contents is None:
            return draft.split_evenly(len(self.split), num_rows, self.content)
        return draft.split_by_content(self.split.contents.contents, num_rows)


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
        skip_broken: Whether items that cannot be read are left out, and listed in the manifest. If
            not, they are an error, after the others have been computed.

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
        skip_broken: bool = False,
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"Unknown `dtype` '{dtype}'. {did_you_mean(dtype, DTYPES)}")
        _check_count("batch_size", batch_size, 1)
        if num_workers is not None:
            _check_count("num_workers", num_workers, 0)
        self.backbone = backbone
        self.cache = cache or FeatureCache()
        self.trainer = trainer
        self.dtype = dtype
        self.batch_size = batch_size
        self.num_workers = _default_workers() if num_workers is None else num_workers
        self.skip_broken = skip_broken
        self.listener = ExtractionListener()

    def entries(
        self,
        items: Items,
        splits: Mapping[str, str],
        optional: Collection[str] = (),
        labeled: Collection[str] = (),
        check: Callable[[Mapping[str, Labeling]], None] | None = None,
    ) -> dict[str, Entry]:
        """The features of some splits, with their labels; computed if they are not in the cache.

        Everything is looked at before anything is computed: the weights, and the items and labels
        of all splits.

        Args:
            items: Where the splits are.
            splits: Their names, by what they are for, for example ``"test"``.
            optional: What may be absent if it has its default name; it is left out then.
            labeled: What must have labels.
            check: Is called with the labels of all splits before anything is computed; what it
                raises is an error then.

        Raises:
            ConfigError: If the network reads items of another kind.
            DataError: If items or weights cannot be found or read, or the cache is damaged.
        """
        if items.noun != self.backbone.noun:
            raise ConfigError(
                f"Expected a backbone that reads {items.noun}s, as the data are, got one that "
                f"reads {self.backbone.noun}s. Choose for example {EXAMPLES.get(items.noun)}."
            )
        writer = PartWriter(DTYPES[self.dtype], self.listener)
        # Without Lightning's sampler: each process knows its own batches, see Embedding.
        trainer = trainers.build(self.trainer, callbacks=[writer], use_distributed_sampler=False)
        with Processes(trainer) as processes:
            look = Look(self, items, splits, optional, labeled, check)
            found = look.found() if processes.is_first else None
            if found is None or None in found.values() or processes.all_started:
                found = processes.shared(found)
            assert found is not None
            entries = {}
            for key, known in found.items():
                entries[key] = known or self._computed(look, splits[key], trainer, processes)
            return entries

    def entry(self, items: Items, split: str) -> Entry:
        """The features of one split: see :meth:`entries`."""
        return self.entries(items, {split: split})[split]

    def request(self, items: Items, split: str) -> dict[str, Any]:
        """What identifies features to the user, in plain values."""
        return {
            "backbone": self.backbone.request(),
            "items": items.request(split),
            "dtype": self.dtype,
        }

    def find(self, items: Items, split: str) -> Entry | None:
        """The features of a split, if they are in the cache and nothing has changed since."""
        local_files = [*self.backbone.local_files(), *items.local_files(split)]
        return self.cache.find(self._full_request(items, split), local_files, self.listener)

    def _full_request(self, items: Items, split: str) -> dict[str, Any]:
        request = self.request(items, split)
        return request | {"skip_broken": True} if self.skip_broken else request

    def _computed(self, look: Look, split: str, trainer: L.Trainer, processes: Processes) -> Entry:
        with ExitStack() as held:
            entry = None
            request, plain = self._full_request(look.items, split), self.request(look.items, split)
            if processes.is_first:
                self._lock(held, self.cache.address(plain), split)
                entry = self.find(look.items, split)  # another process may have been first
            entry = processes.shared(entry)
            if entry is not None:
                return entry
            job = Job(request, look.encoder, look.opened(split), self.dtype, self.skip_broken)
            plan: tuple[Entry | None, str, list[Part]] = (None, "", [])
            if processes.is_first:
                look.read(split)
                self._lock(held, job.content, job.split.where)
                entry = self.cache.entry(job.content)  # another request may have led to it
                plan = entry, job.content, job.parts()
            entry, content, parts = processes.shared(plan)
            if entry is None:
                settings = self._settings(job, trainer.strategy.root_device)
                folder, target = self.cache.draft_folder(plain), self.cache.folder(content)
                earlier = None
                if processes.is_first:
                    if self.cache.earlier(request) is not None:
                        self.listener.say(
                            f"What {job.split.where} was made from has changed since its features "
                            "were computed."
                        )
                    earlier = self.cache.related(settings, {part.key for part in parts})
                unfinished = Draft(folder, target, settings, parts, earlier, self.skip_broken)
                entry = self._compute(job, unfinished, trainer, processes)
            if processes.is_first:
                self.cache.remember(request, content, look.local_files(split), job.split.named)
            return entry

    def _lock(self, held: ExitStack, name: str, where: str) -> None:
        held.enter_context(self.cache.lock(name, f"the features of {where}", self.listener))

    def _settings(self, job: Job, device: torch.device) -> dict[str, Any]:
        """Everything that the bits of an item's features depend on, beside the item."""
        return {
            "network": job.encoder.description(),
            "dtype": self.dtype,
            "precision": encoder.precision(device),
            "device": device.type,
            "batch_size": self.batch_size,
        }

    def _compute(
        self, job: Job, unfinished: Draft, trainer: L.Trainer, processes: Processes
    ) -> Entry:
        if processes.is_first:
            unfinished.open()
        is_complete = processes.shared(processes.is_first and not unfinished.missing())
        module = Embedding(job.encoder, job.split, unfinished, self.batch_size, self.num_workers)
        began = time.perf_counter()
        if not is_complete:
            with quiet_lightning(), trainers.interruptible():
                trainer.predict(module, return_predictions=False)
            processes.wait()
        entry = None
        if processes.is_first:
            provenance = {
                "seconds": round(time.perf_counter() - began, 1),
                "items_computed": sum(len(rows) for _, rows in module.plan),
                "devices": processes.num,
            }
            if not is_complete:
                self.listener.ended()
            entry = self._assemble(job, unfinished, provenance)
        entry = processes.shared(entry)
        assert entry is not None
        return entry

    def _assemble(self, job: Job, unfinished: Draft, provenance: dict[str, Any]) -> Entry:
        split = job.split
        broken = unfinished.broken()
        if broken and (len(broken) == len(split) or not self.skip_broken):
            if split.contents is not None:
                unfinished.keep_readable(split.contents.contents)
            raise DataError(_broken_message(split, broken))
        kept = np.delete(np.arange(len(split)), [item.row for item in broken])
        summary = split.summary
        if broken:
            listed = _listed([problem for _, problem in broken])
            note = f"{len(broken):,} left out, which cannot be read: {listed}"
            self.listener.say(f"{split.where}: {note}.")
            summary += f"; {note}"
        num_cut = unfinished.num_cut()
        if isinstance(job.encoder.reader, LengthReader) and num_cut:
            note = f"longer than {job.encoder.reader.limit} and"
            are, were = ("is", "was") if num_cut == 1 else ("are", "were")
            of_all = f"{num_cut:,} of {len(split):,} {split.nouns}"
            self.listener.say(f"{split.where}: {of_all} {are} {note} {were} cut.")
            summary += f"; {num_cut:,} {note} cut"
        manifest = {
            "content": job.description,
            "summary": summary,
            "class_names": split.class_names,
            "left_out": [problem for _, problem in broken],
            **({"num_cut": num_cut} if num_cut else {}),
            "provenance": {
                "request": job.request,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                **provenance,
                "versions": versions.installed("dal", "torch", "transformers", "tokenizers", "PIL"),
            },
        }
        labels = None if split.labels is None else split.labels[kept]
        # Rows are counted with those that are left out: they are the user's.
        names = split.ids or ([str(row) for row in range(len(split))] if broken else None)
        ids = None if names is None else [names[row] for row in kept]
        return unfinished.assemble(labels, ids, manifest)


def _broken_message(split: ItemSplit, broken: Sequence[BrokenItem]) -> str:
    problems = [problem for _, problem in broken]
    if len(broken) == len(split):
        return (
            f"None of the {len(split):,} {split.nouns} of {split.where} can be read, for example "
            f"{_listed(problems[:1])}."
        )
    return (
        f"Cannot read {len(broken):,} of the {len(split):,} {split.nouns} of {split.where}: "
        f"{_listed(problems)}. Replace or remove them, or leave them out with "
        "extraction.skip_broken=true, and run the same command again: what was computed for the "
        f"other {split.nouns} is kept."
    )


def _listed(problems: Sequence[str]) -> str:
    more = len(problems) - MAX_SHOWN_PROBLEMS
    shown = "; ".join(problems[:MAX_SHOWN_PROBLEMS])
    return f"{shown}; and {more:,} more" if more > 0 else shown


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ConfigError(f"Expected `{name}` of at least {least}, got {value!r}.")


def _default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MAX_WORKERS, (cores or 1) - 1))
