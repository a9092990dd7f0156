"""``python -m dal.query``: the next items for people to label, and how far the labeling is."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from dal.cli import command, config, config_errors, labeling, terminal
from dal.errors import ConfigError, DalError
from dal.runtime import garbage

if TYPE_CHECKING:
    from dal.labeling.project import Step

config.register()


def query(cfg: DictConfig, console: Console) -> "Step":
    """Takes one step of the project that a composed configuration describes.

    Raises:
        DalError: If the configuration, the items, the answers or the project are not as expected.
    """
    # Here and not above: they take seconds to load, and `--help` needs none of them.
    with garbage.modules_spared():
        from dal.cli.console import ExtractionProgress, PoolProgress, bars
        from dal.data import Embedded
        from dal.labeling.project import Project

    if "splits" in cfg.data:
        cfg.data.splits.test = None  # all items are the pool
    if cfg.ids is not None:
        if "ids" not in cfg.data:
            raise ConfigError(
                "Expected `ids` with data=arrays alone, got it with other data, whose items have "
                "ids already. Leave it out."
            )
        cfg.data.ids = cfg.ids
    if "partly_labeled" in cfg.data:
        cfg.data.partly_labeled = True
    overrides = HydraConfig.get().overrides.task
    if labeling.reads_labels_unasked(cfg.data, overrides):
        cfg.data.label_column = None
    resolved: dict[str, Any] = OmegaConf.to_container(  # type: ignore[assignment]
        cfg, resolve=True, throw_on_missing=True
    )
    config_errors.check_keys(resolved, config.QueryRoot)
    trainer = instantiate(cfg.trainer, _convert_="all")
    source = config.source(cfg, trainer)
    project = Project(
        cfg.project,
        source,
        instantiate(cfg.head, _convert_="all"),
        trainer,
        batch_size=cfg.batch_size,
        scale=cfg.scale,
        in_memory=cfg.in_memory,
        seed=cfg.seed,
        copies=cfg.copies,
        made_from=labeling.made_from(resolved),
        settings={"overrides": labeling.remembered(overrides)},
    )
    with bars(console) as progress:
        if isinstance(source, Embedded):
            source.extractor.listener = ExtractionProgress(console, progress)
        task = progress.add_task("selecting", total=None, note="", visible=False)
        project.listener = PoolProgress(console, progress, task)
        return project.advance(
            cfg.num,
            cfg.labels,
            cfg.audit,
            instantiate(cfg.strategy, _convert_="all") if cfg.strategy else None,
            more=cfg.more,
            relabel=cfg.relabel,
            columns=(cfg.id_column, cfg.label_column),
        )


def title(cfg: DictConfig) -> str:
    """The name of a step in messages."""
    return f"project {cfg.project}"


def job(cfg: DictConfig) -> None:
    """One job as Hydra's launchers take it."""
    command.run_job(cfg, "query", title, _query_and_show)


def _query_and_show(cfg: DictConfig) -> None:
    console = terminal.console()
    step = query(cfg, console)
    for part in labeling.summary(step, Path(cfg.project)):
        console.print(part, soft_wrap=True)


def main() -> None:
    """The command: exits with 0 if the step is done."""
    try:
        sys.argv[1:] = labeling.with_remembered(sys.argv[1:])
    except DalError as error:
        command.print_error(str(error))
        sys.exit(1)
    command.run("query", job).end_process()


if __name__ == "__main__":
    from dal import query as module

    module.main()  # not as __main__, whose functions other processes could not import
