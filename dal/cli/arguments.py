"""Running a command whose arguments argparse reads."""

import argparse
from collections.abc import Callable

from rich.console import Console

from dal.cli import terminal
from dal.errors import DalError


def run(
    parser: argparse.ArgumentParser, job: Callable[[argparse.Namespace, Console], object]
) -> None:
    """Parses the command line and does the job; an error that a user can fix is one message.

    Args:
        parser: The command line.
        job: Takes the arguments and where to print.
    """
    args = parser.parse_args()
    try:
        job(args, terminal.console())
    except DalError as error:
        parser.exit(1, f"Error: {error}\n")
