"""Where a dataset is, and the names of its splits: of the pool, and of the test examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dal.errors import ConfigError, did_you_mean

SPLITS = ("train", "test")
REMEDY = (
    "Name the splits with data.splits.train=NAME data.splits.test=NAME, or hold out a part of "
    "train with data.splits.test=null."
)


def resolve(splits: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """The names of both splits, by ``"train"`` and ``"test"``; None if there is no test split.

    Args:
        splits: The same, as the user gives it. If it is None, the names are ``train`` and ``test``.
            A missing ``test`` means that there is no test split.

    Raises:
        ConfigError: If there is another key, or no name of the train split.

    Example:
        >>> resolve(None), resolve({"train": "training", "test": None})
        ({'train': 'train', 'test': 'test'}, {'train': 'training', 'test': None})
    """
    if splits is None:
        return {key: key for key in SPLITS}
    for key in splits:
        if key not in SPLITS:
            raise ConfigError(f"Unknown key 'splits.{key}'. {did_you_mean(key, SPLITS)}")
    for key, name in splits.items():
        given: Any = name  # a configuration may hold anything
        if given is not None and (not isinstance(given, str) or not given):
            raise ConfigError(f"Expected `splits.{key}` to be a name or null, got {name!r}.")
    if splits.get("train") is None:
        raise ConfigError("Expected `splits.train` to name the split of the pool, got none.")
    return {key: splits.get(key) for key in SPLITS}


def existing(splits: Mapping[str, str | None]) -> dict[str, str]:
    """The splits without those of which the name is None.

    Example:
        >>> existing({"train": "train", "test": None})
        {'train': 'train'}
    """
    return {key: name for key, name in splits.items() if name is not None}


def folder(path: Any) -> Path:
    """The absolute path of the folder ``data.path``.

    Raises:
        ConfigError: If it is empty, as an unset variable of a shell is, or was not read as a name,
            as 2024.10 is not.
    """
    if path is None or not str(path):
        raise ConfigError("Expected a folder as `data.path`, got an empty value.")
    if not isinstance(path, str | Path) and type(path) is not int:
        raise ConfigError(
            f"Expected a folder as `data.path`, got the {type(path).__name__} {path}. Write ./ "
            "before a name that is read as something else."
        )
    return Path(str(path)).expanduser().absolute()
