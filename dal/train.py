"""``python -m dal.train``: active learning from a configuration, a learning curve for each job."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from dal.cli import command, config, config_errors, summary, terminal, variants
from dal.cli.series import Series
from dal.errors import ConfigError
from dal.runtime import garbage

if TYPE_CHECKING:
    from dal.data import ALDataModule
    from dal.experiment.curve import LearningCurve

config.register()


def title(cfg: DictConfig) -> str:
    """The name of a run in messages."""
    variant = variants.variant(cfg)
    return f"{cfg.name} {cfg.strategy_name} seed {cfg.seed}" + (f", {variant}" if variant else "")


def train(cfg: DictConfig, console: Console) -> "LearningCurve":
    """Runs or resumes the run that a composed configuration describes, and shows its progress.

    Raises:
        DalError: If the configuration, the data or the run directory is not as expected.
    """
    # Here and not above: they take seconds to load, and `--help` needs none of them.
    with garbage.modules_spared():
        from dal.cli.console import ExtractionProgress, LiveProgress
        from dal.data import Embedded
        from dal.experiment.cycle import check_optimizer
        from dal.experiment.loop import ALLoop
        from dal.experiment.record import RunDirectory
        from dal.runtime import trainers

    resolved: dict[str, Any] = OmegaConf.to_container(  # type: ignore[assignment]
        cfg, resolve=True, throw_on_missing=True
    )
    config_errors.check_keys(resolved)
    parts = {
        key: instantiate(cfg[key], _convert_="all")
        for key in ("head", "strategy", "trainer", "logger")
    }
    init = config.initial(cfg)
    trainers.check_fit_ends(trainers.build(parts["trainer"]))
    check_optimizer(parts["head"])
    datamodule = config.datamodule(cfg, parts["trainer"])
    live = LiveProgress(console, title(cfg), cfg.al.num_acq + 1, Series.current())
    datamodule.listener = live.pool
    if isinstance(datamodule.source, Embedded):
        datamodule.source.extractor.listener = ExtractionProgress(live.console, live.progress)
    loop = ALLoop(
        datamodule,
        parts["head"],
        parts["strategy"],
        **{**cfg.al, "init": init},
        seed=cfg.seed,
        eval_split=cfg.eval_split,
        trainer=parts["trainer"],
        callbacks=[live],
        trackers=[parts["logger"]] if parts["logger"] else [],
        record=RunDirectory(
            cfg.run_dir,
            resolved,
            overwrite=cfg.overwrite,
        ),
        title=title(cfg),
    )
    if isinstance(datamodule.source, Embedded):
        datamodule.source.check_labels = loop.check_labels
    if loop.processes.num > 1 and HydraConfig.get().mode is RunMode.MULTIRUN:
        raise ConfigError(
            "Expected one device with -m, or one run with several: every process would start the "
            "whole series. Run them one by one, or with trainer.devices=1."
        )
    console.quiet = console.quiet or not loop.processes.is_first
    if loop.processes.num > 1 and not parts["strategy"].is_shared:
        console.print(
            f"{cfg.strategy_name} selects from all rows in each of {loop.processes.num} processes: "
            "it does not share them.",
            soft_wrap=True,
        )
    with live:
        num_before = None
        for result in loop.cycles():
            if num_before is None:
                num_before = len(loop.curve.results) - 1
                if datamodule.pool.scale != 1:
                    live.console.print(_scaling(datamodule), soft_wrap=True)
                if num_before:
                    live.resumed(loop.curve.results[:-1])
            live.cycle_finished(result)
    if num_before is None:
        console.print(
            f"{title(cfg)} is complete already; overwrite=true would run it again.", soft_wrap=True
        )
    return loop.curve


def _scaling(datamodule: "ALDataModule") -> str:
    return (
        f"Features have a mean norm of {datamodule.mean_norm:.4g} and are multiplied by "
        f"{datamodule.pool.scale:.4g} (data.scale={datamodule.scale}; with none they are not)."
    )


def job(cfg: DictConfig) -> float | None:
    """One job as Hydra's launchers take it; its value is the AUC, for sweepers that optimize it."""
    return command.run_job(cfg, "config", title, _train_and_show)


def _train_and_show(cfg: DictConfig) -> float:
    console = terminal.console()
    series = Series.current()
    is_first = series is None or (series.is_here and HydraConfig.get().job.num == 0)
    if is_first and terminal.is_first_process():
        # At once, before the seconds that it takes to load what computes.
        console.print(f"{title(cfg)} in {cfg.run_dir}", soft_wrap=True)
    if series is not None and not series.is_here:
        console.quiet = terminal.is_live(console)  # the command's own bar is there
    curve = train(cfg, console)
    if series is None:
        console.print(summary.run_summary(curve, str(Path(cfg.run_dir))), soft_wrap=True)
    return curve.auc


def main() -> None:
    """The command. Exits with 0 if every job succeeded, with 1 if not, else as ``command.run``."""
    outcome = command.run("config", job)
    if outcome.succeeded:
        terminal.console().print(
            summary.series_summary(outcome.succeeded, outcome.best), soft_wrap=True
        )
    outcome.end_process()


if __name__ == "__main__":
    from dal import train as module

    module.main()  # not as __main__, whose functions other processes could not import
