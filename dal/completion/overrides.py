"""Completion for the commands that Hydra configures: groups, their options, keys and values."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dal.cli import config
from dal.cli.overrides import quote_unreadable
from dal.cli.series import first_value
from dal.completion.candidate import Candidate, files

FLAGS = {
    "--help": "groups, common overrides, all keys",
    "--version": "the version of dal",
    "--multirun": "every combination of values with commas between them",
    "--cfg": "prints the configuration and ends: job, hydra or all",
    "--config-dir": "a folder with your own YAML files",
    "--hydra-help": "all other flags",
}
CFG = ("job", "hydra", "all")  # values of --cfg

# Groups that are not part of a configuration unless they are added.
ADDED_GROUPS = {"config": ("experiment",), "extract": ("experiment",), "query": ()}

# Values that keys may have, beside the present one.
VALUES = {
    "al.init": ("random", "class_balanced", "typiclust"),
    "eval_split": ("test", "dev"),
    "logger.mode": ("online", "offline", "disabled"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "mps"),
    "extraction.dtype": ("float16", "float32"),
}
FOLDERS = ("project", "output_root", "cache_dir", "out", "backbone.weights")
PATHS = ("labels", "ids", "data.path", "data.ids", *FOLDERS)
PATH_STARTS = ("~", "/", "./", "../")  # of values that can only be paths


def candidates(config_name: str, words: Sequence[str]) -> Iterator[Candidate]:
    """What may stand in the place of the last word; some of it may not begin like it.

    Args:
        config_name: The file in ``conf`` that the configuration starts from.
        words: Those behind the command's name, at least one.
    """
    *before, word = words
    last = before[-1] if before else ""
    if last in ("--config-dir", "-cd"):
        yield from files(word, only_folders=True)
    elif last in ("--cfg", "-c"):
        yield from map(Candidate, CFG)
    elif word.startswith("-"):
        yield from (Candidate(*flag) for flag in FLAGS.items() if flag[0] not in before)
    else:
        config.register()
        with initialize_config_dir(str(config.folder()), version_base="1.3"):
            yield from _overrides(config_name, before, word)


def _overrides(config_name: str, before: Sequence[str], word: str) -> Iterator[Candidate]:
    own = [f"'file://{Path(each).expanduser().absolute()}'" for each in _own_folders(before)]
    search_path = [f"hydra.searchpath=[{','.join(own)}]"] if own else []
    key, sign, value = word.partition("=")
    name = key.lstrip("+~")
    options: Sequence[str] = ()
    if sign and "." not in name:  # of a group; to compose would take longer than to list them
        loader = GlobalHydra.instance().config_loader()
        options = loader.get_group_options(name, ObjectType.CONFIG, config_name, search_path)
    if options:
        start = word[: max(word.rfind(","), word.index("=")) + 1]
        yield from (Candidate(f"{start}{option}") for option in options)
        return
    values, groups = _composed(config_name, search_path, before)
    if sign:
        yield from _values(values, key, value)
    else:
        yield from _keys(values, groups, word, ADDED_GROUPS[config_name])


def _composed(
    config_name: str, search_path: Sequence[str], words: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Keys, with interpolations as they are written, and the groups of which one is chosen."""
    given = [
        first_value(word)
        for word in quote_unreadable(words)
        if "=" in word and not word.startswith("-")
    ]
    # Half of a command line may be wrong still: then its choices of groups, or the defaults.
    choices = [word for word in given if "." not in word.partition("=")[0]]
    for overrides in (given, choices, []):
        with suppress(HydraException, OmegaConfBaseException):
            composed = compose(config_name, [*search_path, *overrides], return_hydra_config=True)
            values = OmegaConf.to_container(composed, resolve=False)
            return cast("dict[str, Any]", values), list(composed.hydra.runtime.choices)
    return {}, []


def _own_folders(words: Sequence[str]) -> list[str]:
    """The values of ``--config-dir``."""
    separate = [value for flag, value in pairwise(words) if flag in ("--config-dir", "-cd")]
    joined = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    return [*separate, *joined]


def _keys(
    values: Mapping[str, Any], groups: Sequence[str], word: str, added: Sequence[str]
) -> Iterator[Candidate]:
    """Groups and keys, with the sign that is there before them."""
    key = word.lstrip("+~")
    sign = word[: len(word) - len(key)]
    end = "" if sign == "~" else "="
    # Hydra's own keys, of which there are many, once they are asked for.
    is_hydra = key.startswith("hydra")
    if sign in ("", "+"):
        yield from (Candidate(f"+{group}=") for group in added)
    if sign != "+":
        for group in groups:
            if group.startswith("hydra/") is is_hydra:
                yield Candidate(f"{sign}{group}{end}")
        yield from _keys_below(values, key, sign, end, is_hydra=is_hydra)


def _keys_below(
    values: Mapping[str, Any], key: str, sign: str, end: str, *, is_hydra: bool
) -> Iterator[Candidate]:
    parent = key.rpartition(".")[0]
    node = _select(values, parent)
    if not isinstance(node, Mapping):
        return
    start = f"{sign}{parent}{'.' if parent else ''}"
    for name, value in node.items():
        is_own = parent or (name == "hydra") is is_hydra
        if is_own and not str(name).startswith("_"):
            is_container = isinstance(value, dict) and value
            yield Candidate(f"{start}{name}{'.' if is_container else end}")


def _values(values: Mapping[str, Any], key: str, value: str) -> Iterator[Candidate]:
    """What may stand behind the sign of equality, for the last of several values."""
    name = key.lstrip("+~")
    before, comma, last = value.rpartition(",")
    start = f"{key}={before}{comma}"
    if name in PATHS or last.startswith(PATH_STARTS):
        yield from files(last, start, only_folders=name in FOLDERS)
        return
    present = _select(values, name)
    if isinstance(present, bool):
        yield from (Candidate(f"{start}{each}") for each in ("true", "false"))
    elif not isinstance(present, dict | list) and not comma:
        shown = "null" if present is None else str(present)
        if not {*shown} & {*"$?{ "}:  # an interpolation, or a value that has to be given
            yield Candidate(f"{start}{shown}", "present value")
    yield from (Candidate(f"{start}{each}") for each in VALUES.get(name, ()))


def _select(values: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; a text that cannot be a value if there is none."""
    node: Any = values
    for part in filter(None, key.split(".")):
        if not isinstance(node, Mapping) or part not in node:
            return "???"
        node = node[part]
    return node
