"""``python -m dal.extract``: computes the features of items once, and keeps them in the cache."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from dal.cli import command, config, config_errors, terminal
from dal.errors import ConfigError, DataError
from dal.runtime import files

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
    from dal.cli.console import ExtractionProgress, bars
    from dal.data import Embedded
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
    wanted = source.items.available_splits()
    console.quiet = not Processes(trainers.build(trainer)).is_first
    out = None if cfg.out is None else _make_folder(Path(cfg.out))
    entries = {}
    with bars(console) as progress:
        source.extractor.listener = ExtractionProgress(console, progress)
        for key, name in wanted.items():
            entries[key] = source.entry(name)
            features, _ = entries[key].load()
            if out is not None and not console.quiet:
                _copy(entries[key], out, key)
            shape = " × ".join(f"{size:,}" for size in features.shape)
            console.print(
                f"{key}: {shape} {entries[key].manifest['dtype']} in {out or entries[key].path}",
                soft_wrap=True,
            )
    return entries


def _make_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"Cannot use `out`: cannot make {out} ({error.strerror}). Choose another folder."
        ) from error
    return out


def _copy(entry: "Entry", out: Path, split: str) -> None:
    """Copies the files of an entry under the names that ``data=arrays`` reads."""
    for name in entry.manifest["files"]:
        target = out / f"{split}_{name}"
        try:
            with files.replacement(target) as draft:
                shutil.copyfile(entry.path / name, draft)
        except OSError as error:
            raise DataError(
                f"Cannot write {target}: {error.strerror}. The features are in the cache: make "
                "room or choose another `out`, and run the same command again."
            ) from error


def title(cfg: DictConfig) -> str:
    """The name of an extraction in messages."""
    return f"the extraction for {cfg.name}"


def job(cfg: DictConfig) -> None:
    """One job as Hydra's launchers take it."""
    command.run_job(cfg, "extract", title, _extract_here)


def _extract_here(cfg: DictConfig) -> None:
    extract(cfg, terminal.console())


def main() -> None:
    """The command: exits with 0 if the features are there, with 1 if they are not."""
    command.run("extract", job).end_process()


if __name__ == "__main__":
    from dal import extract as module

    module.main()  # not as __main__, whose functions other processes could not import
