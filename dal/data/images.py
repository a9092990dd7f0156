"""Images as examples: a dataset and a frozen network in front of the head."""

import os
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dal.data.datamodule import ALDataModule
from dal.data.examples import Examples
from dal.errors import ConfigError, DataError, did_you_mean
from dal.extraction import hub
from dal.extraction.cache import Entry
from dal.extraction.extractor import FeatureExtractor, ImageSplit
from dal.runtime.files import LocalFiles

SPLITS = ("train", "test")
HELD_OUT_FRACTION = 0.2  # of train, for testing, where there is no test split


class Images(ALDataModule, ABC):
    """Active learning on the features that a frozen network gives of images.

    Args:
        extractor: Computes the features, or finds them in the cache.
        splits: What the dataset calls ``train`` and ``test``; several names may be joined with
            ``+``. With a ``test`` of None a fifth of train, stratified by class, is held out for
            testing.
        batch_size: As in :class:`ALDataModule`.
        dev_fraction: As in :class:`ALDataModule`.
        split_seed: As in :class:`ALDataModule`; of the fifth held out, too.

    Memory: features stay in memory-mapped files, of which only the rows in use are copied.
    """

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        splits: Mapping[str, str | None] | None = None,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, dev_fraction, split_seed)
        self.splits: dict[str, str | None] = dict(splits or {name: name for name in SPLITS})
        for name in self.splits:
            if name not in SPLITS:
                raise ConfigError(f"Unknown key 'splits.{name}'. {did_you_mean(name, SPLITS)}")
        if self.splits.get("train") is None:
            raise ConfigError("Expected `splits.train` to name the split of the pool, got none.")
        self.extractor = extractor

    @abstractmethod
    def request(self, split: str) -> dict[str, Any]:
        """What a split is asked for with, in plain values, without looking for it."""

    @abstractmethod
    def local_files(self, split: str) -> list[LocalFiles]:
        """The user's own files that a split is made of, as far as they are there."""

    @abstractmethod
    def open(self, split: str) -> ImageSplit:
        """The images of a split.

        Args:
            split: As the dataset calls it.

        Raises:
            DataError: If they are not there and cannot be had, or are not as expected.
        """

    def entry(self, split: str) -> Entry:
        """The features of a split, computed if the cache lacks them.

        Args:
            split: As the dataset calls it.

        Raises:
            DataError: As :meth:`FeatureExtractor.entry`.
            ConfigError: If there is no extractor.
        """
        if self.extractor is None:
            raise ConfigError(
                "Expected an `extractor` for images, got none: for example "
                "FeatureExtractor(Backbone('facebook/dinov2-small'))."
            )
        return self.extractor.entry(self, split)

    def load(self) -> tuple[Examples, Examples]:
        """The features of both splits, memory-mapped, and their labels.

        Raises:
            DataError: If they cannot be had, or have no labels.
        """
        assert self.splits["train"] is not None
        train = self._examples(self.splits["train"])
        if self.splits.get("test") is None:
            return self._held_out(train)
        assert self.splits["test"] is not None
        return train, self._examples(self.splits["test"])

    def _examples(self, split: str) -> Examples:
        features, labels = self.entry(split).load()
        if labels is None:
            raise DataError(
                f"Expected labels of the images in {split}, got none: an experiment looks them up "
                "when a strategy asks for them. Put the images into a folder a class."
            )
        return Examples(features, labels)

    def _held_out(self, examples: Examples) -> tuple[Examples, Examples]:
        from sklearn.model_selection import train_test_split

        try:
            rows = train_test_split(
                np.arange(len(examples)),
                test_size=HELD_OUT_FRACTION,
                stratify=examples.labels,
                random_state=self.split_seed,
            )
        except ValueError as error:
            raise DataError(
                f"Cannot hold {HELD_OUT_FRACTION:.0%} of the images out for testing: {error} Add "
                "images, or name a test split with data.splits.test=NAME."
            ) from error
        train, test = (torch.from_numpy(np.sort(part)) for part in rows)
        return (
            Examples(examples.features[train], examples.labels[train]),
            Examples(examples.features[test], examples.labels[test]),
        )


