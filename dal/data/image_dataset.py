"""Images in a dataset of the ``datasets`` library, on the hub or on disk."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dal.data import contents, id_columns, labels
from dal.data import splits as split_names
from dal.data.image_folder import ImagePaths
from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import hub
from dal.extraction.items import Contents, ItemSplit, MissingSplitError, ReadContents
from dal.runtime import files
from dal.runtime.files import LocalFiles

# Files of a folder that say nothing about the images in it.
IGNORED_SUFFIXES = (".lock", ".md", ".npy", ".py", ".txt")
MAX_CAUSE = 300  # characters of an error of another library


class ImageDataset:
    """Images in a dataset of the ``datasets`` library: on the hub, or on disk.

    Args:
        id: The dataset on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        name: The dataset's configuration, if it has several.
        path: A folder on disk, instead: what ``save_to_disk`` has written, parquet files, or a
            copy from the hub (``hf download --repo-type dataset --local-dir``).
        image_column: The column of the images, or of their paths; relative ones start in ``path``.
        splits: As in :class:`~dal.data.ImageFolder`.
        label_column: The column of the labels: class labels, integers or strings; None if there is
            none. They are numbered by the names of train's classes in all splits.
        id_column: The column of the ids, strings or integers, by which the images are called
            afterwards. If not given, they are called by the paths of their files, where the dataset
            has kept them, or else by their rows.

    Raises:
        ConfigError: If neither ``id`` nor ``path`` is given, or ``path`` is empty.
    """

    noun = "image"

    def __init__(
        self,
        id: str | None = None,  # noqa: A002
        revision: str = "main",
        name: str | None = None,
        path: str | Path | None = None,
        image_column: str = "image",
        label_column: str | None = "label",
        splits: Mapping[str, str | None] | None = None,
        id_column: str | None = None,
    ) -> None:
        self.splits = split_names.resolve(splits)
        if id is None and path is None:
            raise ConfigError("Expected `id` or `path` of a dataset, got neither.")
        self.id = id
        self.revision = revision
        self.name = name
        self.path = None if path is None else split_names.folder(path)
        self.image_column = image_column
        self.label_column = label_column
        self.id_column = id_column
        self._local: list[LocalFiles] | None = None
        self._train_classes: list[str] | None = None

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub or the path, the columns, and the splits: train numbers labels."""
        source = (
            {"id": self.id, "revision": self.revision}
            if self.path is None
            else {"path": str(self.path)}
        )
        return {**source, **self._columns(split), "train": self.splits["train"]}

    def local_files(self, split: str) -> list[LocalFiles]:  # noqa: ARG002
        """All files of the dataset, if they are the user's own and exist."""
        if self._local is None:
            self._local = []
            if self.path is not None and self.path.is_dir():
                names = [
                    str(Path(folder, name).relative_to(self.path))
                    for folder, _, found in files.walk(self.path)
                    for name in found
                    if not name.startswith(".") and Path(name).suffix not in IGNORED_SUFFIXES
                ]
                self._local = [LocalFiles(self.path, names, self._card())] if names else []
        return self._local

    def open(self, split: str) -> ItemSplit:
        """The images of a split, downloaded unless they are on this machine."""
        folder = self._folder()
        where = f"split {split} of {self.id or self.path}"
        dataset = self._read(folder, split, where)
        self._check_columns(dataset, where)
        if len(dataset) == 0:
            raise DataError(f"Expected images in {where}, found no rows.")
        numbers, class_names = self._labels(dataset, folder, split, where)
        paths = self._paths(dataset)
        items: Sequence[Any]
        if paths is None:
            items = _undecoded(dataset, self.image_column, where)
            ids = _ids(dataset, self.image_column, folder)
        else:
            items, ids = ImagePaths(str(folder), paths), _distinct(paths)
        if self.id_column is not None:
            ids = id_columns.read(dataset, self.id_column, where)
        fingerprint = self._columns(split)
        if self.path is None:
            fingerprint |= {"id": self.id, "commit": folder.name}
        if class_names is not None:
            fingerprint["classes"] = class_names
        known: Contents | None = None
        named: list[LocalFiles] = []
        if self.path is not None:
            context = contents.context(numbers, ids)
            own = _stored_paths(dataset, self.image_column) if paths is None else paths
            known, named = self._contents(own, items, context)
        return ItemSplit(
            items=items,
            noun="image",
            labels=numbers,
            class_names=class_names,
            ids=ids,
            fingerprint=fingerprint,
            local=self.local_files(split),
            where=where,
            contents=known,
            named=named,
        )

    def _contents(
        self, paths: Sequence[str] | None, rows: Sequence[Any], context: str
    ) -> tuple[Contents, list[LocalFiles]]:
        """What the images are, and the files of theirs that are not among those of the dataset."""
        assert self.path is not None
        if paths is None:
            return ReadContents(partial(contents.digests_of_rows, rows), context), []
        names = [_relative(path, self.path) for path in paths]
        (local,) = self._local or [LocalFiles(self.path, [])]
        if set(names) <= set(local.names):
            return ReadContents(partial(contents.digests_of_files, names, local), context), []
        outside = LocalFiles(self.path, names, context)
        return outside, [outside]

    def passed_over(self) -> str:
        """Nothing: it takes reading to know which other splits there are."""
        return ""

    def _check_columns(self, dataset: Any, where: str) -> None:
        for key in ("image_column", "label_column", "id_column"):
            column = getattr(self, key)
            if column is not None and column not in dataset.column_names:
                hint = did_you_mean(column, dataset.column_names)
                raise DataError(
                    f"Expected a column '{column}' in {where}, as data.{key} says. {hint}"
                )

    def _columns(self, split: str) -> dict[str, Any]:
        columns = {
            "name": self.name,
            "image": self.image_column,
            "label": self.label_column,
            "split": split,
        }
        # Not if there is none: features in the cache are of a time before there was one.
        return columns if self.id_column is None else {**columns, "ids": self.id_column}

    def _folder(self) -> Path:
        if self.path is None:
            assert self.id is not None
            return hub.snapshot(self.id, self.revision, "dataset", local_hint="data.path=DIR")
        if not self.path.is_dir():
            found = f"the file {self.path}" if self.path.exists() else f"no {self.path}"
            raise DataError(f"Expected data.path to be a folder, found {found}.")
        return self.path

    def _card(self) -> str:
        """What the dataset's card tells the library: which files belong to which split."""
        assert self.path is not None
        try:
            parts = (self.path / "README.md").read_text("utf-8", "replace").split("---\n", 2)
        except OSError:
            return ""
        return parts[1] if len(parts) == 3 and not parts[0].strip() else ""

    def _read(self, folder: Path, split: str, where: str) -> Any:
        import datasets

        datasets.disable_progress_bars()
        try:
            if (folder / "dataset_dict.json").exists():
                return _selected(datasets.load_from_disk(str(folder)), split, where)
            if (folder / "state.json").exists():  # one split, which is train
                name = re.split(r"[\[+]", str(self.splits["train"]))[0]
                whole = {name: datasets.load_from_disk(str(folder))}
                return _selected(whole, split, where)
            loaded = datasets.load_dataset(str(folder), self.name, split=split)
            as_text = id_columns.features_as_text(loaded, self.id_column)
            if as_text is None:
                return loaded
            return datasets.load_dataset(str(folder), self.name, split=split, features=as_text)
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

    def _labels(
        self, dataset: Any, folder: Path, split: str, where: str
    ) -> tuple[np.ndarray | None, list[str] | None]:
        if self.label_column is None:
            return None, None
        feature = dataset.features[self.label_column]
        names = labels.class_names(dataset[self.label_column][:], feature, where)
        train = str(self.splits["train"])
        if split == train:
            self._train_classes = labels.numbering(names, feature)
        elif self._train_classes is None:
            where_train = f"split {train} of {self.id or self.path}"
            other = self._read(folder, train, where_train)
            self._check_columns(other, where_train)
            feature = other.features[self.label_column]
            column = labels.class_names(other[self.label_column][:], feature, where_train)
            self._train_classes = labels.numbering(column, feature)
        return labels.number(names, self._train_classes, where), self._train_classes

    def _paths(self, dataset: Any) -> list[str] | None:
        """The paths of the images, if the column has those."""
        from datasets import Value

        feature = dataset.features[self.image_column]
        if not isinstance(feature, Value) or "string" not in feature.dtype:
            return None
        paths = dataset[self.image_column][:]
        if any("://" in (path or "") for path in paths):
            return None  # addresses, which the library downloads
        return ["" if path is None else str(Path(path).expanduser()) for path in paths]


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


