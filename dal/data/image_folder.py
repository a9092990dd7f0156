"""Images in folders, one folder for each class: on disk, or in an archive on the hub."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from dal.data import folders, labels
from dal.data import splits as split_names
from dal.data.folders import Listing
from dal.errors import DataError
from dal.extraction import hub
from dal.extraction.cache import FeatureCache
from dal.extraction.items import ItemSplit, MissingSplitError
from dal.runtime import files, locks
from dal.runtime.files import LocalFiles


class ImageFolder:
    """Images in one folder for each class: ``DIR/train/cat/1.jpg`` and ``DIR/test/dog/2.png``.

    Without folders for the splits, ``DIR/cat/1.jpg``, all images are train. Images directly in
    ``DIR`` have no labels: their features can be extracted, but an experiment needs labels. Hidden
    files are skipped; other files that Pillow cannot open are counted in the notes of a split.

    The folder is listed once: images that are added later belong to another object.

    Args:
        path: The folder.
        splits: The names of the splits ``train`` and ``test``; several names may be joined with
            ``+``. If ``test`` is None, there is no test split.
        partly_labeled: Whether images may be in the folders of classes and beside them: these have
            no label then. If not, they are an error.

    Raises:
        ConfigError: If ``path`` is empty or ``splits`` has no name for train.
    """

    noun = "image"

    def __init__(
        self,
        path: str | Path,
        splits: Mapping[str, str | None] | None = None,
        partly_labeled: bool = False,
    ) -> None:
        self.splits = split_names.resolve(splits)
        self.path = split_names.folder(path)
        self.partly_labeled = partly_labeled
        self._listings: dict[str, Listing] = {}
        self._local: dict[str, LocalFiles] = {}

    def request(self, split: str) -> dict[str, Any]:
        """The folder's path, the split, and the train split, whose classes number the labels."""
        return {"path": str(self.path), "split": split, "train": self.splits["train"]}

    def local_files(self, split: str) -> list[LocalFiles]:
        """All images of the split; none if the folder has none, as one that is not mounted."""
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return []
        if not self._listing(split).names:
            return []
        return [self._files(split)]

    def open(self, split: str) -> ItemSplit:
        """The images of a split, by class and name."""
        self._check_folder()
        local = self._files(split)
        return self._open(split, {"split": split}, local)

    def passed_over(self) -> str:
        """The folders beside those of the splits."""
        used = self._used()
        known = folders.visible_folders(self.path) if self.path.is_dir() else []
        others = [name for name in known if name not in used]
        if not others or not used & set(known):
            return ""
        what = "folder" if len(others) == 1 else "folders"
        return f"{len(others):,} {what} passed over: {_some(others)}"

    @property
    def class_folder(self) -> Path:
        """The folder of the folders of train's classes; of several, the first."""
        return self._tops(self.splits["train"] or "train")[0]

    def _open(self, split: str, fingerprint: dict[str, Any], local: LocalFiles | None) -> ItemSplit:
        listing = self._listing(split)
        where = " and ".join(str(top) for top in self._tops(split))
        if not listing.names:
            found = f" ({'; '.join(listing.notes)})" if listing.notes else ""
            if not any(self.path.iterdir()):
                found = " since it is empty (is its disk mounted?)"
            raise DataError(
                f"Expected images in {where}, found none{found}. Their names must end in .jpg, "
                ".png or another extension of images that Pillow can open, in one folder for each "
                "class."
            )
        classes = self._classes(self.splits["train"] or split)
        numbers = self._labels(listing, classes, where)
        return ItemSplit(
            items=ImagePaths(str(self.path), listing.names),
            noun="image",
            labels=numbers,
            class_names=None if numbers is None else classes,
            ids=[files.printable(name) for name in listing.names],
            fingerprint=fingerprint | {"classes": classes},
            local=[] if local is None else [local],
            where=where,
            contents=local,
            notes=listing.notes,
        )

    def _files(self, split: str) -> LocalFiles:
        if split not in self._local:
            classes = "\n".join(self._classes(self.splits["train"] or split))
            names = self._listing(split).names
            self._local[split] = LocalFiles(self.path, names, files.printable(classes))
        return self._local[split]

    def _listing(self, split: str) -> Listing:
        if split not in self._listings:
            self._listings[split] = folders.list_images(self.path, self._tops(split))
        return self._listings[split]

    def _has_folders(self, split: str) -> bool:
        return all((self.path / name).is_dir() for name in split.split("+"))

    def _tops(self, split: str) -> list[Path]:
        """The folders of a split; that of all images for train, if no split has a folder."""
        self._check_folder()
        if self._has_folders(split):
            return [self.path / name for name in split.split("+")]
        known = folders.visible_folders(self.path)
        looks_split = [name for name in known if folders.is_split_name(name)]
        test = self.splits["test"]
        # A train split under another name than the default is one that the user expects there.
        is_whole = split == self.splits["train"] == "train" and not (
            looks_split or (test and self._has_folders(test))
        )
        if is_whole:
            return [self.path]
        remedy = split_names.REMEDY
        if looks_split and not self._used() & set(known):
            remedy += (
                " If these are folders of classes, put them into a folder 'train': their names are "
                "like those of splits."
            )
        raise MissingSplitError(
            f"Expected a folder '{split}' in {self.path}, found {_some(known)}.", remedy
        )

    def _used(self) -> set[str]:
        """The names of the folders of all splits."""
        return {name for split in self.splits.values() for name in (split or "").split("+")}

    def _check_folder(self) -> None:
        if not self.path.is_dir():
            found = f"the file {self.path}" if self.path.exists() else f"no {self.path}"
            raise DataError(f"Expected data.path to be a folder of images, found {found}.")

    def _classes(self, split: str) -> list[str]:
        return sorted({name for name in self._listing(split).classes if name})

    def _labels(self, listing: Listing, classes: list[str], where: str) -> np.ndarray | None:
        if not any(listing.classes):
            return None
        stray = [name for name, own in zip(listing.names, listing.classes, strict=True) if not own]
        if stray and not self.partly_labeled:
            raise DataError(
                f"Expected an image in the folder of a class, got {self.path / stray[0]}"
                f"{f' and {len(stray) - 1:,} more' if len(stray) > 1 else ''}. Move them."
            )
        return labels.number(listing.classes, classes, where)


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
        super().__init__("." if path is None else path, splits)
        self.id = id
        self.archive = archive
        self.revision = revision
        self.is_local = path is not None
        self.cache_dir = FeatureCache(cache_dir).path

    def request(self, split: str) -> dict[str, Any]:
        """The names on the hub and the split, or the path of the local copy."""
        if self.is_local:
            return super().request(split)
        archive = {"id": self.id, "revision": self.revision, "archive": self.archive}
        return {**archive, "split": split, "train": self.splits["train"]}

    def local_files(self, split: str) -> list[LocalFiles]:
        """All images of the local copy, if there is one."""
        return super().local_files(split) if self.is_local else []

    def passed_over(self) -> str:
        """The folders beside those of the splits, of a local copy."""
        return super().passed_over() if self.is_local else ""

    def open(self, split: str) -> ItemSplit:
        """The images of a split, downloaded and unpacked unless they are on this machine."""
        if self.is_local:
            if (self.path / self.archive).is_file():
                raise DataError(
                    f"Expected the images that are in {self.path / self.archive}, found the "
                    f"archive. Unpack it, for example with `unzip {self.archive}`, and give the "
                    "folder of its splits as data.path."
                )
            return super().open(split)
        folder = hub.snapshot(
            self.id, self.revision, "dataset", [self.archive], local_hint="data.path=DIR"
        )
        unpacked = self.cache_dir / "archives" / f"{folder.name}-{self.archive}"
        if not unpacked.exists():
            _unpack(folder / self.archive, unpacked)
        self.path = self._top(unpacked)
        commit = {"id": self.id, "commit": folder.name, "archive": self.archive, "split": split}
        return self._open(split, commit, None)

    def _top(self, unpacked: Path) -> Path:
        wanted = [name for split in self.splits.values() if split for name in split.split("+")]
        for folder, inner, _ in files.walk(unpacked):
            if set(wanted) <= set(inner):
                return Path(folder)
        raise DataError(
            f"Expected the folders {', '.join(wanted)} in {self.archive} of {self.id}, found none "
            f"with all of them in {unpacked}. Name them with data.splits.train=NAME "
            "data.splits.test=NAME."
        )


class ImagePaths(Sequence[dict[str, Any]]):
    """Image files, as items that are not read yet.

    Args:
        folder: The folder of all of them.
        names: Their paths relative to it; empty if there is none.
    """

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, row: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, row: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        name = self.names[row]
        return {"path": os.path.join(self.folder, name) if name else None, "bytes": None}


def _some(names: Sequence[str], num: int = 5) -> str:
    """Some names in a sentence."""
    return ", ".join(names[:num]) + (", …" * (len(names) > num)) if names else "none"


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
