"""Sweep files, rendered by the code of W&B's own agent."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from wandb import wandb_agent

from dal.cli import config, config_errors
from tests.conftest import Command

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
Rendered = Callable[..., tuple[list[str], dict[str, str]]]
MODULE = ["/usr/bin/env", "python", "-m", "dal.train"]


def read(path: Path) -> dict[str, Any]:
    from wandb.sdk.launch.sweeps.utils import load_sweep_config  # takes seconds to load

    return dict(load_sweep_config(str(path)) or {})


def corners(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """First and last values of every parameter in all combinations."""
    ends = [
        (p["values"][0], p["values"][-1]) if "values" in p else (p["min"], p["max"])
        for p in sweep["parameters"].values()
    ]
    return [
        dict(zip(sweep["parameters"], values, strict=True)) for values in itertools.product(*ends)
    ]


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rendered:
    """Makes the command and the environment with which an agent would start a run."""
    for name, value in {
        "WANDB_DIR": str(tmp_path),
        "WANDB_SWEEP_ID": "sweep",
        "WANDB_PROJECT": "dal",
        "WANDB_MODE": "offline",
        "EXPERIMENT": "digits",
        "WANDB_RUN_ID": "",
        "WANDB_SWEEP_PARAM_PATH": "",
    }.items():
        monkeypatch.setenv(name, value)

    def render(path: Path, parameters: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        started: dict[str, Any] = {}

        class Process:
            def __init__(self, **arguments: Any) -> None:
                started.update(arguments)

        monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
        sweep = read(path)
        agent: Any = wandb_agent.Agent(api=None, queue=None, sweep_id="sweep")
        agent._sweep_command = sweep["command"]
        agent._command_run(
            {
                "run_id": "x1y2z3",
                "program": sweep["program"],
                "args": {name: {"value": value} for name, value in parameters.items()},
            }
        )
        return started["command"], started["env"]

    return render


def composed(command: list[str]) -> DictConfig:
    assert command[:4] == MODULE
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", overrides=command[4:], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_commands_of_an_agent_compose_and_construct(path: Path, rendered: Rendered) -> None:
    sweep = read(path)
    run_dirs = set()
    for parameters in corners(sweep):
        cfg = composed(rendered(path, parameters)[0])
        resolved: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        config_errors.check_keys(resolved)
        config.datamodule(cfg, instantiate(cfg.trainer))
        for key in ("head", "strategy", "logger"):
            instantiate(cfg[key], _convert_="all")
        for name, value in parameters.items():
            chosen = cfg.strategy_name if name == "strategy" else OmegaConf.select(cfg, name)
            assert chosen == value
        run_dirs.add(cfg.run_dir)
    assert len(run_dirs) == 2 ** len(sweep["parameters"])
    assert sweep["metric"] == {"name": "auc", "goal": "maximize"}


def test_the_sweep_over_strategies_has_all() -> None:
    sweep = read(ROOT / "sweeps" / "strategies.yaml")
    known = sorted(path.stem for path in (config.folder() / "strategy").glob("*.yaml"))
    assert sweep["parameters"]["strategy"]["values"] == known
    assert sweep["parameters"]["seed"]["values"] == list(range(10))


def test_heads_are_tuned_on_dev(rendered: Rendered) -> None:
    path = ROOT / "sweeps" / "head_tuning.yaml"
    cfg = composed(rendered(path, corners(read(path))[0])[0])
    assert cfg.eval_split == "dev"


def test_a_forgotten_experiment_is_named(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPERIMENT")
    path = ROOT / "sweeps" / "strategies.yaml"
    command, _ = rendered(path, corners(read(path))[0])
    assert "+experiment=EXPERIMENT" in command  # which `dal.train` refuses, listing those there are


@pytest.mark.parametrize("name", ["strategies", "head_tuning"])
def test_a_command_of_an_agent_runs(
    name: str, rendered: Rendered, command: Command, tmp_path: Path
) -> None:
    path = ROOT / "sweeps" / f"{name}.yaml"
    words, _ = rendered(path, corners(read(path))[-1])
    assert words[:4] == MODULE
    status, _, err = command(*words[4:], "trainer.max_epochs=2", "al.num_acq=2")
    assert (status, err) == (0, "")
    (summary,) = tmp_path.glob("outputs/**/summary.json")
    (session,) = summary.parent.glob("wandb/offline-run-*")
    assert session.name.endswith("-x1y2z3")
    wandb.teardown()
