"""The command line of the completion: the scripts, and the questions that they ask."""

import argparse
import importlib
import re
from collections.abc import Sequence
from pathlib import Path

from dal.cli.commands import COMMANDS
from dal.completion import arguments
from dal.completion import line as lines
from dal.completion.candidate import Candidate, matching

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\
to have it in every new shell:
  bash    echo 'eval "$(dal completion bash)"' >> ~/.bashrc
  zsh     echo 'eval "$(dal completion zsh)"' >> ~/.zshrc
  fish    dal completion fish > ~/.config/fish/completions/dal.fish

then, for example:
  dal train strategy=bait_b<TAB>    +experiment=im<TAB>    data.<TAB>
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="dal completion",
        description="Prints a script that completes `dal` by the Tab key: commands, options, and "
        "groups, keys and values of the configuration.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=SHELLS, help="which one")
    # What the scripts call.
    command.add_argument("--complete", metavar="LINE", help=argparse.SUPPRESS)
    command.add_argument("--breaks", default="", help=argparse.SUPPRESS)
    return command


def complete(words: Sequence[str]) -> list[Candidate]:
    """What the last word may be completed to.

    Args:
        words: Of the command line, ``dal`` first.

    Example:
        >>> [candidate.word for candidate in complete(["dal", "tr"])]
        ['train']
    """
    _, *before, word = words
    if not before or before == ["help"]:
        named = [Candidate(name, command.summary) for name, command in COMMANDS.items()]
        flags = [Candidate("--help", "all commands"), Candidate("--version", "the version of dal")]
        return matching([*named, *(flags if word.startswith("-") else [])], word)
    name, *before = before
    command = COMMANDS.get(name)
    if command is None:
        return []
    if command.config is None:
        module = importlib.import_module(f"dal.{name}.__main__")
        return matching(arguments.candidates(module.parser(), [*before, word]), word)
    from dal.completion import overrides  # Hydra takes a moment, and the others need none

    return matching(overrides.candidates(command.config, [*before, word]), word)


def for_bash(candidate: Candidate, line: lines.Line, breaks: str) -> str:
    r"""A candidate as bash takes it: the part behind the last break, quoted, with a space.

    Args:
        candidate: The whole word.
        line: The command line.
        breaks: ``$COMP_WORDBREAKS``: where bash begins another word within what is one here.

    Example:
        >>> for_bash(Candidate("strategy=bait"), lines.split("dal train strategy=b"), "=: ")
        'bait '
        >>> for_bash(Candidate("data.path=my photos/"), lines.split("dal train data.p"), "=: ")
        'data.path=my\\ photos/'
        >>> for_bash(Candidate("data.path=my photos/"), lines.split("dal train data.path='my"), "=")
        'my photos/'
    """
    typed = line.words[-1]
    if line.quote:
        return candidate.word[line.start :]
    start = max((typed.rfind(each) for each in breaks if each in "=:"), default=-1) + 1
    escaped = re.sub(r"([^\w~+\-./=:,@%\u0080-\U0010ffff])", r"\\\1", candidate.word[start:])
    return escaped + ("" if candidate.is_open else " ")


def answer(shell: str, text: str, breaks: str) -> list[str]:
    """The lines that a shell's script reads: for bash words, for others with what they are.

    Args:
        shell: One of ``SHELLS``.
        text: The command line up to the cursor.
        breaks: Of bash.
    """
    line = lines.split(text)
    if len(line.words) < 2:
        return []
    found = [each for each in complete(line.words) if each.word.isprintable()]
    if shell == "bash":
        return [for_bash(each, line, breaks) for each in found]
    return [f"{each.word}\t{each.about}" for each in found]


def main() -> None:
    """The command."""
    args = parser().parse_args()
    if args.complete is None:
        print(Path(__file__).with_name(f"dal.{args.shell}").read_text("utf-8"), end="")
    else:
        print(
            "".join(f"{each}\n" for each in answer(args.shell, args.complete, args.breaks)), end=""
        )


if __name__ == "__main__":
    main()
