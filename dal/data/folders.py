"""What is in a folder of images: its images by class, and what else is there."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dal.errors import DataError
from dal.runtime import files

# Names of folders of splits, in lower case, as people choose them.
SPLIT_NAMES = frozenset(
    ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")
)

# Formats that Pillow recognises but that are documents, videos or containers of other data, or of
# which it can read nothing without another program.
NO_IMAGE_FORMATS = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"))

# How the datasets library names the table of the labels of images in a folder.
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")

# Files that Windows makes.
PRIVATE_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Listing:
    """The images in some folders, by name.

    Attributes:
        names: Their paths, relative to the folder of all splits.
        classes: The class of each image: the name of the folder below that of the split; None for
            an image that is in no such folder.
        notes: What was passed over, for the user to read.
    """

    names: list[str]
    classes: list[str | None]
    notes: list[str]


@cache
def extensions() -> frozenset[str]:
    """Extensions of the files that Pillow can open as images, in lower case."""
    from PIL import Image

    known = Image.registered_extensions()  # loads the formats
    return frozenset(
        extension
        for extension, name in known.items()
        if name in Image.OPEN and name not in NO_IMAGE_FORMATS
    )


def visible_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in a fixed order, without hidden ones."""
    return files.walk(folder, depth=0)[0][1]


def is_split_name(folder: str) -> bool:
    """Whether a folder is called as folders of splits are, in upper or lower case."""
    return folder.lower() in SPLIT_NAMES


def list_images(root: Path, tops: Sequence[Path]) -> Listing:
    """The images below some folders.

    Args:
        root: The folder of all splits.
        tops: Those of the split, each with a folder for each class.

    Raises:
        DataError: If a folder cannot be read, the folders of the classes are elsewhere, or a table
            beside the images has their labels.
    """
    listing = Listing([], [], [])
    passed_over: Counter[str] = Counter()
    for top in tops:
        first = len(listing.names)
        is_nested, tables = True, []
        for folder, _, names in files.walk(top):
            below = Path(folder).relative_to(top).parts
            own = unicodedata.normalize("NFC", below[0]) if below else None
            prefix = "" if Path(folder) == root else f"{Path(folder).relative_to(root)}{os.sep}"
            for name in names:
                suffix = os.path.splitext(name)[1].lower()
                if name.startswith(".") or name.lower() in PRIVATE_FILES:
                    continue
                if suffix in extensions():
                    listing.names.append(f"{prefix}{name}")
                    listing.classes.append(own)
                    is_nested = is_nested and len(below) > 1
                else:
                    passed_over[suffix or "without an extension"] += 1
                    tables += [name] if name.lower() in METADATA and not below else []
        found = {own for own in listing.classes[first:] if own}
        if tables and not found:
            raise DataError(
                f"Found {tables[0]} beside the images in {top}, which data=imagefolder does not "
                f"read. Use data=dataset data.path={root}."
            )
        if found and is_nested:
            _check_depth(top, found)
    if passed_over:
        counts = ", ".join(f"{num:,} {suffix}" for suffix, num in sorted(passed_over.items()))
        num = passed_over.total()
        listing.notes.append(f"{num:,} {'file' if num == 1 else 'files'} passed over: {counts}")
    return listing


def _check_depth(top: Path, classes: set[str]) -> None:
    """Checks that folders which hold only folders can be classes."""
    for name in sorted(classes):
        inner = visible_folders(top / name) if (top / name).is_dir() else []
        if len(classes) == 1 or any(map(is_split_name, inner)):
            raise DataError(
                f"Expected one folder for each class in {top}, found '{name}', which holds only "
                f"folders ({', '.join(inner[:3])}{', …' * (len(inner) > 3)}). Is it one level too "
                f"high? Give the folder below, {top / name}."
            )