def _undecoded(dataset: Any, column: str, where: str) -> Any:
    """The column of images, each as a path or as the bytes of a file."""
    from datasets import Image

    try:
        return dataset.select_columns(column).cast_column(column, Image(decode=False))[column]
    except Exception as error:  # of arrow
        raise DataError(
            f"Expected images in the column '{column}' of {where}, got {dataset.features[column]}."
        ) from error


def _ids(dataset: Any, column: str, folder: Path) -> list[str] | None:
    """The names of the images' files, if the dataset has kept them."""
    paths = _field(dataset, column, "path")
    if paths is None:
        return None
    return _distinct([path and _relative(path, folder) for path in paths.to_pylist()])


def _stored_paths(dataset: Any, column: str) -> list[str] | None:
    """The files of the images, if no image is stored in its row."""
    encoded, paths = (_field(dataset, column, name) for name in ("bytes", "path"))
    if encoded is None or encoded.null_count < len(encoded) or paths is None or paths.null_count:
        return None
    found: list[str] = paths.to_pylist()
    return found


def _field(dataset: Any, column: str, name: str) -> Any:
    """A field of the images as they are stored, by row; None if they are stored without it."""
    import pyarrow
    from pyarrow import compute

    stored = dataset.data.column(column)
    if not pyarrow.types.is_struct(stored.type) or stored.type.get_field_index(name) < 0:
        return None
    values = compute.struct_field(stored, name)
    return values if dataset._indices is None else values.take(dataset._indices.column(0))


def _relative(path: str, folder: Path) -> str:
    """The path relative to a folder, if it is in there."""
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path


def _distinct(names: Sequence[str | None]) -> list[str] | None:
    """The names, if every item has one of its own."""
    if None in names or len(set(names)) < len(names):
        return None
    return [str(name) for name in names]
