"""Run directories as one data frame, one row per cycle.

Columns:

* ``run``: the directory. ``dataset``, ``strategy``, ``seed``: what it is a run of, from its
  configuration (``name``, ``strategy_name``, ``seed``), never from its path.
* ``cycle``, ``num_labeled``, ``accuracy`` and the other metrics (fractions), ``fit_seconds``,
  ``query_seconds`` (missing in the last cycle), ``peak_memory_mib``: as in ``curve.csv``.
* ``complete``: whether the run has all of its ``num_cycles`` cycles.
* ``repeat``: 0; 1 and more for further runs of the same dataset, strategy and seed.
* ``device``, ``fingerprint`` (of the data) and ``pool`` (a digest of the initial pool); missing
  where the run does not say.

Runs of different settings never share dataset and strategy here: where the settings under one name
differ, ``dataset`` is ``name [key=value]``, and where only the strategy's own arguments do,
``strategy`` is ``strategy_name [key=value]``.
"""

import os
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dal.errors import RecordError, ReportError
from dal.experiment import identity
from dal.experiment.identity import IGNORED_ON_RESUME, NOT_SET
from dal.experiment.record import (
    ACQUISITIONS,
    CONFIG,
    CURVE,
    SUMMARY,
    Progress,
    RunDirectory,
)

IDENTITY = ("name", "strategy_name", "seed")
# Where a run ran, and where its data were, change its times and not what it is a run of: the device
# is a column of its own, and a fingerprint says whether the data are the same.
PLACE_KEYS = ("data.path", "trainer.accelerator", "trainer.devices")
FINGERPRINT = "data.fingerprint"

MAX_LABEL = 60  # characters in brackets; longer ones become numbers


class Reading(NamedTuple):
    """What was found.

    Attributes:
        frame: One row per cycle, as above.
        configurations: One row per run, indexed by ``run``: ``dataset``, ``strategy``, ``seed``,
            and the dotted keys of the configurations that are not the same in every run.
        problems: What was left out or is shown separately, in one or two sentences each.
    """

    frame: pd.DataFrame
    configurations: pd.DataFrame
    problems: list[str]


@dataclass
class Run:
    """What one run directory holds."""

    path: str
    config: dict[str, Any]
    progress: Progress
    summary: dict[str, Any]
    dataset: str = field(init=False)
    strategy: str = field(init=False)
    repeat: int = 0

    def __post_init__(self) -> None:
        self.dataset = str(self.config["name"])
        self.strategy = str(self.config["strategy_name"])

    @property
    def seed(self) -> int:
        """The seed, which the runs of a pair share."""
        return int(self.config["seed"])

    @property
    def num_cycles(self) -> int | None:
        """Cycles of the whole run, if that is known."""
        if "al.num_acq" in self.config:
            return int(self.config["al.num_acq"]) + 1
        return len(self.progress.results) if self.summary.get("finished") else None

    @property
    def is_complete(self) -> bool:
        """Whether it has all of its cycles."""
        return len(self.progress.results) == self.num_cycles

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of its data, if it is known."""
        data = self.summary.get("data")
        return data.get("fingerprint") if isinstance(data, Mapping) else None

    @cached_property
    def pool(self) -> str | None:
        """A digest of the initial pool, whatever its order; None without one."""
        if not self.progress.acquired:
            return None
        indices = sorted(self.progress.acquired[0].tolist())
        return f"{zlib.crc32(repr(indices).encode()):08x}"

    def settings(self) -> dict[str, Any]:
        """Everything that has to be alike for two runs to be of the same dataset."""
        held_apart = (*IDENTITY, *IGNORED_ON_RESUME, *PLACE_KEYS, "strategy")
        settings = {
            key: value
            for key, value in self.config.items()
            if not identity.is_below(key, held_apart)
        }
        if "al.num_acq" not in self.config:
            settings["cycles"] = self.num_cycles
        return settings

    def options(self) -> dict[str, Any]:
        """The strategy's own arguments."""
        return {key: value for key, value in self.config.items() if key.startswith("strategy.")}


def read(paths: Iterable[str | Path]) -> Reading:
    """Reads every run directory below some directories.

    Args:
        paths: Directories, searched to any depth; hidden ones are skipped.

    Raises:
        ReportError: If a path is not a directory, or no run with a finished cycle is found.
    """
    problems: list[str] = []
    runs = []
    folders = [str(path) for path in paths]
    for folder in _find_candidates(folders, problems):
        run = _read_run(folder, problems)
        if run is not None:
            runs.append(run)
    if not runs:
        found = "\n".join(f"  {problem}" for problem in problems)
        raise ReportError(
            f"Expected run directories with {CONFIG} and {CURVE} below {', '.join(folders)}, got "
            "none with a finished cycle. `python -m dal.train` writes them to outputs/."
            + (f"\n{found}" if found else "")
        )
    problems += _separate_settings(runs)
    problems += _number_repeats(runs)
    problems += _find_unfinished(runs)
    problems += _find_equal_data(runs)
    problems += _find_other_splits(runs)
    return Reading(_build_frame(runs), _build_configurations(runs), problems)


