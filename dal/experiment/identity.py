"""Identity of a run: which configurations are of the same run.

A class is compared by its name and not by its import path, so that a class that moves stops no run
from resuming, and a report does not take it for another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# Keys on which no result depends: a run may be resumed with others.
IGNORED_ON_RESUME = (
    "output_root",
    "run_dir",
    "overwrite",
    "logger",
    "cache_dir",
    "data.cache_dir",
    "data.in_memory",
    "extraction.batch_size",
    "extraction.num_workers",
    "trainer.devices",
    "trainer.strategy",
)

# What earlier versions called keys and classes, and the values of the keys that they lacked.
RENAMED_KEYS = {
    "features": "extraction",
}
RENAMED_CLASSES = {"Features": "Arrays"}
ADDED_KEYS = {
    "data.test_fraction": 0.2,
    "data.scale": "none",
    "data.in_memory": "auto",
    "extraction.skip_broken": False,
    "strategy.candidate": "diagonal",
    "strategy.max_clusters": 500,
    "strategy.max_points_per_centroid": 256,
    "data.splits.train": "train",
    "data.splits.test": "test",
    "data.id_column": None,
    "data.ids": None,
    "data.partly_labeled": False,
}

NOT_SET = "(not set)"


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as dotted keys and values, with classes by name.

    Args:
        config: Nested, of plain values, of this or an earlier version.

    Example:
        >>> shown = settings({"seed": 3, "head": {"_target_": "dal.heads.LinearHead"}})
        >>> shown["seed"], shown["head._target_"]
        (3, 'LinearHead')
    """
    found = dict(ADDED_KEYS)
    for key, value in flat(config).items():
        if key.rpartition(".")[2] == "_target_":
            name = str(value).rpartition(".")[2]
            value = RENAMED_CLASSES.get(name, name)
        found[_current_name(key)] = value
    return found


def differences(
    stored: Mapping[str, Any], current: Mapping[str, Any], ignored_keys: Sequence[str]
) -> list[str]:
    """What two configurations differ in, one line for each key.

    Args:
        stored: Nested configuration of a run directory.
        current: The one to compare it with.
        ignored_keys: Dotted keys that may differ, with all keys below them.
    """
    there, here = settings(stored), settings(current)
    absent = object()
    return [
        f"{key}: {_shown(there, key)} → {_shown(here, key)}"
        for key in sorted(there.keys() | here.keys())
        if there.get(key, absent) != here.get(key, absent) and not is_below(key, ignored_keys)
    ]


def is_below(key: str, parents: Sequence[str]) -> bool:
    """Whether a dotted key is one of some others, or is below one.

    Example:
        >>> is_below("al.num_init", ["al"]), is_below("alpha", ["al"])
        (True, False)
    """
    return any(f"{key}.".startswith(f"{parent}.") for parent in parents)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys.

    Example:
        >>> flat({"seed": 3, "al": {"num_init": 10, "init": "random"}})
        {'seed': 3, 'al.num_init': 10, 'al.init': 'random'}
    """
    dotted: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            dotted |= flat(value, f"{prefix}{key}.")
        else:
            dotted[f"{prefix}{key}"] = value
    return dotted


def _current_name(key: str) -> str:
    for old, new in RENAMED_KEYS.items():
        if is_below(key, [old]):
            return new + key.removeprefix(old)
    return key


def _shown(config: Mapping[str, Any], key: str) -> str:
    return repr(config[key]) if key in config else NOT_SET
