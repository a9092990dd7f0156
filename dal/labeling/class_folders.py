"""Answers in folders: one folder for each class, with the files that people put there."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePath

from dal.errors import ConfigError, DataError
from dal.labeling import class_names, matching
from dal.labeling.answer import Answer
from dal.runtime import files

PRIVATE_FILES = ("thumbs.db", "desktop.ini")
TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet")

Originals = Callable[[str], Path | None]


def answers(
    folder: Path, ids: Collection[str], find_original: Originals | None = None
) -> list[Answer]:
    """The class of each file: the name of the folder, inside of ``folder``, that it is in.

    A file is the item whose id is its path below the class, or ends with it, or is the end of it.
    Files that are in no folder of a class have no label yet. Hidden files are passed over.

    A file whose name is that of several items is the one with the same content. So is a file whose
    name only ends with an item's, as in "0007_a.jpg". A file that is no item keeps its path as id.

    Args:
        folder: The folder of the folders of classes.
        ids: The ids of all items.
        find_original: The file of an item, by its id, if there is one.

    Raises:
        ConfigError: If there are no ids to recognise files by.
        DataError: If there is no folder of a class, no file in them, or a file can be several
            items.
    """
    if not ids:
        raise ConfigError(
            f"Expected the ids of the items, to recognise the files in {folder}, got none."
        )
    found = _list_files(folder)
    items = _items([path for _, path in found], folder, ids, find_original or (lambda _: None))
    return [
        Answer(items.get(path, PurePath(*path.parts[1:]).as_posix()), name, None, _where(path))
        for name, path in found
    ]


def _where(path: PurePath) -> str:
    return files.printable(path.as_posix())


def _list_files(folder: Path) -> list[tuple[str, PurePath]]:
    """Class and path, relative to the folder, of every file in a folder of a class."""
    found, tables = [], []
    classes: dict[str, bool] = {}  # whether a file is in the folder itself
    for inside, _, names in files.walk(folder):
        below = PurePath(inside).relative_to(folder)
        if not below.parts:
            tables = [name for name in names if PurePath(name).suffix.lower() in TABLES]
            continue
        top = files.printable(below.parts[0])
        name = class_names.clean(top, f"the name of a folder in {folder}")
        assert name is not None  # a folder has a name
        visible = [n for n in names if not n.startswith(".") and n.lower() not in PRIVATE_FILES]
        found += [(name, below / file) for file in visible]
        if visible:
            classes[name] = classes.get(name, False) or len(below.parts) == 1
    if not found:
        files_there = f" Give one of its files: {matching.listed(tables)}." if tables else ""
        raise DataError(
            f"Expected a folder for each class, with files in it, in {folder}, got none."
            f"{files_there or ' Move or copy the files into them.'}"
        )
    if len(classes) == 1 and not any(classes.values()):
        (name,) = classes
        raise DataError(
            f"Expected folders of classes in {folder}, got the one folder {name!r}, which holds "
            f"only folders. Is it one level too high? Give {folder / found[0][1].parts[0]}."
        )
    return found


def _items(
    paths: Sequence[PurePath], folder: Path, ids: Collection[str], find_original: Originals
) -> Mapping[PurePath, str]:
    names = {path: PurePath(*path.parts[1:]).as_posix() for path in paths}
    by_name = matching.candidates(set(names.values()), ids)
    # A prefix before the name, as Label Studio and people who sort by rank put it.
    rests = {
        name: [name[match.end() :] for match in re.finditer(r"[-_ ]", name)]
        for name in set(names.values()) - set(by_name)
    }
    by_rest = matching.candidates({rest for all_ in rests.values() for rest in all_ if rest}, ids)
    items = {}
    for path, name in names.items():
        found = by_name.get(name, [])
        if len(found) == 1:
            items[path] = found[0]
            continue
        others = [item for rest in rests.get(name, ()) for item in by_rest.get(rest, ())]
        here = [item for item in found if item.endswith(path.as_posix())]
        if here and _is_same_file(folder / path, find_original(here[0])):
            items[path] = here[0]
            continue
        same = _of_same_content(folder / path, list(dict.fromkeys(found + others)), find_original)
        if len(same) == 1:
            items[path] = same[0]
        elif name in found and "/" in name:
            items[path] = name
        elif found:
            raise DataError(
                f"Expected a file of one item, got {_where(path)} in {folder}, which can be "
                f"{matching.listed(found)}: "
                + ("their contents are the same. " if same else "none has the same content. ")
                + f"If it is the first, put it at {path.parts[0]}/{found[0]}."
            )
    return items


def _is_same_file(file: Path, original: Path | None) -> bool:
    """Whether it is the item's own file, as where the data are in folders of classes."""
    return original is not None and original.is_file() and original.samefile(file)


def _of_same_content(file: Path, items: Sequence[str], find_original: Originals) -> list[str]:
    if not items:
        return []
    originals = {item: find_original(item) for item in items}
    try:
        content = files.sha256(file)
        return [
            item
            for item, original in originals.items()
            if original is not None and original.is_file() and files.sha256(original) == content
        ]
    except OSError as error:
        raise DataError(
            f"Cannot read {files.printable(str(error.filename))} ({error.strerror or error}), to "
            f"compare it. Permit reading it, or remove {files.printable(str(file))}."
        ) from error