def _find_candidates(folders: Sequence[str], problems: list[str]) -> list[Path]:
    """Directories with files of a run, each once; says in ``problems`` which cannot be read."""
    found: dict[Path, Path] = {}
    for folder in folders:
        if not Path(folder).is_dir():
            raise ReportError(
                f"Expected a directory of runs, got {folder}, which is "
                f"{'a file' if Path(folder).exists() else 'not there'}. Runs are in outputs/ "
                "unless they were started with output_root=DIR."
            )

        def unreadable(error: OSError) -> None:
            problems.append(f"{error.filename} cannot be read ({error.strerror}): left out.")

        for place, subfolders, files in os.walk(folder, onerror=unreadable):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            # Other tools, too, leave a config.yaml: one alone does not make a run.
            if {CURVE, ACQUISITIONS} & set(files) or {CONFIG, SUMMARY} <= set(files):
                found.setdefault(Path(place).resolve(), Path(place))
    return list(found.values())


def _read_run(folder: Path, problems: list[str]) -> Run | None:
    directory = RunDirectory(folder, {})
    try:
        if not (folder / CONFIG).exists():
            raise RecordError(f"{folder} holds results, but no {CONFIG} that says of which run.")
        config = identity.settings(directory.read_config())
        absent = [key for key in IDENTITY if config.get(key) is None]
        if absent:
            raise RecordError(f"{folder / CONFIG} does not say {', '.join(absent)}.")
        try:
            int(config["seed"])
        except (TypeError, ValueError):
            raise RecordError(
                f"{folder / CONFIG}: expected an integer seed, got {config['seed']!r}."
            ) from None
        run = Run(str(folder), config, directory.progress(), directory.read_summary())
    except RecordError as error:
        problems.append(f"Left out: {error}")
        return None
    except OSError as error:
        problems.append(f"Left out: {error.filename or folder} cannot be read ({error.strerror}).")
        return None
    if not run.progress.results:
        problems.append(f"Left out: {folder} has not finished its first cycle.")
        return None
    return run


def _separate_settings(runs: Sequence[Run]) -> list[str]:
    """Gives runs of different settings different datasets or strategies; returns what differs."""
    problems = []
    for name, group in _group(runs, lambda run: run.dataset).items():
        settings = [run.settings() for run in group]
        fingerprints = {run.fingerprint for run in group} - {None}
        if len(fingerprints) > 1:
            for run, those in zip(group, settings, strict=True):
                those[FINGERPRINT] = run.fingerprint or NOT_SET
        elif fingerprints and any(run.fingerprint is None for run in group):
            missing = sum(run.fingerprint is None for run in group)
            problems.append(
                f"{name}: {missing} of {len(group)} runs do not say which data they used. "
                "They are reported with the others, but not paired with them."
            )
        labels, differences = _label_differences(name, settings)
        for run, label in zip(group, labels, strict=True):
            run.dataset = label
        if differences:
            problems.append(
                f"{name}: the runs under this name differ in {differences}. They are reported "
                "separately, as datasets of their own."
            )
    by_strategy = _group(runs, lambda run: (run.dataset, run.strategy))
    for (dataset, strategy), group in by_strategy.items():
        labels, differences = _label_differences(strategy, [run.options() for run in group])
        for run, label in zip(group, labels, strict=True):
            run.strategy = label
        if differences:
            problems.append(
                f"{dataset}, {strategy}: the runs differ in {differences}. They are reported "
                "separately, as strategies of their own."
            )
    return problems


def _label_differences(name: str, settings: Sequence[Mapping[str, Any]]) -> tuple[list[str], str]:
    """A label for each, equal where the settings are equal, and what differs, in words."""
    keys = sorted({key for those in settings for key in those})
    values = {key: [_as_text(those.get(key, NOT_SET)) for those in settings] for key in keys}
    differing = [key for key in keys if len(set(values[key])) > 1]
    if not differing:
        return [name] * len(settings), ""
    variants = [
        ", ".join(f"{key.removeprefix('strategy.')}={values[key][row]}" for key in differing)
        for row in range(len(settings))
    ]
    if max(map(len, variants)) > MAX_LABEL:
        kinds = list(dict.fromkeys(variants))
        variants = [f"settings {kinds.index(variant) + 1}" for variant in variants]
    differences = "; ".join(
        f"{key} ("
        + ", ".join(
            f"{value} in {count} {'run' if count == 1 else 'runs'}"
            for value, count in sorted(Counter(values[key]).items())
        )
        + ")"
        for key in differing
    )
    return [f"{name} [{variant}]" for variant in variants], differences