class ImageFolder(Images):
    """Images in a folder a class, for example ``DIR/train/cat/1.jpg`` and ``DIR/test/dog/2.png``.

    Without folders of splits, ``DIR/cat/1.jpg``, everything is train. Images that lie in ``DIR``
    itself have no labels: their features can be extracted, an experiment needs labels. Files whose
    names do not end like those of images are passed over, and hidden ones, too.

    Args:
        path: The folder.
        extractor: As in :class:`Images`.
        splits: As in :class:`Images`.
        batch_size: As in :class:`ALDataModule`.
        dev_fraction: As in :class:`ALDataModule`.
        split_seed: As in :class:`ALDataModule`.
    """

    def __init__(
        self,
        path: str | Path,
        extractor: FeatureExtractor | None = None,
        splits: Mapping[str, str | None] | None = None,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(extractor, splits, batch_size, dev_fraction, split_seed)
        self.path = Path(path).expanduser().absolute()
        self._listed: dict[str, list[str]] = {}

    def request(self, split: str) -> dict[str, Any]:
        """The folder's path and the split."""
        return {"path": str(self.path), "split": split}

    def local_files(self, split: str) -> list[LocalFiles]:
        """All images of the split, if the folder is there."""
        if not self.path.is_dir():
            return []
        # The names of train's classes number the labels of every split.
        names = set(self._names(split)) | set(self._names(self.splits["train"] or split))
        return [LocalFiles(self.path, sorted(names))]

    def open(self, split: str) -> ImageSplit:
        """The images of a split, by class and name."""
        self._check_folder()
        local = self.local_files(split)
        return self._open(split, {"digest": local[0].digest, "split": split}, local)

    def _open(self, split: str, fingerprint: dict[str, Any], local: list[LocalFiles]) -> ImageSplit:
        names = self._names(split)
        if not names:
            raise DataError(
                f"Expected images in {self._where(split)}, found none. They must have a name that "
                "ends in .jpg, .png or the like, in a folder a class."
            )
        images = _undecoded([str(self.path / name) for name in names])
        classes = self._classes(self.splits["train"] or split)
        labels = self._labels(split, names, classes)
        return ImageSplit(
            images=images,
            labels=labels,
            class_names=None if labels is None else classes,
            names=names,
            fingerprint=fingerprint,
            local=local,
            where=self._where(split),
        )

    def available_splits(self) -> list[str]:
        """The configured splits that there is a folder for; train alone if there is none.

        Raises:
            DataError: If the folder is not there.
        """
        self._check_folder()
        found = [name for name in self.splits.values() if name and self._has_folders(name)]
        return found or [str(self.splits["train"])]

    def _where(self, split: str) -> str:
        return " and ".join(str(folder) for folder in self._folders(split))

    def _has_folders(self, split: str) -> bool:
        return all((self.path / name).is_dir() for name in split.split("+"))

    def _folders(self, split: str) -> list[Path]:
        self._check_folder()
        if self._has_folders(split):
            return [self.path / name for name in split.split("+")]
        if split == self.splits["train"] and not self._has_folders(self.splits.get("test") or "?"):
            return [self.path]
        known = sorted(item.name for item in self.path.iterdir() if item.is_dir())
        raise DataError(
            f"Expected a folder '{split}' in {self.path}, found {', '.join(known) or 'none'}. Name "
            "the splits with data.splits.train=NAME data.splits.test=NAME, or hold a part of train "
            "out with data.splits.test=null."
        )

    def _check_folder(self) -> None:
        if not self.path.is_dir():
            raise DataError(f"Expected data.path to be a folder of images, found no {self.path}.")

    def _names(self, split: str) -> list[str]:
        """Paths of the images of a split, relative to the folder, by class and name.

        Listed once: a folder of a million files takes its time.
        """
        from PIL import Image

        if split not in self._listed:
            extensions = set(Image.registered_extensions())
            self._listed[split] = [
                str(Path(folder, name).relative_to(self.path))
                for top in self._folders(split)
                for folder, _, names in _walk(top)
                for name in sorted(names)
                if Path(name).suffix.lower() in extensions and not name.startswith(".")
            ]
        return self._listed[split]

    def _class(self, name: str, tops: list[Path]) -> str | None:
        """The class of an image: the folder below that of its split."""
        file = self.path / name
        for top in tops:
            if file.is_relative_to(top):
                parts = file.relative_to(top).parts
                return parts[0] if len(parts) > 1 else None
        return None

    def _classes(self, split: str) -> list[str]:
        tops = self._folders(split)
        return sorted({self._class(name, tops) or "" for name in self._names(split)} - {""})

    def _labels(self, split: str, names: list[str], classes: list[str]) -> np.ndarray | None:
        tops = self._folders(split)
        own = [self._class(name, tops) for name in names]
        if not any(own):
            return None
        number = {name: label for label, name in enumerate(classes)}
        for name, label in zip(names, own, strict=True):
            if label not in number:
                expected = "one of train's classes" if label else "an image in a folder of a class"
                hint = did_you_mean(label, number) if label else "Move it."
                raise DataError(f"Expected {expected}, got {self.path / name}. {hint}")
        return np.array([number[str(label)] for label in own])


class HubImageFolder(ImageFolder):
    """Images in a folder a class, in an archive on the hub.

    Args:
        id: The dataset on the hub, ``owner/name``.
        archive: The zip file in it. The folders of the splits may lie at any depth.
        revision: The commit, or a branch or tag.
        path: A local copy of the unpacked archive, instead.
        extractor: As in :class:`Images`.
        splits: As in :class:`Images`.
        batch_size: As in :class:`ALDataModule`.
        dev_fraction: As in :class:`ALDataModule`.
        split_seed: As in :class:`ALDataModule`.
    """

    def __init__(
        self,
        id: str,  # noqa: A002
        archive: str,
        revision: str = "main",
        path: str | Path | None = None,
        extractor: FeatureExtractor | None = None,
        splits: Mapping[str, str | None] | None = None,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(path or "", extractor, splits, batch_size, dev_fraction, split_seed)
        self.id = id
        self.archive = archive
        self.revision = revision
        self.is_local = path is not None

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub and the split, or the path of the local copy."""
        if self.is_local:
            return super().request(split)
        return {"id": self.id, "revision": self.revision, "archive": self.archive, "split": split}

    def local_files(self, split: str) -> list[LocalFiles]:
        """All images of the local copy, if there is one."""
        return super().local_files(split) if self.is_local else []

    def open(self, split: str) -> ImageSplit:
        """The images of a split, downloaded and unpacked if they are not there."""
        if self.is_local:
            return super().open(split)
        folder = hub.snapshot(
            self.id, self.revision, "dataset", [self.archive], local_hint="data.path=DIR"
        )
        assert self.extractor is not None
        unpacked = self.extractor.cache.path / "archives" / f"{folder.name}-{self.archive}"
        _unpack(folder / self.archive, unpacked)
        self.path = self._top(unpacked)
        commit = {"id": self.id, "commit": folder.name, "archive": self.archive, "split": split}
        return self._open(split, commit, [])

    def _top(self, unpacked: Path) -> Path:
        wanted = [name for split in self.splits.values() if split for name in split.split("+")]
        for folder, folders, _ in _walk(unpacked):
            if set(wanted) <= set(folders):
                return Path(folder)
        raise DataError(
            f"Expected the folders {', '.join(wanted)} in {self.archive} of {self.id}, found none "
            f"with all of them in {unpacked}. Name them with data.splits.train=NAME "
            "data.splits.test=NAME."
        )


class ImageDataset(Images):
    """Images in a dataset of the ``datasets`` library: on the hub, or on disk.

    Args:
        id: The dataset on the hub, ``owner/name``.
        revision: The commit there, or a branch or tag.
        name: The dataset's configuration, if it has several.
        path: A folder on disk, instead: what ``save_to_disk`` has written, parquet files, or a
            copy of the hub's (``hf download --repo-type dataset --local-dir``).
        image_column: The column of the images.
        label_column: The column of the labels, integers or strings; None if there is none.
        extractor: As in :class:`Images`.
        splits: As in :class:`Images`.
        batch_size: As in :class:`ALDataModule`.
        dev_fraction: As in :class:`ALDataModule`.
        split_seed: As in :class:`ALDataModule`.

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
        extractor: FeatureExtractor | None = None,
        splits: Mapping[str, str | None] | None = None,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(extractor, splits, batch_size, dev_fraction, split_seed)
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
        """All files of the dataset, if they are the user's own and there."""
        if self.path is None or not self.path.is_dir():
            return []
        names = sorted(
            str(Path(folder, name).relative_to(self.path))
            for folder, _, names in _walk(self.path)
            for name in names
        )
        return [LocalFiles(self.path, names)]

    def open(self, split: str) -> ImageSplit:
        """The images of a split, downloaded if they are not there."""
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
        labels, class_names = self._numbered(dataset, folder, where)
        return ImageSplit(
            images=_as_images(dataset.select_columns(self.image_column), self.image_column, where),
            labels=labels,
            class_names=class_names,
            names=None,
            fingerprint=fingerprint,
            local=local,
            where=where,
        )

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
                    f"Expected a dataset with splits in {folder}, found a single one. Save it as a "
                    "DatasetDict, or in a folder of images."
                )
            return datasets.load_dataset(str(folder), self.name, split=split)
        except DataError:
            raise
        except Exception as error:  # of arrow, parquet, fsspec and the library itself
            text = str(error).strip()
            cause = text.splitlines()[0] if text else type(error).__name__
            raise DataError(
                f"Cannot read {where} from {folder}: {cause} Check data.splits and data.name, and "
                "that the copy is whole."
            ) from error

    def _numbered(
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
        # Strings are numbered in alphabetical order, in every split as in train.
        train = self.splits["train"] or ""
        parts = [self._read(folder, name, train)[self.label_column][:] for name in train.split("+")]
        class_names = sorted({value for part in parts for value in part})
        number = {name: label for label, name in enumerate(class_names)}
        for row, value in enumerate(values):
            if value not in number:
                raise DataError(
                    f"Expected a label of train's in {where}, got '{value}' in row {row}."
                )
        return np.array([number[value] for value in values]), class_names


def _walk(top: Path) -> list[tuple[str, list[str], list[str]]]:
    """``os.walk`` in a fixed order, links followed, without hidden folders."""
    found = []
    for folder, folders, names in os.walk(top, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.append((folder, folders, names))
    return found


def _undecoded(paths: list[str]) -> Any:
    from datasets import Dataset, Features, Image

    return Dataset.from_dict({"image": paths}, Features({"image": Image(decode=False)}))


def _as_images(dataset: Any, column: str, where: str) -> Any:
    from datasets import Image

    dataset = dataset.rename_column(column, "image") if column != "image" else dataset
    try:
        return dataset.cast_column("image", Image(decode=False))
    except Exception as error:  # of arrow
        raise DataError(
            f"Expected images in the column '{column}' of {where}, got {dataset.features['image']}."
        ) from error


def _unpack(archive: Path, target: Path) -> None:
    """Unpacks a zip file, unless that was done."""
    if target.exists():
        return
    draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(draft)
        os.rename(draft, target)
    except (OSError, zipfile.BadZipFile) as error:
        shutil.rmtree(draft, ignore_errors=True)
        if target.exists():  # another process was faster
            return
        raise DataError(
            f"Cannot unpack {archive} to {target}: {error}. Make room, or delete the archive and "
            "run again to download it anew."
        ) from error
