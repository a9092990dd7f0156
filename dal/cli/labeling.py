"""What a project remembers of its command lines, and what a step of it shows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from dal.errors import ConfigError

if TYPE_CHECKING:
    from dal.labeling.project import Step

# Keys that belong to one call.
FORGOTTEN = ("project", "labels", "more", "relabel")
MAX_ROUNDS = 10  # that a terminal shows; project.csv has all
PATHS = ("data.path", "ids", "cache_dir", "backbone.weights")


def with_remembered(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line, after those that its project remembers.

    Args:
        arguments: Of ``python -m dal.query``.

    Raises:
        ConfigError: If there is no such project, and nothing to begin it with.
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
    if "project" not in given or not given["project"].partition("=")[2]:
        raise ConfigError("Expected a project, got none. Name its folder with project=DIR.")
    folder = ProjectFolder(given["project"].partition("=")[2])
    if not folder.exists and "data" not in given:
        raise ConfigError(
            f"Found no project in {folder.path}. Begin it with its data, for example "
            f"data=imagefolder data.path=DIR, or correct project=DIR."
        )
    known = [line for line in folder.settings.get("overrides", []) if _key(line) not in given]
    # Among the overrides: Hydra's flags come before or after them, with their values.
    first = next(place for place, argument in enumerate(arguments) if argument in given.values())
    return [*arguments[:first], *known, *arguments[first:]]


def remembered(overrides: Sequence[str]) -> list[str]:
    """The overrides that later calls need not repeat, with absolute paths."""
    kept = []
    for override in overrides:
        key, _, value = override.partition("=")
        if _key(override) in FORGOTTEN:
            continue
        if _key(override) in PATHS and value and value != "null":
            value = str(Path(value).expanduser().absolute())
        kept.append(f"{key}={value}")
    return kept


def reads_labels_unasked(data: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Whether ``data`` names a column of labels that nobody has asked for.

    A dataset of the user's own may have none. Those of the hub keep theirs: with it, features that
    an experiment has computed are found again.

    Args:
        data: The group of the configuration.
        overrides: Of the command line, those that the project remembers among them.
    """
    is_own = "label_column" in data and data["id"] is None
    return is_own and all(_key(override) != "data.label_column" for override in overrides)


def made_from(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What the features of a project depend on, in plain values by dotted key."""
    flat = {}
    for group in ("data", "backbone"):
        for key, value in _flat(resolved[group], f"{group}."):
            is_path = key in PATHS and isinstance(value, str)
            flat[key] = str(Path(value).expanduser().absolute()) if is_path else value
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
        table.add_column(name, justify="left" if name == "by" else "right", no_wrap=True)
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
    return f"{row['audit_accuracy']:.1%} ({row['audit_low']:.0%}–{row['audit_high']:.0%})"


def _next(step: "Step", project: Path) -> list[str]:
    lines = []
    if step.round is not None and step.num_waiting:
        handed = "Handed out" if step.is_new else "Nothing new since"
        lines.append(
            f"{handed} {project / step.round.name}: open page.html, fill in to_label.csv, or "
            "import label_studio.json."
        )
        lines.append(
            f"Then: python -m dal.query project={project} "
            f"labels={project / step.round.name / 'to_label.csv'}"
        )
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
