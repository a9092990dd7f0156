"""``dal``, or ``python -m dal``: one command for all the others."""

import runpy
import sys

from dal import __version__
from dal.cli.commands import COMMANDS
from dal.errors import did_you_mean

HEADER = """\
Deep active learning on frozen features: which items to label next.

Usage: dal COMMAND ...    (the same as python -m dal.COMMAND ...)
"""

FOOTER = """\
dal COMMAND --help        says more about one of them
dal --version             shows the version
"""


def help_text() -> str:
    """What ``dal --help`` shows: a line and an example for each command."""
    width = max(map(len, COMMANDS)) + 2
    lines = []
    for name, command in COMMANDS.items():
        lines += [f"  {name:{width}}{command.summary}", f"  {'':{width}}$ {command.example}", ""]
    return "\n".join([HEADER, *lines, FOOTER])


def main() -> None:
    """The command: runs the one that is named first, as ``python -m`` would."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name == "help":  # `dal help train` is `dal train --help`
        name, arguments = (arguments[0], ["--help"]) if arguments else ("--help", [])
    if name in ("--help", "-h"):
        print(help_text(), end="")
    elif name == "--version":
        print(f"dal {__version__}")
    elif name in COMMANDS:
        sys.argv[1:] = arguments
        # As the main module, which is what Lightning starts again for each further device.
        runpy.run_module(f"dal.{name}", run_name="__main__", alter_sys=True)
    else:
        print(
            f"Error: Unknown command '{name}'. {did_you_mean(name, COMMANDS)} "
            "`dal --help` shows what each one does.",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
