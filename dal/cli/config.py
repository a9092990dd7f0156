"""The root schema of the configuration, and its errors in plain words."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.utils import get_object, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dal.errors import ConfigError, DalError, did_you_mean

if TYPE_CHECKING:
    import lightning as L

    from dal.data import Source


def folder() -> Path:
    """Where the YAML files are: in the package if it was installed, else beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


@dataclass
class ActiveLearning:
    """How many labels are acquired, and how."""

    num_init: int = MISSING
    acq_size: int = MISSING
    num_acq: int = MISSING
    init: str = MISSING


@dataclass
class DataModule:
    """How examples become a pool, as :class:`dal.data.ALDataModule` takes it."""

    batch_size: int = MISSING
    dev_fraction: float = MISSING
    test_fraction: float = MISSING
    split_seed: int = MISSING


@dataclass
class Root:
    """Every key of the configuration's root: without a schema a misspelt one goes unnoticed.

    The groups are open mappings, since their keys are the arguments of what they construct;
    :func:`check_keys` holds them to that.
    """

    name: str = MISSING
    strategy_name: str = MISSING
    seed: int = MISSING
    output_root: str = MISSING
    cache_dir: str | None = None
    run_dir: str = MISSING
    overwrite: bool = MISSING
    eval_split: str = MISSING
    al: ActiveLearning = field(default_factory=ActiveLearning)
    datamodule: DataModule = field(default_factory=DataModule)
    data: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)
    extraction: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExtractRoot(Root):
    """The same for ``dal.extract``, which writes features and nothing else."""

    out: str | None = None


def register() -> None:
    """Makes the schemas known to Hydra under the names that the primary files start from."""
    ConfigStore.instance().store(name="schema", node=Root)
    ConfigStore.instance().store(name="extract_schema", node=ExtractRoot)


def source(config: DictConfig, trainer: Callable[..., "L.Trainer"]) -> "Source":
    """The source that a composed configuration describes.

    Args:
        config: The whole of it. If it has a backbone, ``data`` is items, which the backbone turns
            into features.
        trainer: Makes the trainer that these are computed with.
    """
    data = instantiate(config.data, _convert_="all")
    if not config.backbone:
        return cast("Source", data)
    from dal.data import Embedded
    from dal.extraction import FeatureCache

    extractor = instantiate(config.extraction, _convert_="all", _partial_=True)(
        backbone=instantiate(config.backbone, _convert_="all"),
        cache=FeatureCache(config.cache_dir),
        trainer=trainer,
    )
    return Embedded(data, extractor)


def check_keys(config: Mapping[str, Any], schema: type[Root] = Root) -> None:
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
    for key in [*config, *(f"al.{key}" for key in config["al"])]:
        if key not in known:
            raise ConfigError(f"Unknown key '{key}'. {did_you_mean(key, known)}")
    check_arguments(config)


def check_arguments(config: Mapping[str, Any], prefix: str = "") -> None:
    """Checks that every key beside a ``_target_`` is an argument of that target.

    Args:
        config: A part of a configuration, resolved, as plain mappings.
        prefix: The dotted key of ``config`` itself, with a dot at its end.

    Raises:
        ConfigError: If a target cannot be imported, or a key is no argument of it.
    """
    if "_target_" in config:
        _check_target(config, prefix)
    for key, value in config.items():
        if isinstance(value, Mapping):
            check_arguments(value, f"{prefix}{key}.")


def _check_target(config: Mapping[str, Any], prefix: str) -> None:
    target = config["_target_"]
    try:
        parameters = inspect.signature(get_object(target)).parameters
    except Exception as error:  # an import runs any code
        raise ConfigError(
            f"Cannot import {target}, the value of {prefix}_target_: {error}"
        ) from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in config:
        if not key.startswith("_") and key not in parameters:
            hint = did_you_mean(key, parameters) if parameters else "It takes none."
            raise ConfigError(f"Unknown key '{prefix}{key}': {target} has no such argument. {hint}")


def explained(error: Exception, overrides: Sequence[str], primary: str = "config") -> str | None:
    """What to tell the user about an error of Hydra or OmegaConf; None if it is another's.

    Args:
        error: What composing or instantiating a configuration raised.
        overrides: The command line's overrides.
        primary: The file that the command starts from.
    """
    if isinstance(error, InstantiationException):
        return _explained_instantiation(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        hint = did_you_mean(option, error.options)
        known = "" if hint.startswith("Known") else f" Known: {', '.join(sorted(error.options))}."
        return f"Unknown {group} '{option}'. {hint}{known}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    text = f"{error}\n{cause}" if cause is not error else str(error)
    key = _unknown_key(text)
    if key is not None:
        return f"Unknown key '{key}'. {did_you_mean(key, _known_keys(overrides, key, primary))}"
    if isinstance(cause, MissingMandatoryValue):
        key = cause.full_key
        return f"Expected a value for '{key}', got none. Give it with {key}=..."
    # OmegaConf appends where in its own objects it was; the first paragraph says what is wrong.
    return re.sub(r"\n\s*(full_key|object_type|reference_type).*", "", text)


def _explained_instantiation(error: InstantiationException) -> str | None:
    cause = error.__cause__
    if isinstance(cause, DalError):
        return str(cause)
    if isinstance(cause, TypeError | ValueError):
        where = re.search(r"full_key: (\S+)", str(error))
        return f"{where[1] if where else 'configuration'}: {cause}"
    return None


def _unknown_key(text: str) -> str | None:
    if "is not in struct" not in text and "Root'" not in text and "not in 'Act" not in text:
        return None
    for pattern in (r"Could not (?:override|append|delete) '([^']+)'", r"full_key: (\S+)"):
        found = re.search(pattern, text)
        if found and "No match in the defaults list" not in text:
            return found[1]
    return None


def _known_keys(overrides: Sequence[str], unknown: str, primary: str) -> set[str]:
    """Keys and groups that exist once the overrides other than the unknown one are applied."""
    others = [override for override in overrides if unknown not in override]
    groups = {path.name for path in folder().iterdir() if path.is_dir() and path.name != "hydra"}
    for usable in (others, []):
        try:
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(folder()), version_base="1.3"):
                config = OmegaConf.to_container(compose(primary, overrides=list(usable)))
        except (HydraException, OmegaConfBaseException):
            continue
        return groups | set(_dotted(config))
    return groups


def _dotted(config: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _dotted(value, f"{prefix}{key}.")
