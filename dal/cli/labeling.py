"""What a project remembers of its command lines, and what a step of it shows."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from rich.table import Table
from rich.text import Text

from dal.cli import overrides
from dal.errors import ConfigError

if TYPE_CHECKING:
    from dal.labeling.project import Step

# Keys that belong to one call.
FORGOTTEN = ("project", "labels", "more", "relabel")
MAX_ROUNDS = 10  # that a terminal shows; project.csv has all
PATHS = ("data.path", "data.ids", "ids", "cache_dir", "backbone.weights")


def with_remembered(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line, after those that its project remembers.

    Args:
        arguments: Of ``python -m dal.query``.

    Raises:
        ConfigError: If there is no such project and nothing to begin it with, or several runs are
            asked for.
        RecordError: If the project's settings are damaged.
    """
    from dal.labeling.folder import ProjectFolder

    given = {
        _key(argument): argument
        for argument in arguments
        if "=" in argument and not argument.startswith("-")
    }
    if any(argument.startswith("-") for argument in arguments) and "project" not in given:
        return list(arguments)  # such as --help
    if {*arguments} & {*overrides.MULTIRUN}:
        raise ConfigError("Expected one step of one project, got -m. Leave it out.")
    place = _value(given.get("project", ""))
    if not place:
        raise ConfigError("Expected a project, got none. Name its folder with project=DIR.")
    folder = ProjectFolder(place)
    if not folder.exists and "data" not in given:
        raise ConfigError(
            f"Found no project in {folder.path}. Begin it with its data, for example "
            f"data=imagefolder data.path=DIR, or correct project=DIR."
        )
    lines = {_key(line): line for line in folder.settings.get("overrides", [])}
    # The keys of a group mean nothing to another option of it.
    replaced = [
        key for key, line in given.items() if "." not in key and lines.get(key, line) != line
    ]
    others = tuple(f"{key}." for key in replaced)
    if "data" in replaced:
        lines.pop("ids", None)
    known = [line for key, line in lines.items() if key not in given and not key.startswith(others)]
    # Among the overrides: Hydra's flags come before or after them, with their values.
    first = next(place for place, argument in enumerate(arguments) if argument in given.values())
    return [*arguments[:first], *known, *arguments[first:]]


def remembered(given: Sequence[str]) -> list[str]:
    """The overrides that later calls need not repeat, with absolute paths."""
    kept = []
    for override in given:
        if _key(override) in FORGOTTEN:
            continue
        path = _value(override) if _key(override) in PATHS else None
        if path:
            line = f"{override.partition('=')[0]}={_absolute(path)}"
            kept += overrides.quote_unreadable([line])
        else:
            kept.append(override)
    return kept


def reads_labels_unasked(data: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Whether ``data`` names a column of labels that nobody has asked for.

    A dataset or a table of the user's own may have none. Those of the hub keep theirs: with it,
    features that an experiment has computed are found again.

    Args:
        data: The group of the configuration.
        overrides: Of the command line, those that the project remembers among them.
    """
    is_own = "label_column" in data and ("id" not in data or data["id"] is None)
    return is_own and all(_key(override) != "data.label_column" for override in overrides)


def made_from(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What the features of a project depend on, in plain values by dotted key."""
    flat = {}
    for group in ("data", "backbone"):
        for key, value in _flat(resolved[group], f"{group}."):
            is_path = key in PATHS and isinstance(value, str)
            flat[key] = _absolute(value) if is_path else value
    return flat


def summary(step: "Step", project: Path) -> list[Table | Text]:
    """How far the project is, and what to do next.

    Args:
        step: What a call has done.
        project: The folder.
    """
    parts: list[Table | Text] = []
    if step.num_taken:
        skipped = f", {step.num_skipped:,} of them skipped" if step.num_skipped else ""
        parts.append(Text(f"{step.num_taken:,} answers taken over{skipped}."))
    if step.history:
        parts.append(_history(step.history))
        parts += [Text(line) for line in _meanings(step.history)]
    parts += [Text(note) for note in step.notes]
    parts += [Text(line) for line in _next(step, project)]
    return parts


def _history(rows: Sequence[Mapping[str, Any]]) -> Table:
    # Short names: the table should fit a terminal of 80 columns.
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "round": lambda row: str(row["round"]),
        "by": lambda row: row["strategy"],
        "labels": lambda row: f"{row['num_labeled']:,}",
        "classes": lambda row: f"{row['num_classes']:,}",
        "cross-val.": lambda row: _percent(row["cross_validated_accuracy"]),
        "audit": _audit,
        "agrees": lambda row: _percent(row["agreement"]),
        "left": lambda row: f"{row['num_unlabeled']:,}",
    }
    table = Table(box=None, pad_edge=False)
    for name in columns:
        # Names give way, over several lines; numbers are whole.
        is_name = name == "by"
        table.add_column(
            name, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold"
        )
    for row in rows[-MAX_ROUNDS:]:
        table.add_row(*(show(row) for show in columns.values()))
    return table


def _meanings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    last = rows[-1]
    lines = []
    if last["cross_validated_accuracy"] is not None:
        lines.append(
            "cross-val.: accuracy by cross-validation on the labels, biased since these were "
            "selected."
        )
    if last["audit_accuracy"] is not None:
        lines.append(
            f"audit: accuracy on {last['num_audited']:,} random items, with a 95% interval; "
            "unbiased."
        )
    if last["agreement"] is not None:
        lines.append("agrees: predictions that are those of the round before.")
    return lines


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _audit(row: Mapping[str, Any]) -> str:
    if row["audit_accuracy"] is None:
        return "–"
    return (
        f"{row['audit_accuracy']:.1%} ({100 * row['audit_low']:.0f}–{100 * row['audit_high']:.0f})"
    )


def _next(step: "Step", project: Path) -> list[str]:
    lines = []
    if step.round is not None and step.num_waiting:
        handed = "Handed out" if step.is_new else "Nothing new since"
        lines.append(
            f"{handed} {project / step.round.name}: open page.html, fill in to_label.csv, or "
            "import label_studio.json."
        )
        words = [f"project={project}", f"labels={project / step.round.name / 'to_label.csv'}"]
        lines.append(f"Then: python -m dal.query {' '.join(map(shlex.quote, words))}")
    return lines


def _flat(value: Any, prefix: str) -> list[tuple[str, Any]]:
    found = []
    for key, part in value.items():
        if isinstance(part, Mapping):
            found += _flat(part, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", part))
    return found


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _value(override: str) -> str | None:
    """The text that an override gives; None if it is no text."""
    try:
        (readable,) = overrides.quote_unreadable([override])
        value = OverridesParser.create().parse_override(readable).value()
    except HydraException:
        return None
    return None if value is None else str(value)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
