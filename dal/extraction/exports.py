"""Copies of features in a folder of the user's, in the form that ``data=arrays`` reads."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dal.errors import ConfigError, DataError
from dal.extraction.entry import FEATURES, LABELS, Entry
from dal.runtime import files

RECORD = "extraction.json"  # says which files are ours, and what they are
CLASSES = "classes.txt"
NAMES = ("features.npy", "labels.npy", "ids.txt", "names.txt")  # after the split; the last is old


def folder(path: str) -> Path:
    """The folder to write to, made if need be; it is known at once whether that is possible.

    Raises:
        ConfigError: If the path is empty.
        DataError: If nothing can be written there.
    """
    if not str(path):
        raise ConfigError("Expected a folder as `out`, got an empty value.")
    out = Path(str(path)).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.write_atomically(out / ".dal_is_writable", "")
        (out / ".dal_is_writable").unlink()
    except OSError as error:
        raise DataError(
            f"Cannot use `out`: cannot write to {out} ({error.strerror}). Choose another folder."
        ) from error
    return out


def write(entries: Mapping[str, Entry], out: Path) -> None:
    r"""Writes features, labels and ids of each split, and the names of the classes.

    ``{split}_features.npy``, ``{split}_labels.npy``, ``{split}_ids.txt`` and ``classes.txt``.

    A line of the text files is a name in which line breaks and backslashes are escaped, as ``\n``
    and ``\\``. What an earlier extraction has written there is removed.

    Args:
        entries: The features of each split.
        out: The folder.

    Raises:
        DataError: If a file cannot be written, or another has the name of one.
    """
    wanted = {f"{key}_{FEATURES}" for key in entries}
    wanted |= {f"{key}_{LABELS}" for key in entries if LABELS in entries[key].manifest["files"]}
    ids = {f"{key}_ids.txt": names for key in entries if (names := entries[key].ids()) is not None}
    classes = next(iter(entries.values())).class_names
    texts = {**ids, **({} if classes is None else {CLASSES: classes})}
    with _writing(out):
        _remove_earlier(out)
        # First, so that what is half written is ours, too.
        record = {
            "files": {name: _checksum(entries, name) for name in sorted(wanted | set(texts))},
            "splits": {key: entry.manifest["content"] for key, entry in entries.items()},
            "left_out": {key: entry.manifest.get("left_out", []) for key, entry in entries.items()},
        }
        files.write_atomically(out / RECORD, json.dumps(record, indent=2) + "\n")
        for key, entry in entries.items():
            for name in (FEATURES, LABELS):
                if f"{key}_{name}" in wanted:
                    with files.replacement(out / f"{key}_{name}") as draft:
                        shutil.copyfile(entry.path / name, draft)
        for name, lines in texts.items():
            content = "".join(f"{files.one_line(line)}\n" for line in lines)
            files.write_atomically(out / name, content)


def _checksum(entries: Mapping[str, Entry], name: str) -> str | None:
    """SHA-256 of a file of labels, which people may replace by their own; None for others."""
    split, _, file = name.partition("_")
    return entries[split].manifest["files"][LABELS]["sha256"] if file == LABELS else None


def _remove_earlier(out: Path) -> None:
    """Removes the files of an earlier extraction, so that those of two are never mixed.

    Raises:
        DataError: If there is a file of such a name that no extraction has written.
    """
    try:
        ours = dict(json.loads((out / RECORD).read_text())["files"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        ours = {}
    names = [f"{split}_{name}" for split in ("train", "test") for name in NAMES] + [CLASSES]
    there = [name for name in names if (out / name).exists()]
    foreign = [
        name
        for name in there
        if name not in ours or ours[name] not in (None, files.sha256(out / name))
    ]
    if foreign:
        raise DataError(
            f"Expected no {', '.join(foreign)} in {out}: it was not written by dal.extract, or has "
            "been changed since. Move it, or choose another `out`."
        )
    for name in there:
        (out / name).unlink()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"Cannot write {error.filename or out}: {error.strerror}. The features are in the "
            "cache: make room or choose another `out`, and run the same command again."
        ) from error
