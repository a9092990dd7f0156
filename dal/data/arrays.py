"""Features that somebody has computed already, as NumPy files in a folder."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dal.data.datamodule import ALDataModule
from dal.data.examples import Examples
from dal.errors import DataError


class Features(ALDataModule):
    """``{train,test}_{features,labels}.npy`` in a folder, memory-mapped.

    Args:
        path: The folder. Features are ``(N, D)`` in float16, float32 or float64, labels ``(N,)``
            integers from 0 to K - 1.
        batch_size: As in :class:`ALDataModule`.
        dev_fraction: As in :class:`ALDataModule`.
        split_seed: As in :class:`ALDataModule`.

    Memory: the files are read through the page cache; only the rows in use are copied.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, dev_fraction, split_seed)
        self.path = Path(path)

    def load(self) -> tuple[Examples, Examples]:
        """The four files.

        Raises:
            DataError: If a file is missing or is not a whole NumPy array.
        """
        return self._load_split("train"), self._load_split("test")

    def _load_split(self, split: str) -> Examples:
        return Examples(
            self._load_array(f"{split}_features.npy"), self._load_array(f"{split}_labels.npy")
        )

    def _load_array(self, name: str) -> Tensor:
        file = self.path / name
        if not file.is_file():
            raise DataError(
                f"Expected the file {name} in data.path, found no {file}. The folder must hold "
                "train_features.npy, train_labels.npy, test_features.npy and test_labels.npy."
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