def _number_repeats(runs: Sequence[Run]) -> list[str]:
    """Numbers the runs of the same seed, complete ones first; returns a message for each seed."""
    problems = []
    same = _group(runs, lambda run: (run.dataset, run.strategy, run.seed))
    for (dataset, strategy, seed), group in same.items():
        if len(group) == 1:
            continue
        group.sort(key=lambda run: (not run.is_complete, run.path))
        for repeat, run in enumerate(group):
            run.repeat = repeat
        curves = [[(r.num_labeled, r.metrics) for r in run.progress.results] for run in group]
        are_equal = all(curve == curves[0] for curve in curves)
        problems.append(
            f"{dataset}, {strategy}, seed {seed}: {len(group)} runs, "
            f"with {'equal' if are_equal else 'different'} curves. A seed counts once: "
            f"only {group[0].path} is used, and {', '.join(run.path for run in group[1:])} "
            "only for times on other devices."
        )
    return problems


def _find_unfinished(runs: Sequence[Run]) -> list[str]:
    return [
        f"Unfinished: {run.path} has {len(run.progress.results)} of "
        f"{run.num_cycles or 'an unknown number of'} cycles. It is drawn as a thin line and "
        "enters no number."
        for run in runs
        if not run.is_complete
    ]


def _find_equal_data(runs: Sequence[Run]) -> list[str]:
    names: dict[str, list[str]] = {}
    for run in runs:
        if run.fingerprint is not None and run.dataset not in names.setdefault(run.fingerprint, []):
            names[run.fingerprint].append(run.dataset)
    return [
        f"{' and '.join(sorted(datasets))} hold the same data: what is computed over datasets "
        "counts them as several, although they are not independent."
        for datasets in names.values()
        if len(datasets) > 1
    ]


def _find_other_splits(runs: Sequence[Run]) -> list[str]:
    splits = {run.dataset: str(run.config.get("eval_split", "test")) for run in runs}
    return [
        f"{dataset}: accuracies are on {split}, the part for the choice of hyperparameters, and "
        "not on test."
        for dataset, split in splits.items()
        if split != "test"
    ]


def _build_frame(runs: Sequence[Run]) -> pd.DataFrame:
    # By columns: one dictionary per row would take many times the memory.
    rows = [(run, result) for run in runs for result in run.progress.results]
    metrics = list(dict.fromkeys(name for _, result in rows for name in result.metrics))
    columns: dict[str, list[Any]] = {
        "run": [run.path for run, _ in rows],
        "dataset": [run.dataset for run, _ in rows],
        "strategy": [run.strategy for run, _ in rows],
        "seed": [run.seed for run, _ in rows],
        "cycle": [result.cycle for _, result in rows],
        "num_labeled": [result.num_labeled for _, result in rows],
        **{name: [result.metrics.get(name) for _, result in rows] for name in metrics},
        "fit_seconds": [result.fit_seconds for _, result in rows],
        "query_seconds": [result.query_seconds for _, result in rows],
        "peak_memory_mib": [result.peak_memory_mib for _, result in rows],
        "num_cycles": [run.num_cycles for run, _ in rows],
        "complete": [run.is_complete for run, _ in rows],
        "repeat": [run.repeat for run, _ in rows],
        "device": [run.summary.get("device") for run, _ in rows],
        "fingerprint": [run.fingerprint for run, _ in rows],
        "pool": [run.pool for run, _ in rows],
    }
    frame = pd.DataFrame(columns)
    return frame.astype({"query_seconds": float, "num_cycles": "Int64"})


def _build_configurations(runs: Sequence[Run]) -> pd.DataFrame:
    """What differs between any two runs, but for the keys that only say where a run is stored."""
    varied: dict[str, list[str]] = {}
    rows = [
        {
            **run.config,
            FINGERPRINT: run.fingerprint or NOT_SET,
            "device": run.summary.get("device", NOT_SET),
            **{
                f"versions.{name}": version
                for name, version in run.summary.get("versions", {}).items()
            },
        }
        for run in runs
    ]
    for key in dict.fromkeys(key for row in rows for key in row):
        if identity.is_below(key, (*IDENTITY, *IGNORED_ON_RESUME)):
            continue
        values = [_as_text(row.get(key, NOT_SET)) for row in rows]
        if len(set(values)) > 1:
            varied[key] = values
    return pd.DataFrame(
        {
            "dataset": [run.dataset for run in runs],
            "strategy": [run.strategy for run in runs],
            "seed": [run.seed for run in runs],
            **varied,
        },
        index=pd.Index([run.path for run in runs], name="run"),
    )


def _group(runs: Sequence[Run], key: Any) -> dict[Any, list[Run]]:
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def _as_text(value: Any) -> str:
    return "null" if value is None else str(value)
