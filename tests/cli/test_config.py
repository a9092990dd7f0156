from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dal.cli import config, config_errors
from dal.data import Embedded
from dal.errors import ConfigError, did_you_mean
from dal.extraction import Backbone, TextBackbone

GROUPS = (
    *("data", "backbone", "extraction", "head", "strategy"),
    *("trainer", "logger", "experiment"),
)
OPTIONS = [
    (group, path.stem) for group in GROUPS for path in sorted((config.folder() / group).glob("*"))
]
# What an option needs that only its user knows.
EXTRA = {
    ("data", "arrays"): ["data.path=DIR"],
    ("data", "imagefolder"): ["data.path=DIR"],
    ("data", "dataset"): ["data.path=DIR"],
    ("backbone", "transformers"): ["backbone.id=owner/name"],
    ("backbone", "text_transformers"): ["backbone.id=owner/name"],
}


def composed(*overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_constructs(group: str, option: str, tmp_path: Path) -> None:
    override = f"+experiment={option}" if group == "experiment" else f"{group}={option}"
    extra = EXTRA.get((group, option), [])
    if group in ("backbone", "extraction"):
        extra = ["data=cifar10", *extra]
    cfg = composed(override, *(word.replace("DIR", str(tmp_path)) for word in extra))
    resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    config_errors.check_keys(resolved)  # type: ignore[arg-type]
    for key in ("head", "strategy", "trainer", "logger"):
        instantiate(cfg[key], _convert_="all")
    datamodule = config.datamodule(cfg, instantiate(cfg.trainer))
    assert datamodule.dev_fraction == 0.1
    source = datamodule.source
    assert isinstance(source, Embedded) == bool(cfg.backbone)
    if isinstance(source, Embedded):
        backbone = source.extractor.backbone
        if isinstance(backbone, Backbone):
            assert backbone.transform.crop == cfg.backbone.transform.crop
        else:
            assert isinstance(backbone, TextBackbone)
            assert backbone.prefix == cfg.backbone.prefix
    head = instantiate(cfg.head)(num_features=3, num_classes=2)
    assert head.configure_optimizers()["lr_scheduler"].T_max == cfg.trainer.max_epochs


def test_a_run_has_a_deterministic_path() -> None:
    assert composed().run_dir == "outputs/digits/bait_binary/seed_0"
    cfg = composed("name=mine", "strategy=random", "seed=3", "output_root=/x")
    assert cfg.run_dir == "/x/mine/random/seed_3"


def test_experiments_hold_only_differences() -> None:
    plain = OmegaConf.to_container(composed(), resolve=False)
    assert isinstance(plain, dict)
    for group, option in OPTIONS:
        if group != "experiment":
            continue
        own = OmegaConf.to_container(OmegaConf.load(config.folder() / group / f"{option}.yaml"))
        assert isinstance(own, dict)
        for key, value in own.items():
            assert key in {"defaults", "name"} or value != plain[key]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"strategy": {"_target_": "dal.strategies.Margin", "foo": 1}},
            r"'strategy.foo': dal.strategies.Margin has no such argument. Known: subset_size.",
        ),
        (
            {"trainer": {"_target_": "lightning.Trainer", "max_epoch": 1}},
            r"'trainer.max_epoch'.*Did you mean 'max_epochs'",
        ),
        (
            {"head": {"optimizer": {"_target_": "torch.optim.RAdam", "weight_dekay": 1}}},
            r"'head.optimizer.weight_dekay'.*Did you mean 'weight_decay'",
        ),
        ({"data": {"_target_": "dal.data.Digit"}}, r"Cannot import dal.data.Digit.*data._target_"),
    ],
)
def test_arguments_are_those_of_the_target(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_errors.check_arguments(node)


def test_hints() -> None:
    keys = ["al.num_init", "al.num_acq", "head.optimizer.lr", "strategy"]
    assert did_you_mean("al.num_int", keys) == "Did you mean 'al.num_init'?"
    assert did_you_mean("num_acq", keys) == "Did you mean 'al.num_acq'?"
    assert did_you_mean("stratgy", keys) == "Did you mean 'strategy'?"
    assert did_you_mean("xyz", ["b", "a"]) == "Known: a, b."


@pytest.mark.parametrize(
    ("experiment", "num_init", "acq_size"),
    [
        ("cifar10", 10, 10),
        ("stl10", 10, 10),
        ("snacks", 10, 10),
        ("cifar100", 100, 100),
        ("food101", 100, 100),
        ("stanford_dogs", 100, 100),
        ("flowers102", 25, 25),
        ("tiny_imagenet", 200, 200),
        ("imagenet", 1000, 1000),
    ],
)
def test_the_nine_experiments(experiment: str, num_init: int, acq_size: int) -> None:
    cfg = composed(f"+experiment={experiment}", "strategy=margin", "seed=3")
    assert cfg.al == {"num_init": num_init, "acq_size": acq_size, "num_acq": 20, "init": "random"}
    assert cfg.run_dir == f"outputs/{experiment}/margin/seed_3"
    assert cfg.backbone.id == "facebook/dinov2-small"
    assert len(cfg.backbone.revision) == 40


def test_a_backbone_is_chosen_by_name_or_folder() -> None:
    cfg = composed("+experiment=imagenet", "backbone=dinov2_vitl14", "backbone.weights=/w")
    assert (cfg.backbone.id, cfg.backbone.weights) == ("facebook/dinov2-large", "/w")
    assert cfg.backbone.transform.resize == 256


def test_the_papers_features_are_left_as_they_are_and_others_are_scaled() -> None:
    nine = [option for group, option in OPTIONS if group == "experiment" and option != "digits"]
    assert len(nine) == 9
    assert {composed(f"+experiment={name}").data.scale for name in nine} == {"none"}
    assert composed("+experiment=cifar10", "data.scale=auto").data.scale == "auto"
    for data in ("arrays", "imagefolder", "dataset"):
        assert composed(f"data={data}").data.scale == "auto"
