"""A dataset of the ``datasets`` library, on the hub or on disk."""

import re
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from dal.data import id_columns
from dal.data import splits as split_names
from dal.data.item_columns import Rows
from dal.errors import ConfigError, DataError
from dal.extraction import hub
from dal.extraction.items import MissingSplitError
from dal.runtime import files
from dal.runtime.files import LocalFiles

# Files of a folder that say nothing about the items in it, whatever these are.
IGNORED_SUFFIXES = (".lock", ".md", ".npy", ".py")
MAX_CAUSE = 300  # characters of an error of another library


class StoredDataset:
    """Where a dataset of the ``datasets`` library is.

    Args:
        id: The dataset on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        name: The dataset's configuration, if it has several.
        path: A folder on disk, instead: what ``save_to_disk`` has written, parquet files, or a
            copy from the hub (``hf download --repo-type dataset --local-dir``).
        train: The name of the train split, which is all that there is where one split was saved.
        ignored: Further suffixes of files that say nothing about the items.

    Raises:
        ConfigError: If neither ``id`` nor ``path`` is given, or ``path`` is empty.
    """

    def __init__(
        self,
        id: str | None,  # noqa: A002
        revision: str,
        name: str | None,
        path: str | Path | None,
        train: str,
        ignored: Collection[str] = (),
    ) -> None:
        if id is None and path is None:
            raise ConfigError("Expected `id` or `path` of a dataset, got neither.")
        self.id = id
        self.revision = revision
        self.name = name
        self.path = None if path is None else split_names.folder(path)
        self.train = train
        self.ignored = (*IGNORED_SUFFIXES, *ignored)

    @property
    def request(self) -> dict[str, Any]:
        """The names on the hub or the path, in plain values."""
        if self.path is None:
            return {"id": self.id, "revision": self.revision}
        return {"path": str(self.path)}

    @cached_property
    def local_files(self) -> list[LocalFiles]:
        """All files of the dataset, if they are the user's own and exist."""
        if self.path is None or not self.path.is_dir():
            return []
        names = [
            str(Path(folder, name).relative_to(self.path))
            for folder, _, found in files.walk(self.path)
            for name in found
            if not name.startswith(".") and Path(name).suffix not in self.ignored
        ]
        return [LocalFiles(self.path, names, self._card())] if names else []

    @cached_property
    def folder(self) -> Path:
        """Where the files are, downloaded unless they are on this machine.

        Raises:
            DataError: If they are not there and cannot be downloaded.
        """
        if self.path is None:
            assert self.id is not None
            return hub.snapshot(self.id, self.revision, "dataset", local_hint="data.path=DIR")
        if not self.path.is_dir():
            found = f"the file {self.path}" if self.path.exists() else f"no {self.path}"
            raise DataError(f"Expected data.path to be a folder, found {found}.")
        return self.path

    def read(self, split: str, as_text: Collection[str] = ()) -> Rows:
        """The rows of a split.

        Args:
            split: Its name, in the library's own notation.
            as_text: Columns whose values in CSV files stay as they were written.

        Raises:
            MissingSplitError: If there is no such split.
            DataError: If the library cannot read it.
        """
        where = f"split {split} of {self.id or self.path}"
        dataset = self._read(self.folder, split, as_text, where)
        if len(dataset) == 0:
            raise DataError(f"Expected examples in {where}, found no rows.")
        return Rows(dataset, where)

    def _read(self, folder: Path, split: str, as_text: Collection[str], where: str) -> Any:
        import datasets

        datasets.disable_progress_bars()
        try:
            if (folder / "dataset_dict.json").exists():
                return _selected(datasets.load_from_disk(str(folder)), split, where)
            if (folder / "state.json").exists():  # one split, which is train
                name = re.split(r"[\[+]", self.train)[0]
                return _selected({name: datasets.load_from_disk(str(folder))}, split, where)
            loaded = datasets.load_dataset(str(folder), self.name, split=split)
            features = id_columns.features_as_text(loaded, as_text)
            if features is None:
                return loaded
            return datasets.load_dataset(str(folder), self.name, split=split, features=features)
        except DataError:
            raise
        except Exception as error:  # of arrow, parquet, fsspec and the library itself
            cause = " ".join(str(error).split())[:MAX_CAUSE] or type(error).__name__
            if isinstance(error, ValueError) and "Unknown split" in cause:
                raise _no_split(where, cause) from error
            if isinstance(error, IndexError):  # of the library, for a split without rows
                cause = "it has a split without rows."
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                hint = (
                    "The datasets library keeps a copy of its own in its cache (HF_HOME): make "
                    "room or permit writing there, or choose another place with HF_HOME=DIR."
                )
            else:
                hint = "Check data.splits and data.name, and that the copy is complete."
            raise DataError(f"Cannot read {where} from {folder}: {cause} {hint}") from error

    def _card(self) -> str:
        """What the dataset's card tells the library: which files belong to which split."""
        assert self.path is not None
        try:
            parts = (self.path / "README.md").read_text("utf-8", "replace").split("---\n", 2)
        except OSError:
            return ""
        return parts[1] if len(parts) == 3 and not parts[0].strip() else ""


def _selected(splits: Mapping[str, Any], spec: str, where: str) -> Any:
    """Rows of splits, as the library's own notation names them: ``train``, ``train[:10]``, ..."""
    from datasets import ReadInstruction, concatenate_datasets

    sizes = {name: len(split) for name, split in splits.items()}
    try:
        chosen = ReadInstruction.from_spec(spec).to_absolute(sizes)
    except (ValueError, AssertionError) as error:
        raise _no_split(where, f"found {', '.join(sizes)}.") from error
    parts = [
        splits[part.splitname].select(range(part.from_ or 0, part.to))
        if (part.from_, part.to) not in ((None, None), (0, sizes[part.splitname]))
        else splits[part.splitname]
        for part in chosen
    ]
    return concatenate_datasets(parts) if len(parts) > 1 else parts[0]


def _no_split(where: str, found: str) -> MissingSplitError:
    return MissingSplitError(f"Cannot read {where}: {found}", split_names.REMEDY)
