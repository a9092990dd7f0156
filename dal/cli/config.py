"""The root schema of the configuration, and what a composed one describes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.config_store import ConfigStore
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from dal.cli import variants

if TYPE_CHECKING:
    import lightning as L

    from dal.data import ALDataModule, Source


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
    """Makes the schemas known to Hydra, under the names that the primary files start from."""
    variants.register()
    ConfigStore.instance().store(name="schema", node=Root)
    ConfigStore.instance().store(name="extract_schema", node=ExtractRoot)


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
