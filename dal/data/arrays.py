"""Features that have been computed already, as NumPy files in a folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from dal.data import splits as split_names
from dal.data.examples import Examples
from dal.errors import DataError
from dal.runtime import memory_maps


class Arrays:
    """``{train,test}_{features,labels}.npy`` in a folder, memory-mapped.

    Args:
        path: The folder. Features are ``(N, D)`` in float16, float32 or float64, labels ``(N,)``
            integers from 0 to K - 1. Or one file of features, without any label.
        splits: What the files of ``train`` and ``test`` are called. With a ``test`` of None there
            is no test split, and without ``train_labels.npy`` no label is known.
        ids: A text file with the name of each train row in a line, in UTF-8.

    Memory: the files are read through the page cache; only the rows in use are copied.
    """

    def __init__(
        self,
        path: str | Path,
        splits: Mapping[str, str | None] | None = None,
        ids: str | Path | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self.splits = split_names.resolve(splits)
        self.ids = None if ids is None else Path(ids).expanduser()

    def load(self) -> tuple[Examples, Examples | None]:
        """The arrays of both splits.

        Raises:
            DataError: If a file is missing or is not a whole NumPy array.
        """
        train, test = self.splits["train"], self.splits["test"]
        assert train is not None
        ids = self._load_ids()
        if self.path.is_file():
            if test is not None:
                raise DataError(
                    f"Expected data.path to be a folder with arrays of two splits, got the file "
                    f"{self.path}. Without a test split, add data.splits.test=null."
                )
            return Examples(_load(self.path), None, ids), None
        if not self.path.exists():
            raise DataError(
                f"Expected data.path to be a folder with arrays, or a file of features, found no "
                f"{self.path}. Relative paths start at {Path.cwd()}."
            )
        features = self._load_array(f"{train}_features.npy")
        if test is None:
            are_labeled = (self.path / f"{train}_labels.npy").exists()
            labels = self._load_array(f"{train}_labels.npy") if are_labeled else None
            return Examples(features, labels, ids), None
        return (
            Examples(features, self._load_array(f"{train}_labels.npy"), ids),
            Examples(
                self._load_array(f"{test}_features.npy"), self._load_array(f"{test}_labels.npy")
            ),
        )

    def _load_array(self, name: str) -> Tensor:
        file = self.path / name
        if not file.is_file():
            raise DataError(
                f"Expected the file {name} in data.path, found no {file}. The folder should hold "
                "train_features.npy, train_labels.npy, test_features.npy and test_labels.npy; "
                "without a test split, add data.splits.test=null."
            )
        return _load(file)

    def _load_ids(self) -> list[str] | None:
        if self.ids is None:
            return None
        try:
            # Not splitlines(), which also ends a line at characters that an id may have.
            lines = self.ids.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"Expected `ids` to be a text file in UTF-8 with an id in each line, got "
                f"{self.ids}, which cannot be read ({getattr(error, 'strerror', None) or error}). "
                "Correct the path, or save the file as UTF-8."
            ) from error
        return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def _load(file: Path) -> Tensor:
    try:
        # Copy-on-write, since torch warns of a map that it could not write to.
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        # Of numpy's text not the advice how to load a pickle.
        reason = str(error).partition(". ")[0]
        raise DataError(
            f"Expected a whole NumPy array in {file}, got one that cannot be read "
            f"({reason}). Write it again with `numpy.save`, as float32 for example: Python objects "
            "are never loaded, since they may run any code."
        ) from error
    try:
        return memory_maps.tensor(array)
    except (TypeError, AttributeError) as error:
        kind = getattr(array, "dtype", "several arrays")
        raise DataError(
            f"Expected numbers in {file}, one array of them, got {kind}. Write it again "
            "with `numpy.save`."
        ) from error
