"""Completion for the commands whose arguments argparse reads."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from dal.completion.candidate import Candidate, files

FILES = ("FILE", "DIR")  # names of values in the help of options that take paths


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[Candidate]:
    """What may stand in the place of the last word; some of it may not begin like it.

    Args:
        parser: That of the command.
        words: Those behind the command's name, at least one.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> _ = parser.add_argument("--kind", choices=["hot", "cold"], help="of which kind")
        >>> list(candidates(parser, ["--kind", "h"]))
        [Candidate(word='hot', about=''), Candidate(word='cold', about='')]
    """
    *before, word = words
    option: argparse.Action | None = None  # the one whose value is next
    options = _options(parser)
    for each in before:
        if each.startswith("-"):
            option = options.get(each)
            continue
        subparser = _subparsers(parser).get(each) if option is None else None
        if subparser is not None:
            parser, options = subparser, _options(subparser)
        elif option is not None and option.nargs not in ("+", "*"):
            option = None
    if word.startswith("-"):
        yield from (
            Candidate(name, _about(action, parser))
            for name, action in options.items()
            if name.startswith("--") and (name not in before or action.nargs in ("+", "*"))
        )
    elif option is not None and option.nargs != 0:
        yield from _values(option, word)
    else:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for choice in action._choices_actions:
                    yield Candidate(choice.dest, choice.help or "")
            elif not action.option_strings:
                yield from _values(action, word)


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for action in parser._actions for name in action.option_strings}


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: subparser
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, subparser in action.choices.items()
    }


def _values(action: argparse.Action, word: str) -> Iterator[Candidate]:
    if action.choices is not None:
        yield from (Candidate(str(choice)) for choice in action.choices)
    elif action.type is Path or action.metavar in FILES:
        yield from files(word, only_folders=action.metavar == "DIR")


def _about(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    return (action.help or "") % {**vars(action), "prog": parser.prog}
