"""Variants: what the jobs of a multirun differ in, beside strategy, seed and what names a run.

A run directory is named by experiment, strategy and seed. A multirun over other keys, for example
learning rates, gives each of its jobs a directory of its own all the same, below the strategy's.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from dal.cli import series
from dal.experiment.identity import IGNORED_ON_RESUME, is_below

# They are in the path of a run directory, or name what is.
NAMING_KEYS = ("name", "strategy_name", "seed", "experiment", *IGNORED_ON_RESUME)
NAMING_GROUPS = ("data", "strategy")  # name and strategy_name are their options by default

MAX_LENGTH = 120  # of a part of a path, which may have 255 bytes


def register() -> None:
    """Makes ``${variant:PREFIX}`` known: the variant of a job behind a prefix, or nothing."""
    OmegaConf.register_new_resolver("variant", _resolve, replace=True)


def variant(config: DictConfig | Mapping[str, Any]) -> str:
    """What tells a job from the others of its multirun, such as ``head.optimizer.lr=0.1``.

    Args:
        config: The job's.

    Returns:
        Keys and values; empty if the jobs differ in nothing but what names their runs, and outside
        of a multirun.
    """
    current = series.Series.current()
    if current is None or not HydraConfig.initialized():
        return ""
    overrides = series.parse(HydraConfig.get().overrides.task)
    parts = sorted(
        f"{override.key_or_group}={value}"
        for override, value in ((each, _value(each)) for each in overrides)
        if override.key_or_group in current.swept
        and not is_below(override.key_or_group, NAMING_KEYS)
        and not _names(override, value, config)
    )
    return ", ".join(parts)


def _resolve(prefix: str, *, _root_: DictConfig) -> str:
    text = re.sub(r"[^\w.,=+-]+", "_", variant(_root_).replace(", ", ","))
    if len(text) > MAX_LENGTH:
        text = f"{text[: MAX_LENGTH - 9]}_{zlib.crc32(text.encode()):08x}"
    return f"{prefix}{text}" if text else ""


def _names(override: Override, value: str, config: DictConfig | Mapping[str, Any]) -> bool:
    """Whether the choice of a group is what the run is called by already."""
    names = (config["name"], config["strategy_name"])
    return override.key_or_group in NAMING_GROUPS and value in names


def _value(override: Override) -> str:
    if override.is_delete():
        return ""
    value = override.value()
    # A sweeper that draws numbers draws all of their digits.
    return f"{value:.6g}" if isinstance(value, float) else override.get_value_string()
