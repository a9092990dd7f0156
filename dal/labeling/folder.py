"""The files of a labeling project, each written atomically.

* ``project.yaml``: what the project is made from, and the settings that later calls need not
  repeat.
* ``items.jsonl``: the id of every item that the data had at the last call, one in each line. Where
  row numbers are the ids, there is one line, ``{"num_rows": N}``.
* ``labels.csv``: ``id, label, source`` of every answer that was taken over, in that order. An empty
  label: the item was skipped, and is never shown again.
* ``round_001``, ``audit_001``, ...: what was handed out, one folder each. A folder appears when it
  is complete and never changes, apart from what people write into it. ``round.json`` in it says
  from what it was made.
* ``project.csv`` and ``progress.png``: the history, made from the other files.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dal.errors import RecordError
from dal.labeling import item_names
from dal.runtime import files, locks

SETTINGS, ITEMS, LABELS, HISTORY = "project.yaml", "items.jsonl", "labels.csv", "project.csv"
PICTURE = "progress.png"
RECORD, PREDICTIONS, HEAD = "round.json", "predictions.parquet", "head.safetensors"
LOCK = ".lock"
FORMAT = 1
LABEL_COLUMNS = ["id", "label", "source"]


class Taken(NamedTuple):
    """An answer that was taken over; a label of None is an item that was skipped."""

    id: str
    label: str | None
    source: str


@dataclass(frozen=True)
class Round:
    """What was handed out at once.

    Attributes:
        kind: ``"round"``, or ``"audit"`` for a part of the audit sample.
        number: From 1, of its kind.
        ids: The items, in order.
        inputs: A digest of what they were selected from: labels, items and settings.
        strategy: By what they were selected.
        derived: What the strategy computed for itself.
        measures: How far the project was, by name, as in a row of ``project.csv``.
    """

    kind: str
    number: int
    ids: list[str]
    inputs: str
    strategy: str
    derived: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.kind}_{self.number:03d}"


class ProjectFolder:
    """The files of a project; read when they are first asked for.

    Args:
        path: The folder. It is created by :meth:`hold`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    @property
    def exists(self) -> bool:
        """Whether a project has begun here."""
        return (self.path / SETTINGS).exists()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Creates and locks the folder while the body runs; removes it if no project has begun.

        Raises:
            RecordError: If it cannot be written to, holds something else, or another process is at
                work in it.
        """
        try:
            self._check_place()
            created = files.make_folders(self.path)
            with locks.hold(self.path / LOCK, "works on the same project", self._refuse):
                for draft in self.path.glob(".*.tmp"):
                    files.remove_quietly(draft)
                try:
                    yield
                finally:
                    if not self.exists:
                        files.remove_quietly(self.path / LOCK)
                        files.remove_empty(created)
        except OSError as error:
            raise self._explain(error) from error

    def _check_place(self) -> None:
        """Checks that there is a project, an empty folder or nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise RecordError(
                f"Expected `project` to be the folder of a project, got the file {self.path}. "
                "Choose another one with project=DIR."
            )
        visible = _visible(self.path) if self.path.is_dir() and not self.exists else []
        if visible:
            raise RecordError(
                f"Expected a project or an empty folder in {self.path}, found "
                f"{', '.join(visible[:3])} and no {SETTINGS}. Choose another folder with "
                "project=DIR."
            )

    def _explain(self, error: OSError) -> RecordError:
        """What to do about a file that cannot be written, or, outside of the project, read."""
        where, reason = Path(error.filename or self.path), error.strerror or error
        inside = where.absolute().is_relative_to(self.path.absolute())
        if not inside and where not in self.path.parents:
            return RecordError(f"Cannot read {where}: {reason}. Restore it, and run this again.")
        return RecordError(
            f"Cannot write {where}: {reason}. Make room or permit writing, or choose another "
            "folder with project=DIR, and run the same command again."
        )

    def _refuse(self, holder: str) -> None:
        raise RecordError(
            f"Another process is working on the project in {self.path}: {holder}. Wait for it."
        )

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the project is made from; empty if it has not begun.

        Raises:
            RecordError: If the file is damaged or of a later version.
        """
        file = self.path / SETTINGS
        if not file.exists():
            return {}
        try:
            settings = yaml.safe_load(file.read_text(encoding="utf-8"))
            version = settings["format"]
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            raise RecordError(f"{file} is damaged ({error}). Restore it.") from error
        if version != FORMAT:
            raise RecordError(
                f"{file} is of format {version}, and this version of dal reads {FORMAT}. Use the "
                "version that has written it."
            )
        return dict(settings)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Records what the project is made from."""
        text = yaml.safe_dump({"format": FORMAT, **settings}, sort_keys=False, allow_unicode=True)
        self._write(SETTINGS, text)
        self.__dict__.pop("settings", None)

    def ids(self) -> Sequence[str]:
        """The items of the last call; empty before the first one.

        Raises:
            RecordError: If the file is damaged.
        """
        file = self.path / ITEMS
        if not file.exists():
            return []
        try:
            return item_names.from_text(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"{file} is damaged ({error}). Restore it.") from error

    def write_ids(self, ids: Sequence[str]) -> None:
        """Records which items there are."""
        self._write(ITEMS, item_names.to_text(ids))

    @cached_property
    def taken(self) -> list[Taken]:
        """The answers that were taken over, in order.

        Raises:
            RecordError: If the file is damaged.
        """
        file = self.path / LABELS
        if not file.exists():
            return []
        with file.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        if header != LABEL_COLUMNS or any(len(row) != len(header) for row in rows):
            raise RecordError(f"{file} is damaged. Restore it: it is written by dal.query alone.")
        return [Taken(name, label or None, source) for name, label, source in rows]

    def take(self, taken: Sequence[Taken]) -> None:
        """Records all answers, those of earlier calls among them."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(LABEL_COLUMNS)
        writer.writerows([answer.id, answer.label or "", answer.source] for answer in taken)
        self._write(LABELS, text.getvalue())
        self.__dict__.pop("taken", None)

    @cached_property
    def rounds(self) -> list[Round]:
        """Everything that was handed out, in order of kind and number.

        Raises:
            RecordError: If a record is damaged.
        """
        found = []
        for file in sorted(self.path.glob(f"*/{RECORD}")):
            if not re.fullmatch(r"(round|audit)_\d{3,}", file.parent.name):
                continue
            try:
                found.append(Round(**json.loads(file.read_text(encoding="utf-8"))))
            except (OSError, ValueError, TypeError) as error:
                raise RecordError(f"{file} is damaged ({error}). Restore it.") from error
        return sorted(found, key=lambda known: (known.kind, known.number))

    def of_kind(self, kind: str) -> list[Round]:
        """The rounds, or the parts of the audit sample, in order."""
        return [known for known in self.rounds if known.kind == kind]

    @contextmanager
    def new_round(self, new: Round) -> Iterator[Path]:
        """A folder to write a round's files to, which appears when the body has ended.

        Raises:
            OSError: If it cannot be written.
        """
        with files.replacement(self.path / new.name) as draft:
            draft.mkdir()
            (draft / RECORD).write_text(
                json.dumps(asdict(new), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            yield draft
        self.__dict__.pop("rounds", None)

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Records the history, one row for each round."""
        if not rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write(HISTORY, text.getvalue())

    def write_picture(self, png: bytes) -> None:
        """Records the history as a picture."""
        self._write(PICTURE, png)

    def _write(self, name: str, content: str | bytes) -> None:
        file = self.path / name
        new = content.encode() if isinstance(content, str) else content
        if not file.exists() or file.read_bytes() != new:
            files.write_atomically(file, new)


def _visible(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
