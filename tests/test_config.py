from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dal import config
from dal.errors import ConfigError, did_you_mean

GROUPS = ("data", "head", "strategy", "trainer", "logger", "experiment")
OPTIONS = [
    (group, path.stem) for group in GROUPS for path in sorted((config.folder() / group).glob("*"))
]


def composed(*overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_constructs(group: str, option: str, tmp_path: Path) -> None:
    override = f"+experiment={option}" if group == "experiment" else f"{group}={option}"
    extra = [f"data.path={tmp_path}"] if (group, option) == ("data", "features") else []
    cfg = composed(override, *extra)
    resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    config.check_keys(resolved)  # type: ignore[arg-type]
    for key in ("data", "head", "strategy", "trainer", "logger"):
        instantiate(cfg[key], _convert_="all")
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
        config.check_arguments(node)


def test_hints() -> None:
    keys = ["al.num_init", "al.num_acq", "head.optimizer.lr", "strategy"]
    assert did_you_mean("al.num_int", keys) == "Did you mean 'al.num_init'?"
    assert did_you_mean("num_acq", keys) == "Did you mean 'al.num_acq'?"
    assert did_you_mean("stratgy", keys) == "Did you mean 'strategy'?"
    assert did_you_mean("xyz", ["b", "a"]) == "Known: a, b."
