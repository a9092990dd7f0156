"""What a source calls its splits."""

from collections.abc import Mapping

from dal.errors import ConfigError, did_you_mean

SPLITS = ("train", "test")


def checked(splits: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """The names of the train and the test split, by ``"train"`` and ``"test"``.

    Args:
        splits: What the user named. ``train`` and ``test`` themselves are the names if nothing is
            given; a ``test`` of None, or none beside a ``train``, means that there is no such
            split.

    Raises:
        ConfigError: If another key is named, or no train split.

    Example:
        >>> checked(None), checked({"train": "training", "test": None})
        ({'train': 'train', 'test': 'test'}, {'train': 'training', 'test': None})
    """
    named: dict[str, str | None] = dict(splits or {name: name for name in SPLITS})
    for name in named:
        if name not in SPLITS:
            raise ConfigError(f"Unknown key 'splits.{name}'. {did_you_mean(name, SPLITS)}")
    if named.get("train") is None:
        raise ConfigError("Expected `splits.train` to name the split of the pool, got none.")
    return {"test": None, **named} if "test" not in named else named


def named(splits: Mapping[str, str | None]) -> dict[str, str]:
    """The splits that have a name.

    Example:
        >>> named({"train": "train", "test": None})
        {'train': 'train'}
    """
    return {key: name for key, name in splits.items() if name is not None}
