"""Images in folders, one folder for each class: on disk, or in an archive on the hub."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dal.data import splits as split_names
from dal.errors import DataError, did_you_mean
from dal.extraction import hub
from dal.extraction.cache import FeatureCache
from dal.extraction.items import ItemSplit
from dal.runtime import files, locks
from dal.runtime.files import LocalFiles


class ImageFolder:
    """Images in one folder for each class: ``DIR/train/cat/1.jpg`` and ``DIR/test/dog/2.png``.

    Without folders for the splits, ``DIR/cat/1.jpg``, all images are train. Images directly in
    ``DIR`` have no labels: their features can be extracted, but an experiment needs labels. Hidden
    files, and files whose names do not end like those of images, are skipped.

    Args:
        path: The folder.
        splits: The names of the splits ``train`` and ``test``; several names may be joined with
            ``+``. If ``test`` is None, there is no test split.
    """

    def __init__(self, path: str | Path, splits: Mapping[str, str | None] | None = None) -> None:
        self.splits = split_names.resolve(splits)
        self.path = Path(path).expanduser().absolute()
        self._listed: dict[str, list[str]] = {}

    def request(self, split: str) -> dict[str, Any]:
        """The folder's path and the split."""
        return {"path": str(self.path), "split": split}

    def local_files(self, split: str) -> list[LocalFiles]:
        """All images of the split and of train, if the folder exists."""
        if not self.path.is_dir():
            return []
        # Of train too, because its classes number the labels of every split.
        names = set(self._names(split)) | set(self._names(self.splits["train"] or split))
        return [LocalFiles(self.path, sorted(names))]

    def open(self, split: str) -> ItemSplit:
        """The images of a split, by class and name."""
        self._check_folder()
        local = self.local_files(split)
        return self._open(split, {"digest": local[0].digest, "split": split}, local)

    def _open(self, split: str, fingerprint: dict[str, Any], local: list[LocalFiles]) -> ItemSplit:
        names = self._names(split)
        if not names:
            raise DataError(
                f"Expected images in {self._where(split)}, found none. Their names must end in "
                ".jpg, .png or another extension of images, in one folder for each class."
            )
        classes = self._classes(self.splits["train"] or split)
        labels = self._labels(split, names, classes)
        return ItemSplit(
            items=_undecoded([str(self.path / name) for name in names]),
            noun="image",
            labels=labels,
            class_names=None if labels is None else classes,
            ids=names,
            fingerprint=fingerprint,
            local=local,
            where=self._where(split),
        )

    def available_splits(self) -> dict[str, str]:
        """The splits that have a folder; train alone if none of them has one.

        Raises:
            DataError: If the folder does not exist.
        """
        self._check_folder()
        splits = split_names.existing(self.splits)
        found = {key: name for key, name in splits.items() if self._has_folders(name)}
        return found or {"train": splits["train"]}

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
            "the splits with data.splits.train=NAME data.splits.test=NAME, or hold out a part of "
            "train with data.splits.test=null."
        )

    def _check_folder(self) -> None:
        if not self.path.is_dir():
            raise DataError(f"Expected data.path to be a folder of images, found no {self.path}.")

    def _names(self, split: str) -> list[str]:
        """Paths of the images of a split, relative to the folder, by class and name.

        Listed once, since a folder of a million files takes long.
        """
        from PIL import Image

        if split not in self._listed:
            extensions = set(Image.registered_extensions())
            self._listed[split] = [
                str(Path(folder, name).relative_to(self.path))
                for top in self._folders(split)
                for folder, _, names in files.walk(top)
                for name in sorted(names)
                if Path(name).suffix.lower() in extensions and not name.startswith(".")
            ]
        return self._listed[split]

    def _class(self, name: str, tops: list[Path]) -> str | None:
        """The class of an image: the name of the folder it is in, below the folder of its split."""
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
                expected = (
                    "one of train's classes" if label else "an image in the folder of a class"
                )
                hint = did_you_mean(label, number) if label else "Move it."
                raise DataError(f"Expected {expected}, got {self.path / name}. {hint}")
        return np.array([number[str(label)] for label in own])


class HubImageFolder(ImageFolder):
    """Images in one folder for each class, in an archive on the hub.

    Args:
        id: The dataset on the hub, ``owner/name``.
        archive: The zip file in it. The folders of the splits may be at any depth.
        revision: The commit, or a branch or tag.
        path: A local copy of the unpacked archive, instead.
        cache_dir: Where the archive is unpacked; the folder of the feature cache if not given.
        splits: As in :class:`ImageFolder`.
    """

    def __init__(
        self,
        id: str,  # noqa: A002
        archive: str,
        revision: str = "main",
        path: str | Path | None = None,
        cache_dir: str | Path | None = None,
        splits: Mapping[str, str | None] | None = None,
    ) -> None:
        super().__init__(path or "", splits)
        self.id = id
        self.archive = archive
        self.revision = revision
        self.is_local = path is not None
        self.cache_dir = FeatureCache(cache_dir).path

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub and the split, or the path of the local copy."""
        if self.is_local:
            return super().request(split)
        return {"id": self.id, "revision": self.revision, "archive": self.archive, "split": split}

    def available_splits(self) -> dict[str, str]:
        """Those of a local copy that have a folder; else all that have a name."""
        return super().available_splits() if self.is_local else split_names.existing(self.splits)

    def local_files(self, split: str) -> list[LocalFiles]:
        """All images of the local copy, if there is one."""
        return super().local_files(split) if self.is_local else []

    def open(self, split: str) -> ItemSplit:
        """The images of a split, downloaded and unpacked unless they are on this machine."""
        if self.is_local:
            return super().open(split)
        folder = hub.snapshot(
            self.id, self.revision, "dataset", [self.archive], local_hint="data.path=DIR"
        )
        unpacked = self.cache_dir / "archives" / f"{folder.name}-{self.archive}"
        if not unpacked.exists():
            _unpack(folder / self.archive, unpacked)
        self.path = self._top(unpacked)
        commit = {"id": self.id, "commit": folder.name, "archive": self.archive, "split": split}
        return self._open(split, commit, [])

    def _top(self, unpacked: Path) -> Path:
        wanted = [name for split in self.splits.values() if split for name in split.split("+")]
        for folder, folders, _ in files.walk(unpacked):
            if set(wanted) <= set(folders):
                return Path(folder)
        raise DataError(
            f"Expected the folders {', '.join(wanted)} in {self.archive} of {self.id}, found none "
            f"with all of them in {unpacked}. Name them with data.splits.train=NAME "
            "data.splits.test=NAME."
        )


def _undecoded(paths: list[str]) -> Any:
    """The images as a column of a dataset, which takes little memory for a million paths."""
    from datasets import Dataset, Features, Image

    return Dataset.from_dict({"image": paths}, Features({"image": Image(decode=False)}))["image"]


def _unpack(archive: Path, target: Path) -> None:
    """Unpacks a zip file; if another process is unpacking it, waits until it has."""
    lock = target.with_name(f"{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locks.hold(lock, "unpacks the same archive", lambda _: None):
            if target.exists():
                return
            with zipfile.ZipFile(archive) as opened, files.replacement(target) as draft:
                opened.extractall(draft)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"Cannot unpack {archive} to {target}: {error}. Make room; or delete the archive and "
            "run again, to download it again."
        ) from error
