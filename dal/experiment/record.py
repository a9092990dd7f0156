"""The run directory: the files of one run, written while it runs, from which it resumes.

Files, each replaced atomically:

* ``config.yaml``: the resolved configuration. A directory belongs to one configuration.
* ``acquisitions.csv``: ``cycle, order, index, id, label`` of every labeled example: its row in the
  train split, its name, and its class. Cycle 0 is the initial pool; cycle c holds what was selected
  at the end of cycle c - 1. Earlier versions wrote the first three columns only.
* ``curve.csv``: one row for each cycle. A cycle is finished when its row is there; what it selected
  is in ``acquisitions.csv`` by then.
* ``diagnostics.jsonl``: one JSON object for each cycle that selects: ``cycle``; ``scores``, what
  each example was selected by; ``derived``, what the strategy computed for itself.
* ``curve.png``: the learning curve, drawn when the run is complete.
* ``summary.json``: the provenance of the run and, when it is complete, its results.
* ``tracking.json``: the id of the run in an experiment tracker.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from omegaconf import OmegaConf
from torch import Tensor

from dal.errors import RecordError
from dal.experiment import identity
from dal.experiment.curve import CycleResult, Diagnostics
from dal.experiment.identity import IGNORED_ON_RESUME
from dal.experiment.replacement import Replacement
from dal.runtime import files, locks

CONFIG, CURVE, ACQUISITIONS = "config.yaml", "curve.csv", "acquisitions.csv"
DIAGNOSTICS, PLOT = "diagnostics.jsonl", "curve.png"
SUMMARY, TRACKING = "summary.json", "tracking.json"
FILES = (CONFIG, CURVE, ACQUISITIONS, DIAGNOSTICS, PLOT, SUMMARY, TRACKING)
LOCK = ".lock"
ACQUISITION_COLUMNS = ["cycle", "order", "index"]
DESCRIPTION_COLUMNS = ["id", "label"]
MEASURED_COLUMNS = ["fit_seconds", "query_seconds", "peak_memory_mib"]

MAX_DIFFERENCES = 10  # named in a message


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        results: The finished cycles.
        acquired: Dataset indices by cycle, the initial pool first; one entry more than ``results``
            unless the run is complete, or has only just begun.
        diagnostics: What the strategy knew of each selection; none where an earlier version, which
            did not keep them, has written the run.
    """

    results: list[CycleResult]
    acquired: list[Tensor]
    diagnostics: list[Diagnostics]


