"""Features that have been computed already, as NumPy files in a folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dal.data import splits as split_names
from dal.data.examples import Examples
from dal.errors import DataError


class Arrays:
    """``{train,test}_{features,labels}.npy`` in a folder, memory-mapped.

    Args:
        path: The folder. Features are ``(N, D)`` in float16, float32 or float64, labels ``(N,)``
            integers from 0 to K - 1.
        splits: What the files of ``train`` and ``test`` are called. With a ``test`` of None there
            is no test split, and without ``train_labels.npy`` no label is known.

    Memory: the files are read through the page cache; only the rows in use are copied.
    """

    def __init__(self, path: str | Path, splits: Mapping[str, str | None] | None = None) -> None:
        self.path = Path(path).expanduser()
        self.splits = split_names.resolve(splits)

    def load(self) -> tuple[Examples, Examples | None]:
        """The arrays of both splits.

        Raises:
            DataError: If a file is missing or is not a whole NumPy array.
        """
        train, test = self.splits["train"], self.splits["test"]
        assert train is not None
        features = self._load_array(f"{train}_features.npy")
        if test is None:
            are_labeled = (self.path / f"{train}_labels.npy").exists()
            labels = self._load_array(f"{train}_labels.npy") if are_labeled else None
            return Examples(features, labels), None
        return (
            Examples(features, self._load_array(f"{train}_labels.npy")),
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
        try:
            # Copy-on-write, since torch warns of a map that it could not write to.
            array = np.load(file, mmap_mode="c", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise DataError(
                f"Expected a whole NumPy array in {file}, got one that cannot be read ({error}). "
                "Write it again with `numpy.save`."
            ) from error
        try:
            return torch.from_numpy(array)
        except TypeError as error:
            raise DataError(
                f"Expected numbers in {file}, got an array of dtype {array.dtype}."
            ) from error
