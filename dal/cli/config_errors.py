"""Errors of a configuration in plain words: unknown keys, wrong arguments, Hydra's exceptions."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import get_object
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dal.cli import config
from dal.cli.config import ActiveLearning, Parts, Root, datamodule_keys
from dal.cli.overrides import explain_unreadable
from dal.errors import ConfigError, DalError, did_you_mean

# Options of a group under their earlier names.
RENAMED_OPTIONS = {("data", "features"): "arrays"}

# What brings an option of Hydra's groups that is in a package of its own, as an extra of dal.
PLUGINS = {
    ("hydra/launcher", "joblib"): "joblib",
    ("hydra/launcher", "submitit_local"): "submitit",
    ("hydra/launcher", "submitit_slurm"): "submitit",
    ("hydra/sweeper", "optuna"): "optuna",
}

# Of the messages for a key that does not exist: one added without +, one at the root, and one of a
# typed part of the schema.
UNKNOWN_KEY_FRAGMENTS = (
    "is not in struct",
    "Root'",
    "not in 'ActiveLearning'",
)


def check_keys(config: Mapping[str, Any], schema: type[Parts] = Root) -> None:
    """Checks every key that Hydra lets pass: those added with ``+``, and those in open groups.

    Args:
        config: A whole configuration, resolved, as plain mappings.
        schema: What its root may hold.

    Raises:
        ConfigError: If a key is not in the schema, a ``_target_`` cannot be imported, or a key
            beside one is no argument of it.
    """
    known = {key.name for key in fields(schema)}
    known |= {f"al.{key.name}" for key in fields(ActiveLearning)}
    for key in [*config, *(f"al.{key}" for key in config.get("al", ()))]:
        if key not in known:
            raise ConfigError(f"Unknown key '{key}'. {did_you_mean(key, known)}")
    # First the trainer: the schedule of a head takes its number of epochs from there.
    check_arguments({"trainer": config["trainer"], **config})


def check_arguments(config: Mapping[str, Any], prefix: str = "") -> None:
    """Checks that what is beside a ``_target_`` are arguments of that target, numbers as numbers.

    Args:
        config: A part of a configuration, resolved, as plain mappings.
        prefix: The dotted key of ``config`` itself, with a dot at its end.

    Raises:
        ConfigError: If a target cannot be imported, a key is no argument of it, or a value is no
            number where the target takes nothing else.
    """
    if "_target_" in config:
        _check_target(config, prefix)
    for key, value in config.items():
        if isinstance(value, Mapping):
            check_arguments(value, f"{prefix}{key}.")


def _check_target(config: Mapping[str, Any], prefix: str) -> None:
    target = config["_target_"]
    try:
        called = get_object(target)
        parameters = _parameters(called)
    except Exception as error:  # an import runs any code
        # Hydra's own text ends with the cause: it is enough.
        cause = str(error.__cause__ or error).rpartition("\n")[2]
        raise ConfigError(
            f"Cannot import {target}, the value of {prefix}_target_: {cause}"
        ) from error
    if prefix == "data.":
        # Beside the source's own arguments, `data` holds those of the datamodule.
        from dal.data import ALDataModule

        own = _parameters(ALDataModule)
        parameters = {**parameters, **{key: own[key] for key in datamodule_keys()}}
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in config.items():
        if key.startswith("_"):
            continue
        if key in parameters:
            _check_number(f"{prefix}{key}", value, parameters[key].annotation)
        elif not is_open:
            hint = did_you_mean(key, parameters) if parameters else "It takes none."
            raise ConfigError(f"Unknown key '{prefix}{key}': {target} has no such argument. {hint}")


def _parameters(called: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(called, eval_str=True).parameters
    except NameError:  # an annotation names what is imported for type checkers alone
        return inspect.signature(called).parameters


def _check_number(key: str, value: Any, annotation: Any) -> None:
    """Refuses a text, a truth value or a fraction where the annotation allows numbers alone."""
    is_union = get_origin(annotation) in (Union, UnionType)
    kinds = {
        kind
        for kind in (get_args(annotation) if is_union else (annotation,))
        if getattr(kind, "__name__", "") not in ("NoneType", "Tensor")  # no tensor is from YAML
    }
    if not kinds & {int, float} or kinds - {int, float, bool}:
        return
    if isinstance(value, str) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"Expected a number for '{key}', got {value!r}.")
    if isinstance(value, float) and float not in kinds:
        raise ConfigError(f"Expected an integer for '{key}', got {value!r}.")


def explain(error: Exception, overrides: Sequence[str], config_name: str = "config") -> str | None:
    """The message for an error of Hydra or OmegaConf; None if the error is not theirs.

    Args:
        error: What composing or instantiating a configuration raised.
        overrides: The command line's overrides.
        config_name: The file in ``conf`` that the command starts from.
    """
    if isinstance(error, InstantiationException):
        return _explain_instantiation(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        if (group, option) in RENAMED_OPTIONS:
            new = RENAMED_OPTIONS[group, option]
            return f"Unknown {group} '{option}'. It is called '{new}' now: {group}={new}."
        if (group, option) in PLUGINS:
            return (
                f"{group}={option} is of a package that is not installed. Install it with "
                f'`pip install -e ".[{PLUGINS[group, option]}]"` in the clone.'
            )
        hint = did_you_mean(option, error.options)
        known = "" if hint.startswith("Known") else f" Known: {', '.join(sorted(error.options))}."
        return f"Unknown {group} '{option}'. {hint}{known}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error, OverrideParseException) and (message := explain_unreadable(overrides)):
        return message
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    text = f"{error}\n{cause}" if cause is not error else str(error)
    key = _unknown_key(text)
    packaged = re.search(r"Could not override '[\w/]+@(\w+)\.", text)
    if key is not None or packaged:
        group = packaged[1] if packaged else (key or "").partition(".")[0]
        chosen = [override for override in overrides if override.startswith(f"+{group}=")]
        if chosen and group not in {known.name for known in fields(Root)}:
            return (
                f"The file of {chosen[0]} sets keys of a group '{group}', and there is none. Add "
                "`# @package _global_` as its first line: its keys are then those of the root."
            )
    if "does not support sweep type" in text:
        return (
            "Expected values with commas between them, got a range of numbers that a sweeper has "
            "to draw from. Add hydra/sweeper=optuna."
        )
    if key is not None:
        return f"Unknown key '{key}'. {_hint(key, _known_keys(overrides, key, config_name))}"
    if isinstance(cause, MissingMandatoryValue):
        key = cause.full_key
        return f"Expected a value for '{key}', got none. Give it with {key}=..."
    # The lines that OmegaConf appends say where in its own objects it was.
    return re.sub(r"\n\s*(full_key|object_type|reference_type).*", "", text)


def _explain_instantiation(error: InstantiationException) -> str | None:
    cause = error.__cause__
    if isinstance(cause, DalError):
        return str(cause)
    if isinstance(cause, TypeError | ValueError):
        where = re.search(r"full_key: (\S+)", str(error))
        return f"{where[1] if where else 'configuration'}: {cause}"
    return None


def _unknown_key(text: str) -> str | None:
    if not any(fragment in text for fragment in UNKNOWN_KEY_FRAGMENTS):
        return None
    for pattern in (r"Could not (?:override|append|delete) '([^']+)'", r"full_key: (\S+)"):
        found = re.search(pattern, text)
        if found and "No match in the defaults list" not in text:
            return found[1]
    return None


def _known_keys(overrides: Sequence[str], unknown: str, config_name: str) -> set[str]:
    """Keys and groups that exist once the overrides other than the unknown one are applied."""
    others = [override for override in overrides if unknown not in override]
    groups = {
        path.name for path in config.folder().iterdir() if path.is_dir() and path.name != "hydra"
    }
    for usable in (others, []):
        try:
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(config.folder()), version_base="1.3"):
                composed = OmegaConf.to_container(compose(config_name, overrides=list(usable)))
        except (HydraException, OmegaConfBaseException):
            continue
        return groups | set(_dotted_keys(composed))
    return groups


def _hint(key: str, known: set[str]) -> str:
    """Names keys of the same group if it has any: those of others are no misspelling."""
    group, _, name = key.rpartition(".")
    names = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == group]
    names = sorted(name for name in names if not name.startswith("_"))
    if not group or not names:
        return did_you_mean(key, known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean '{group}.{close[0]}'?"
    return f"Known: {', '.join(f'{group}.{name}' for name in names)}."


def _dotted_keys(config: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _dotted_keys(value, f"{prefix}{key}.")
