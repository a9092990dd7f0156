"""Images in a dataset of the ``datasets`` library, on the hub or on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dal.data import splits as split_names
from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import hub
from dal.extraction.items import ItemSplit
from dal.runtime import files
from dal.runtime.files import LocalFiles


class ImageDataset:
    """Images in a dataset of the ``datasets`` library: on the hub, or on disk.

    Args:
        id: The dataset on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        name: The dataset's configuration, if it has several.
        path: A folder on disk, instead: what ``save_to_disk`` has written, parquet files, or a
            copy from the hub (``hf download --repo-type dataset --local-dir``).
        image_column: The column of the images.
        splits: As in :class:`~dal.data.ImageFolder`.
        label_column: The column of the labels, integers or strings; None if there is none.

    Raises:
        ConfigError: If neither ``id`` nor ``path`` is given.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002
        revision: str = "main",
        name: str | None = None,
        path: str | Path | None = None,
        image_column: str = "image",
        label_column: str | None = "label",
        splits: Mapping[str, str | None] | None = None,
    ) -> None:
        self.splits = split_names.resolve(splits)
        if id is None and path is None:
            raise ConfigError("Expected `id` or `path` of a dataset, got neither.")
        self.id = id
        self.revision = revision
        self.name = name
        self.path = None if path is None else Path(path).expanduser().absolute()
        self.image_column = image_column
        self.label_column = label_column

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub or the path, the columns and the split."""
        source = (
            {"id": self.id, "revision": self.revision}
            if self.path is None
            else {"path": str(self.path)}
        )
        return {
            **source,
            "name": self.name,
            "image": self.image_column,
            "label": self.label_column,
            "split": split,
        }

    def local_files(self, split: str) -> list[LocalFiles]:  # noqa: ARG002
        """All files of the dataset, if they are the user's own and exist."""
        if self.path is None or not self.path.is_dir():
            return []
        names = sorted(
            str(Path(folder, name).relative_to(self.path))
            for folder, _, names in files.walk(self.path)
            for name in names
        )
        return [LocalFiles(self.path, names)]

    def open(self, split: str) -> ItemSplit:
        """The images of a split, downloaded unless they are on this machine."""
        from datasets import concatenate_datasets

        folder, fingerprint, local = self._source(split)
        where = f"split {split} of {self.id or self.path}"
        parts = [self._read(folder, name, where) for name in split.split("+")]
        dataset = concatenate_datasets(parts) if len(parts) > 1 else parts[0]
        for key, column in (
            ("image_column", self.image_column),
            ("label_column", self.label_column),
        ):
            if column is not None and column not in dataset.column_names:
                hint = did_you_mean(column, dataset.column_names)
                raise DataError(
                    f"Expected a column '{column}' in {where}, as data.{key} says. {hint}"
                )
        labels, class_names = self._labels(dataset, folder, where)
        return ItemSplit(
            items=_undecoded(dataset, self.image_column, where),
            noun="image",
            labels=labels,
            class_names=class_names,
            ids=None,
            fingerprint=fingerprint,
            local=local,
            where=where,
        )

    def available_splits(self) -> dict[str, str]:
        """All that have a name: whether the dataset has them is known only when it is read."""
        return split_names.existing(self.splits)

    def _source(self, split: str) -> tuple[Path, dict[str, Any], list[LocalFiles]]:
        columns = {
            "image": self.image_column,
            "label": self.label_column,
            "name": self.name,
            "split": split,
        }
        if self.path is not None:
            local = self.local_files(split)
            if not local:
                raise DataError(f"Expected data.path to be a folder, found no {self.path}.")
            return self.path, {"digest": local[0].digest, **columns}, local
        assert self.id is not None
        folder = hub.snapshot(self.id, self.revision, "dataset", local_hint="data.path=DIR")
        return folder, {"id": self.id, "commit": folder.name, **columns}, []

    def _read(self, folder: Path, split: str, where: str) -> Any:
        import datasets

        datasets.disable_progress_bars()
        try:
            if (folder / "dataset_dict.json").exists():
                return datasets.load_from_disk(str(folder))[split]
            if (folder / "state.json").exists():
                raise DataError(
                    f"Expected a dataset with splits in {folder}, found one without. Save it as a "
                    "DatasetDict."
                )
            return datasets.load_dataset(str(folder), self.name, split=split)
        except DataError:
            raise
        except Exception as error:  # of arrow, parquet, fsspec and the library itself
            text = str(error).strip()
            cause = text.splitlines()[0] if text else type(error).__name__
            raise DataError(
                f"Cannot read {where} from {folder}: {cause} Check data.splits and data.name, and "
                "that the copy is complete."
            ) from error

    def _labels(
        self, dataset: Any, folder: Path, where: str
    ) -> tuple[np.ndarray | None, list[str] | None]:
        from datasets import ClassLabel

        if self.label_column is None:
            return None, None
        feature = dataset.features[self.label_column]
        values = dataset[self.label_column][:]
        if any(value is None for value in values):
            row = next(row for row, value in enumerate(values) if value is None)
            raise DataError(
                f"Expected a label for every image in {where}, got none in row {row}. Remove such "
                "rows, or name another split."
            )
        if isinstance(feature, ClassLabel):
            return np.array(values), list(feature.names)
        if not isinstance(values[0], str):
            return np.array(values), None
        # Strings are numbered in alphabetical order, by those of train in every split.
        train = self.splits["train"] or ""
        parts = [self._read(folder, name, train)[self.label_column][:] for name in train.split("+")]
        class_names = sorted({value for part in parts for value in part})
        number = {name: label for label, name in enumerate(class_names)}
        for row, value in enumerate(values):
            if value not in number:
                raise DataError(
                    f"Expected one of train's labels in {where}, got '{value}' in row {row}. "
                    "Remove such rows, or add examples of it to train."
                )
        return np.array([number[value] for value in values]), class_names


def _undecoded(dataset: Any, column: str, where: str) -> Any:
    """The column of images, each as a path or as the bytes of a file."""
    from datasets import Image

    try:
        return dataset.select_columns(column).cast_column(column, Image(decode=False))[column]
    except Exception as error:  # of arrow
        raise DataError(
            f"Expected images in the column '{column}' of {where}, got {dataset.features[column]}."
        ) from error
