"""The command line of the benchmarks."""

import argparse
import json
from pathlib import Path

from rich.console import Console

import dal.bench
from dal.bench import extract, extract_texts, fit, select
from dal.errors import DalError
from dal.runtime import waiting


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m dal.bench", description=dal.bench.__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    for module in (fit, select, extract, extract_texts):
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", type=Path, default=None, help="file for all figures")
        command.set_defaults(run=module.run)
    return root


def main() -> None:
    """The command."""
    waiting.wait_briefly()  # as dal.train does
    root = parser()
    args = root.parse_args()
    try:
        figures = args.run(args, Console(highlight=False))
    except DalError as error:
        root.error(str(error))
    if args.json is not None:
        try:
            args.json.write_text(json.dumps(figures, indent=2) + "\n")
        except OSError as error:
            root.error(f"Cannot write {args.json}: {error.strerror}.")


if __name__ == "__main__":
    main()
