"""The command line of the feature cache."""

import argparse
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dal.cli import arguments
from dal.errors import ConfigError

if TYPE_CHECKING:
    from dal.extraction.inventory import Stored

CLEANABLE = ("drafts", "replaced", "archives", "all")

EPILOG = """\
what --clean removes:
  drafts      extractions that were not finished; none may be running
  replaced    features of images or weights that have changed since
  archives    unpacked archives of the hub; they are unpacked again when they are needed
  all         everything

examples:
  python -m dal.cache
  python -m dal.cache --clean drafts replaced --dry-run
  python -m dal.cache --remove 05e8fd59
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="python -m dal.cache",
        description="Lists what is in the feature cache, and removes what is not needed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="the cache (default: $DAL_CACHE, or the user's cache folder)",
    )
    command.add_argument(
        "--remove",
        nargs="+",
        default=[],
        metavar="ID",
        help="the starts of the ids to remove",
    )
    command.add_argument(
        "--clean", nargs="+", default=[], choices=CLEANABLE, help="what to remove, by kind"
    )
    command.add_argument("--dry-run", action="store_true", help="only shows what would be removed")
    return command


def chosen(stored: Sequence["Stored"], ids: Sequence[str], kinds: Sequence[str]) -> list["Stored"]:
    """What is to be removed.

    Args:
        stored: Everything in the cache.
        ids: The starts of some ids.
        kinds: Some of ``CLEANABLE``.

    Raises:
        ConfigError: If an id is that of nothing, or of several things.
    """
    paths: set[Path] = set()
    for start in ids:
        same = [item for item in stored if item.id.startswith(start)]
        if len(same) != 1:
            found = "none" if not same else f"{len(same)}: {', '.join(item.id for item in same)}"
            raise ConfigError(f"Expected one id that starts with '{start}', found {found}.")
        paths.add(same[0].path)
    for item in stored:
        kind = "replaced" if not item.is_found else f"{item.kind}s"
        if "all" in kinds or kind in kinds:
            paths.add(item.path)
    return [item for item in stored if item.path in paths]


def run(args: argparse.Namespace, console: Console) -> None:
    """Lists, or removes what was asked for.

    Raises:
        DalError: If an id is not known, or something cannot be removed.
    """
    from dal.extraction import inventory
    from dal.extraction.cache import FeatureCache

    cache = FeatureCache(args.cache_dir)
    stored = inventory.listed(cache)
    if not args.remove and not args.clean:
        _show(stored, console)
        total = _bytes(sum(item.num_bytes for item in stored))
        console.print(f"{total} in {cache.path}", soft_wrap=True)
        return
    doomed = chosen(stored, args.remove, args.clean)
    _show(doomed, console)
    total = _bytes(sum(item.num_bytes for item in doomed))
    if args.dry_run:
        console.print(f"{total} would be removed from {cache.path}", soft_wrap=True)
        return
    inventory.remove(cache, doomed)
    console.print(f"{total} removed from {cache.path}", soft_wrap=True)


def _show(stored: Sequence["Stored"], console: Console) -> None:
    if not stored:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("rows", "size", "age"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for item in stored:
        table.add_row(
            item.id[:8] if item.kind != "archive" else item.id,
            item.kind if item.is_found else "replaced",
            "" if item.num_rows is None else f"{item.num_rows:,}",
            _bytes(item.num_bytes),
            _age(item.age_seconds),
            item.what,
        )
    console.print(table)


def _bytes(num: float) -> str:
    """A size in the largest unit that leaves at least 1.

    Example:
        >>> _bytes(20), _bytes(1_300_000)
        ('20 B', '1.2 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num < 1024:
            return f"{num:.0f} B" if unit == "B" else f"{num:.1f} {unit}"
        num /= 1024
    return f"{num:.1f} TiB"


def _age(seconds: float) -> str:
    """An age in days, or in hours and minutes within the first day.

    Example:
        >>> _age(90), _age(200_000)
        ('0:01', '2 days')
    """
    age = timedelta(seconds=seconds)
    if age.days:
        return f"{age.days:,} {'day' if age.days == 1 else 'days'}"
    return str(age).rpartition(":")[0]


def main() -> None:
    """The command."""
    arguments.run(parser(), run)


if __name__ == "__main__":
    main()