class RunDirectory:
    """The files of one run. Use it as a context manager: it is locked while it is open.

    Args:
        path: The directory, which is created if it is missing, and removed again if nothing but
            the configuration is in it in the end.
        config: The resolved configuration: plain mappings, lists and scalars.
        overwrite: Whether to start from scratch, rather than resume, if there is a run already. The
            old run stays until the new one has finished its first cycle.
        ignored_keys: Dotted keys of ``config`` that may differ when the run is resumed, with all
            keys below them, since no result depends on them.
    """

    def __init__(
        self,
        path: str | Path,
        config: Mapping[str, Any],
        overwrite: bool = False,
        ignored_keys: Sequence[str] = IGNORED_ON_RESUME,
    ) -> None:
        self.path = Path(path).expanduser()
        self.config = config
        self.overwrite = overwrite
        self.ignored_keys = ignored_keys
        self._held = ExitStack()
        self._place = Replacement(self.path, FILES)

    def __enter__(self) -> "RunDirectory":
        """Creates, locks and checks the directory.

        Raises:
            RecordError: If it cannot be written to, another process is working in it, or it
                belongs to another configuration.
        """
        with ExitStack() as held:
            try:
                held.callback(files.remove_empty, files.make_folders(self.path))
                held.enter_context(locks.hold(self.path / LOCK, "runs there", self._refuse))
                self._place.recover()
                if self.overwrite and self._place.existing():
                    self._place.begin()
                    held.callback(self._place.abandon)
            except OSError as error:
                raise RecordError(
                    f"Cannot use {self.path} as a run directory: {error.strerror or error}. Choose "
                    "another one with output_root=DIR."
                ) from error
            self._claim()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:
            names = {file.name for file in self.path.iterdir()} if self.path.is_dir() else set()
            if names <= {CONFIG, LOCK}:  # it has failed before it began
                for name in names:
                    (self.path / name).unlink()

    def read_config(self) -> dict[str, Any]:
        """The configuration that is stored here; the directory need not be open.

        Raises:
            RecordError: If it cannot be read or is empty.
        """
        file = self._place.file(CONFIG)
        try:
            # Not OmegaConf's own loader, which takes ten times as long: there may be thousands.
            with file.open(encoding="utf-8") as stream:
                stored = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecordError(f"{file} cannot be read ({error}). {self._repair()}") from error
        if not isinstance(stored, dict) or not stored:
            raise RecordError(f"{file} holds no configuration. {self._repair()}")
        return {str(key): value for key, value in stored.items()}

    def progress(self) -> Progress:
        """What is there already; the directory need not be open.

        Raises:
            RecordError: If a file is damaged; nothing is changed then.
        """
        results = self._read_curve()
        acquired = self._read_acquisitions()
        if not len(results) <= len(acquired) <= len(results) + 2:
            raise RecordError(
                f"{self.path / CURVE} holds {len(results)} cycles, but {ACQUISITIONS} labels for "
                f"{len(acquired)}: one of them is cut short. {self._repair()}"
            )
        num_labeled = 0
        for result, indices in zip(results, acquired, strict=False):
            num_labeled += len(indices)
            if result.num_labeled != num_labeled:
                raise RecordError(
                    f"{self.path / CURVE} counts {result.num_labeled} labels in cycle "
                    f"{result.cycle}, but {ACQUISITIONS} {num_labeled}. {self._repair()}"
                )
        return Progress(results, acquired, self._read_diagnostics())

    def write_acquisitions(
        self,
        acquired: Sequence[Tensor],
        describe: Callable[[Tensor], Sequence[tuple[str, str]]],
    ) -> None:
        """Records what was labeled.

        Args:
            acquired: Dataset indices by cycle, the initial pool first.
            describe: Gives id and label of some indices.
        """
        rows = [
            [cycle, order, index, *described]
            for cycle, indices in enumerate(acquired)
            for order, (index, described) in enumerate(
                zip(indices.tolist(), describe(indices), strict=True)
            )
        ]
        columns = [*ACQUISITION_COLUMNS, *DESCRIPTION_COLUMNS]
        self._write(ACQUISITIONS, _csv_text(columns, rows))

    def write_diagnostics(self, diagnostics: Sequence[Diagnostics]) -> None:
        """Records what the strategy knew of each selection."""
        lines = [json.dumps(asdict(those)) + "\n" for those in diagnostics]
        self._write(DIAGNOSTICS, "".join(lines))

    def write_curve(self, results: Sequence[CycleResult]) -> None:
        """Records the finished cycles."""
        metrics = list(results[0].metrics)
        rows = [
            [
                result.cycle,
                result.num_labeled,
                *(result.metrics[name] for name in metrics),
                result.fit_seconds,
                "" if result.query_seconds is None else result.query_seconds,
                result.peak_memory_mib,
            ]
            for result in results
        ]
        self._write(CURVE, _csv_text(["cycle", "num_labeled", *metrics, *MEASURED_COLUMNS], rows))
        self._writing(self.path, self._place.complete)

    def read_summary(self) -> dict[str, Any]:
        """The summary so far; empty if there is none.

        Raises:
            RecordError: If it is damaged.
        """
        return self._read_json(SUMMARY)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Records the provenance of the run and, at its end, its results."""
        self._write(SUMMARY, json.dumps(summary, indent=2) + "\n")

    def read_tracking(self) -> dict[str, Any]:
        """What a tracker has stored here to find the run again; empty if nothing.

        Raises:
            RecordError: If it is damaged.
        """
        return self._read_json(TRACKING)

    def write_tracking(self, tracking: Mapping[str, Any]) -> None:
        """Stores what a tracker needs to find the run again."""
        self._write(TRACKING, json.dumps(tracking) + "\n")

    def write_plot(self, png: bytes) -> None:
        """Records the learning curve as a picture."""
        self._write(PLOT, png)

    def _refuse(self, holder: str) -> None:
        raise RecordError(
            f"Another process is working on the run in {self.path}: {holder}. Wait for it, or "
            "choose another seed, name or output_root."
        )

    def _claim(self) -> None:
        existing = self._place.existing()
        if CONFIG not in existing:
            if existing:
                raise RecordError(
                    f"{self.path} holds {', '.join(existing)} but no {CONFIG} that says of which "
                    "run. Restore it, move the files away, or start from scratch with "
                    "overwrite=true."
                )
            self._write_config()
            return
        stored = self.read_config()
        differences = identity.differences(stored, self.config, self.ignored_keys)
        if differences and CURVE not in existing:
            # It failed before it finished a cycle, for example because of its data or of a wrong
            # value: nothing is lost. The configuration last, so that the files have an owner.
            for name in existing:
                if name != CONFIG:
                    self._place.file(name).unlink()
            self._write_config()
        elif differences:
            shown = "\n".join(f"  {line}" for line in differences[:MAX_DIFFERENCES])
            more = len(differences) - MAX_DIFFERENCES
            raise RecordError(
                f"{self.path} holds a run of another configuration (there → here):\n{shown}"
                + (f"\n  and {more} more" if more > 0 else "")
                + "\nChoose another name=..., or start from scratch with overwrite=true."
            )

    def _write_config(self) -> None:
        self._write(CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(self.config))))

    def _read_curve(self) -> list[CycleResult]:
        file = self._place.file(CURVE)
        if not file.exists():
            return []
        header, rows = self._read_csv(file)
        metrics = header[2 : -len(MEASURED_COLUMNS)]
        if header != ["cycle", "num_labeled", *metrics, *MEASURED_COLUMNS]:
            raise RecordError(f"{file} has unexpected columns {header}. {self._repair()}")
        results = []
        for number, row in enumerate(rows):
            try:
                fit_seconds, query_seconds, peak_memory = row[-len(MEASURED_COLUMNS) :]
                result = CycleResult(
                    cycle=int(row[0]),
                    num_labeled=int(row[1]),
                    metrics=dict(
                        zip(
                            metrics,
                            map(float, row[2 : -len(MEASURED_COLUMNS)]),
                            strict=True,
                        )
                    ),
                    fit_seconds=float(fit_seconds),
                    query_seconds=float(query_seconds) if query_seconds else None,
                    peak_memory_mib=float(peak_memory),
                )
            except ValueError as error:
                raise RecordError(
                    f"{file}, line {number + 2}, is damaged ({error}). {self._repair()}"
                ) from error
            if result.cycle != number:
                raise RecordError(
                    f"{file}, line {number + 2}: expected cycle {number}, got cycle "
                    f"{result.cycle}. {self._repair()}"
                )
            results.append(result)
        return results

    def _read_acquisitions(self) -> list[Tensor]:
        file = self._place.file(ACQUISITIONS)
        if not file.exists():
            return []
        header, rows = self._read_csv(file)
        if header not in (ACQUISITION_COLUMNS, [*ACQUISITION_COLUMNS, *DESCRIPTION_COLUMNS]):
            raise RecordError(f"{file} has unexpected columns {header}. {self._repair()}")
        by_cycle: list[list[int]] = []
        for number, row in enumerate(rows):
            try:
                cycle, order, index = map(int, row[: len(ACQUISITION_COLUMNS)])
            except ValueError as error:
                raise RecordError(
                    f"{file}, line {number + 2}, is damaged ({error}). {self._repair()}"
                ) from error
            if cycle == len(by_cycle):
                by_cycle.append([])
            if cycle != len(by_cycle) - 1 or order != len(by_cycle[cycle]):
                raise RecordError(f"{file}, line {number + 2}, is out of order. {self._repair()}")
            by_cycle[cycle].append(index)
        return [torch.tensor(indices) for indices in by_cycle]

    def _read_diagnostics(self) -> list[Diagnostics]:
        file = self._place.file(DIAGNOSTICS)
        if not file.exists():
            return []
        diagnostics = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
            try:
                those = Diagnostics(**json.loads(line))
            except (TypeError, ValueError) as error:
                raise RecordError(
                    f"{file}, line {number + 1}, is damaged ({error}). {self._repair()}"
                ) from error
            diagnostics.append(those)
        return diagnostics

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self._place.file(name)
        if not file.exists():
            return {}
        try:
            return dict(json.loads(file.read_text()))
        except (TypeError, ValueError) as error:
            raise RecordError(f"{file} is damaged ({error}). {self._repair()}") from error

    def _read_csv(self, file: Path) -> tuple[list[str], list[list[str]]]:
        text = file.read_text(encoding="utf-8", errors="replace")
        if not text.endswith("\n"):
            last = text.count("\n") + 1
            raise RecordError(f"{file} is cut short in line {last}. {self._repair()}")
        header, *rows = csv.reader(io.StringIO(text))
        return header, rows

    def _repair(self) -> str:
        return "Restore the file, or start from scratch with overwrite=true."

    def _write(self, name: str, content: str | bytes) -> None:
        file = self._place.file(name)
        self._writing(file, lambda: files.write_atomically(file, content))

    def _writing(self, target: Path, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise RecordError(
                f"Cannot write {target}: {error.strerror or error}. What was there before is "
                "unchanged. Free space or permit writing, and run the same command again: it "
                "resumes. Or choose another output_root."
            ) from error


def _csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
