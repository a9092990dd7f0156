"""The replacement of the run in a directory by a new one, which loses neither of them.

The new run writes to the subfolder ``.draft`` until it has finished its first cycle. One rename to
``.begun`` then makes it the run of the directory, and its files take the places of the old ones.
Before that rename the old run is untouched. After it, ``.begun`` is what is read, and whoever opens
the directory next completes what a killed process has left.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from dal.runtime import files

DRAFT, BEGUN = ".draft", ".begun"


class Replacement:
    """Where the files of a run are, while and after it replaces another one.

    Args:
        path: The run directory.
        names: The files that belong to a run; others in the directory are left alone.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path = path
        self.names = names
        self.is_draft = False

    def file(self, name: str) -> Path:
        """Where a file of the run is at present, or would be."""
        if self.is_draft:
            return self.path / DRAFT / name
        begun = self.path / BEGUN
        return (begun if begun.exists() else self.path) / name

    def existing(self) -> list[str]:
        """The names of the files that are there."""
        return [name for name in self.names if self.file(name).exists()]

    def recover(self) -> None:
        """Completes a replacement that was killed, or removes what it has left.

        Raises:
            OSError: If the directory cannot be written to.
        """
        if (self.path / BEGUN).exists():
            self._move_into_place()
        files.remove_quietly(self.path / DRAFT)

    def begin(self) -> None:
        """Lets the new run write beside the old one.

        Raises:
            OSError: If the directory cannot be written to.
        """
        (self.path / DRAFT).mkdir()
        self.is_draft = True

    def complete(self) -> None:
        """Makes the new run that of the directory, if it was not before.

        Raises:
            OSError: If the directory cannot be written to.
        """
        if self.is_draft:
            os.replace(self.path / DRAFT, self.path / BEGUN)
            self.is_draft = False
            self._move_into_place()

    def abandon(self) -> None:
        """Removes a new run that has not begun; the old one is where it was."""
        if self.is_draft:
            self.is_draft = False
            files.remove_quietly(self.path / DRAFT)

    def _move_into_place(self) -> None:
        begun = self.path / BEGUN
        # Copied, so that `.begun` stays complete: if this is interrupted, it is done again.
        for name in self.names:
            if (begun / name).exists():
                files.write_atomically(self.path / name, (begun / name).read_bytes())
            else:
                (self.path / name).unlink(missing_ok=True)
        os.replace(begun, self.path / DRAFT)  # at once, unlike the removal of a folder
        files.remove_quietly(self.path / DRAFT)
