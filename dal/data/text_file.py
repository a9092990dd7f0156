"""Texts in a file, or in one file for each split: CSV, TSV, JSON, JSONL or parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dal.data import splits as split_names
from dal.data import text_rows, texts
from dal.data.item_columns import ItemColumns, Rows
from dal.data.tables import kinds, text_files
from dal.data.text_rows import GZIP, FileRows
from dal.errors import DataError
from dal.extraction.items import ItemSplit, MissingSplitError
from dal.runtime import files
from dal.runtime.files import LocalFiles

TABLES = (*kinds.DELIMITED, *kinds.JSON, *kinds.PARQUET)
MAX_SHOWN = 5  # files in a message


class TextFile:
    """Texts in a file, or in a folder with one file for each split, such as ``DIR/train.csv``.

    Read are CSV and TSV (separated by commas, semicolons, tabs or bars; in UTF-8, or UTF-16 as
    Excel writes it), JSONL, lists in JSON, and parquet, each also compressed with gzip. Columns are
    found by name, whatever the case of its letters.

    Args:
        path: The file, all of which is train, or the folder.
        text_column: The column of the texts. NUL characters in them are left out.
        label_column: The column of the labels, integers or strings; None if there is none. They are
            numbered by the names of train's classes in all splits.
        id_column: The column of the ids, strings or integers, by which the texts are called
            afterwards; if not given, they are called by their rows.
        splits: The names of the splits ``train`` and ``test``, which are those of the files,
            without or with their endings; several names may be joined with ``+``. If ``test`` is
            None, there is no test split.

    Memory: the whole files, a few times over while they are read.

    Raises:
        ConfigError: If ``path`` is empty or ``splits`` has no name for train.
    """

    noun = "text"

    def __init__(
        self,
        path: str | Path,
        text_column: str = "text",
        label_column: str | None = "label",
        id_column: str | None = None,
        splits: Mapping[str, str | None] | None = None,
    ) -> None:
        self.splits = split_names.resolve(splits)
        self.path = split_names.folder(path)
        train = str(self.splits["train"])
        self.columns = ItemColumns(self.noun, text_column, label_column, id_column, train)
        self._local: dict[str, LocalFiles] = {}

    def request(self, split: str) -> dict[str, Any]:
        """The path, the columns, the split, and the train split, whose classes number labels."""
        splits = {"split": split, "train": self.splits["train"]}
        return {"path": str(self.path), **self.columns.request, **splits}

    def local_files(self, split: str) -> list[LocalFiles]:
        """The files of the split, and those of train, whose classes number labels."""
        if split not in self._local:
            if not self.path.exists():
                return []
            names = self._files(split)
            if self.columns.label is not None:
                names = list(dict.fromkeys([*names, *self._files(self.columns.train)]))
            self._local[split] = LocalFiles(self._folder, names)
        return [self._local[split]]

    def open(self, split: str) -> ItemSplit:
        """The texts of a split."""
        text_files.check_exists(self.path, "texts")
        local = self.local_files(split)
        for files_of_split in local:
            _ = files_of_split.stamp  # first: a file written meanwhile is noticed next time
        parts, rows = self._read(split)
        return texts.open_split(
            split,
            rows,
            self.columns,
            lambda train: self._read(train)[1],
            local,
            notes=text_rows.notes(parts),
        )

    def passed_over(self) -> str:
        """The files beside those of the splits that could be splits."""
        if not self.path.is_dir():
            return ""
        known = [name for names in self._names().values() for name in names]
        used = {name for split in self.splits.values() if split for name in self._used(split)}
        others = [name for name in known if name not in used]
        if not others or not used:
            return ""
        what = "file" if len(others) == 1 else "files"
        return f"{len(others):,} {what} passed over: {_some(others)}"

    def _read(self, split: str) -> tuple[list[FileRows], Rows]:
        paths = [self._folder / name for name in self._files(split)]
        parts = [text_rows.read(path, self.columns) for path in paths]
        where = " and ".join(map(str, paths))
        lines = parts[0].lines if len(parts) == 1 else None
        return parts, Rows(text_rows.dataset(parts, self.columns), where, lines)

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _used(self, split: str) -> list[str]:
        try:
            return self._files(split)
        except DataError:
            return []

    def _files(self, split: str) -> list[str]:
        """The names of a split's files."""
        if self.path.is_dir():
            return [self._file(name) for name in split.split("+")]
        if split == self.splits["train"]:
            return [self.path.name]
        raise MissingSplitError(
            f"Expected data.path to be a folder with one file for each split, got the file "
            f"{self.path}.",
            "To hold out a part of it for testing, add data.splits.test=null.",
        )

    def _file(self, split: str) -> str:
        known = self._names()
        everything = [name for names in known.values() for name in names]
        found = [split] if split in everything else known.get(split, [])
        if len(found) > 1:
            raise DataError(
                f"Expected one file '{split}' in {self.path}, found {_some(found)}. Remove all but "
                "one, or name it with its ending, as in data.splits.train=train.csv."
            )
        if not found:
            _, folders, names = files.walk(self.path, depth=0)[0]
            kept = [name for name in (*names, *folders) if not name.startswith(".")]
            remedy = split_names.REMEDY
            if not everything or any("-of-" in name for name in kept):
                remedy += (
                    " What `save_to_disk` has written, and copies from the hub, are read with "
                    "data=text_dataset."
                )
            raise MissingSplitError(
                f"Expected a file '{split}' in {self.path}, as CSV, TSV, JSONL or parquet, found "
                f"{_some(kept)}.",
                remedy,
            )
        return found[0]

    def _names(self) -> dict[str, list[str]]:
        """The names of files in the folder that may be tables, without and with their endings."""
        found: dict[str, list[str]] = {}
        for name in files.walk(self.path, depth=0)[0][2]:
            plain = Path(name.lower().removesuffix(GZIP))
            if plain.suffix in TABLES and not name.startswith("."):
                found.setdefault(name[: len(plain.stem)], []).append(name)
        return found


def _some(names: Sequence[str]) -> str:
    """Some names in a sentence."""
    if not names:
        return "none"
    return ", ".join(names[:MAX_SHOWN]) + (", …" * (len(names) > MAX_SHOWN))
