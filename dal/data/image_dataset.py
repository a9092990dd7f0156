"""Images in a dataset of the ``datasets`` library, on the hub or on disk."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dal.data import contents
from dal.data import splits as split_names
from dal.data.image_folder import ImagePaths
from dal.data.item_columns import ItemColumns
from dal.data.stored_dataset import StoredDataset
from dal.errors import DataError
from dal.extraction.items import Contents, ItemSplit, ReadContents
from dal.runtime.files import LocalFiles


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
        train = str(self.splits["train"])
        self.stored = StoredDataset(id, revision, name, path, train, ignored=(".txt",))
        self.columns = ItemColumns("image", image_column, label_column, id_column, train)

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub or the path, the columns, and the splits: train numbers labels."""
        return {**self.stored.request, **self._described(split), "train": self.splits["train"]}

    def local_files(self, split: str) -> list[LocalFiles]:  # noqa: ARG002
        """All files of the dataset, if they are the user's own and exist."""
        return self.stored.local_files

    def open(self, split: str) -> ItemSplit:
        """The images of a split, downloaded unless they are on this machine."""
        as_text = [] if self.columns.id is None else [self.columns.id]
        read = partial(self.stored.read, as_text=as_text)
        rows = read(split)
        self.columns.check(rows)
        numbers, class_names = self.columns.labels(split, rows, read)
        folder, column = self.stored.folder, self.columns.item
        paths = _paths(rows.dataset, column)
        items: Sequence[Any]
        if paths is None:
            items = _undecoded(rows.dataset, column, rows.where)
            ids = _ids(rows.dataset, column, folder)
        else:
            items, ids = ImagePaths(str(folder), paths), _distinct(paths)
        ids = self.columns.ids(rows) or ids
        fingerprint = self._described(split)
        if self.stored.path is None:
            fingerprint |= {"id": self.stored.id, "commit": folder.name}
        if class_names is not None:
            fingerprint["classes"] = class_names
        known: Contents | None = None
        named: list[LocalFiles] = []
        if self.stored.path is not None:
            context = contents.context(numbers, ids)
            own = _stored_paths(rows.dataset, column) if paths is None else paths
            known, named = self._contents(own, items, context, folder)
        return ItemSplit(
            items=items,
            noun="image",
            labels=numbers,
            class_names=class_names,
            ids=ids,
            fingerprint=fingerprint,
            local=self.local_files(split),
            where=rows.where,
            contents=known,
            named=named,
        )

    def passed_over(self) -> str:
        """Nothing: it takes reading to know which other splits there are."""
        return ""

    def _described(self, split: str) -> dict[str, Any]:
        return {"name": self.stored.name, **self.columns.request, "split": split}

    def _contents(
        self, paths: Sequence[str] | None, rows: Sequence[Any], context: str, folder: Path
    ) -> tuple[Contents, list[LocalFiles]]:
        """What the images are, and the files of theirs that are not among those of the dataset."""
        if paths is None:
            return ReadContents(partial(contents.digests_of_rows, rows), context), []
        names = [_relative(path, folder) for path in paths]
        (local,) = self.stored.local_files or [LocalFiles(folder, [])]
        if set(names) <= set(local.names):
            return ReadContents(partial(contents.digests_of_files, names, local), context), []
        outside = LocalFiles(folder, names, context)
        return outside, [outside]


def _paths(dataset: Any, column: str) -> list[str] | None:
    """The paths of the images, if the column has those."""
    from datasets import Value

    feature = dataset.features[column]
    if not isinstance(feature, Value) or "string" not in feature.dtype:
        return None
    paths = dataset[column][:]
    if any("://" in (path or "") for path in paths):
        return None  # addresses, which the library downloads
    return ["" if path is None else str(Path(path).expanduser()) for path in paths]


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
