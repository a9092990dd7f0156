"""``python -m dal.extract``: computes the features of items once, and keeps them in the cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from dal.cli import command, config, config_errors, terminal
from dal.errors import ConfigError
from dal.runtime import garbage

if TYPE_CHECKING:
    from dal.extraction.entry import Entry

config.register()


def extract(cfg: DictConfig, console: Console) -> dict[str, "Entry"]:
    """Computes the features that a composed configuration asks for, and copies them to ``out``.

    Returns:
        The entries of the cache, by ``"train"`` and ``"test"``.

    Raises:
        DalError: If the configuration, the items, the weights or the cache are not as expected.
    """
    # Imported here, because they take seconds to load, and `--help` needs none of them.
    with garbage.modules_spared():
        from dal.cli.console import ExtractionProgress, bars
        from dal.data import Embedded
        from dal.extraction import exports
        from dal.runtime import trainers
        from dal.runtime.processes import Processes

    for key in ("data", "backbone", "extraction", "trainer"):
        OmegaConf.to_container(cfg[key], throw_on_missing=True)
    resolved: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    config_errors.check_keys(resolved, config.ExtractRoot)
    trainer = instantiate(cfg.trainer, _convert_="all")
    source = config.source(cfg, trainer)
    if not isinstance(source, Embedded):
        raise ConfigError(
            f"Expected `data` to be items that a network reads, got {type(source).__name__}, which "
            "has features already. Choose for example data=imagefolder data.path=DIR."
        )
    console.quiet = not Processes(trainers.build(trainer)).is_first
    out = None if cfg.out is None else exports.folder(cfg.out)
    with bars(console) as progress:
        source.extractor.listener = ExtractionProgress(console, progress)
        entries = source.entries(optional=("test",))
    for entry in entries.values():
        entry.check()
    if out is not None and not console.quiet:
        exports.write(entries, out)
    for key, entry in entries.items():
        shape = " × ".join(f"{size:,}" for size in entry.manifest["shape"])
        console.print(
            f"{key}: {shape} {entry.manifest['dtype']} in {out or entry.path}", soft_wrap=True
        )
    return entries


_written: set[Path] = set()  # what jobs of this process have used as `out`


def title(cfg: DictConfig) -> str:
    """The name of an extraction in messages."""
    return f"the extraction for {cfg.name}"


def job(cfg: DictConfig) -> None:
    """One job as Hydra's launchers take it."""
    command.run_job(cfg, "extract", title, _extract_here)


def _extract_here(cfg: DictConfig) -> None:
    if cfg.out is not None:
        out = Path(cfg.out).expanduser().absolute()
        if out in _written:
            raise ConfigError(
                f"Expected a folder of its own for each job, got out={cfg.out} again. Put what "
                "varies into its name, for example out=features/${extraction.dtype}."
            )
        _written.add(out)
    extract(cfg, terminal.console())


def main() -> None:
    """The command: exits with 0 if the features are there, with 1 if they are not."""
    _written.clear()
    command.run("extract", job).end_process()


if __name__ == "__main__":
    from dal import extract as module

    module.main()  # not as __main__, whose functions other processes could not import
