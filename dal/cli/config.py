"""The root schema of the configuration, and what a composed one describes."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from dal.cli import variants
from dal.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import lightning as L

    from dal.data import ALDataModule, Source
    from dal.strategies import Strategy


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
class Parts:
    """What all commands are configured with.

    The groups are open mappings, since their keys are the arguments of what they construct;
    :func:`dal.cli.config_errors.check_keys` holds them to that.
    """

    seed: int = MISSING
    cache_dir: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)
    extraction: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)


@dataclass
class Root(Parts):
    """Every key of an experiment's root: without a schema a misspelt one goes unnoticed."""

    name: str = MISSING
    strategy_name: str = MISSING
    output_root: str = MISSING
    run_dir: str = MISSING
    overwrite: bool = MISSING
    eval_split: str = MISSING
    al: ActiveLearning = field(default_factory=ActiveLearning)
    logger: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExtractRoot(Root):
    """The same for ``dal.extract``, which writes features and nothing else."""

    out: str | None = None


@dataclass
class QueryRoot(Parts):
    """Every key of the root of ``dal.query``."""

    project: str = MISSING
    num: int = MISSING
    labels: str | None = None
    id_column: str = MISSING
    label_column: str = MISSING
    audit: int = MISSING
    ids: str | None = None
    more: bool = MISSING
    relabel: bool = MISSING
    copies: bool = MISSING
    batch_size: int = MISSING
    scale: Any = MISSING
    in_memory: Any = MISSING


def register() -> None:
    """Makes known to Hydra the schemas that the primary files start from, and resolvers.

    ``${expanduser:PATH}`` is a path in which ``~`` is the user's home; for the other see
    :mod:`dal.cli.variants`.
    """
    variants.register()
    ConfigStore.instance().store(name="schema", node=Root)
    ConfigStore.instance().store(name="extract_schema", node=ExtractRoot)
    ConfigStore.instance().store(name="query_schema", node=QueryRoot)
    OmegaConf.register_new_resolver("expanduser", os.path.expanduser, replace=True)


def initial(config: DictConfig) -> "str | Strategy":
    """What ``al.init`` names: a draw, or a strategy, with the arguments of its file.

    Args:
        config: The whole configuration.

    Raises:
        ConfigError: If there is no such draw or file, or the strategy needs a head or labels.
    """
    from dal.data import INITIAL_DRAWS

    name = config.al.init
    if name in INITIAL_DRAWS:
        return cast(str, name)
    files = _strategy_files()
    if name not in files:
        raise ConfigError(
            f"Unknown al.init '{name}'. {did_you_mean(name, [*INITIAL_DRAWS, *files])}"
        )

    # With the rest of the configuration, which a file may refer to.
    whole = cast("dict[str, Any]", OmegaConf.to_container(config))

    def build(file: Path) -> "Strategy":
        nested = OmegaConf.create({**whole, "strategy": OmegaConf.load(file)})
        return cast("Strategy", instantiate(nested.strategy, _convert_="all"))

    strategy = build(files[name])
    if strategy.needs:
        able = set(INITIAL_DRAWS)
        for other, file in files.items():
            with suppress(Exception):  # a file that cannot be built is none to name
                able |= set() if build(file).needs else {other}
        raise ConfigError(
            f"Expected al.init without need of a head or labels, got '{name}', which needs "
            f"{' and '.join(sorted(strategy.needs))}. Known: {', '.join(sorted(able))}."
        )
    return strategy


def _strategy_files() -> dict[str, Path]:
    """The files of the group ``strategy`` by name, those of ``--config-dir`` included."""
    sources = [
        Path(source.path)
        for source in HydraConfig.get().runtime.config_sources
        if source.schema == "file"
    ]
    # Of two files with one name Hydra takes the first.
    return {
        file.stem: file for source in reversed(sources) for file in source.glob("strategy/*.yaml")
    }


def datamodule(config: DictConfig, trainer: Callable[..., "L.Trainer"]) -> "ALDataModule":
    """The datamodule that a composed configuration describes.

    Args:
        config: The whole of it. Of ``data``, the keys of ``conf/datamodule.yaml`` are arguments of
            the datamodule, the others those of the source.
        trainer: Makes the trainer with which features are computed.
    """
    from dal.data import ALDataModule

    own = {key: config.data[key] for key in datamodule_keys()}
    return ALDataModule(source(config, trainer), **own)


def source(config: DictConfig, trainer: Callable[..., "L.Trainer"]) -> "Source":
    """The source that a composed configuration describes.

    Args:
        config: The whole of it. If it has a backbone, ``data`` is items, which the backbone turns
            into features.
        trainer: Makes the trainer with which features are computed.
    """
    own = datamodule_keys()
    data = instantiate(
        {key: value for key, value in config.data.items() if key not in own}, _convert_="all"
    )
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


@cache
def datamodule_keys() -> frozenset[str]:
    """The keys of ``data`` that are arguments of the datamodule and not of the source."""
    return frozenset(OmegaConf.load(folder() / "datamodule.yaml").data)
