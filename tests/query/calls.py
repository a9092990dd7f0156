"""Calls of the command in a folder with embeddings, and a person who answers."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from dal import query

Command = Callable[..., tuple[int, str, str]]

SIZE = 60
CLASSES = ("cat", "dog", "owl")
ARRAYS = ["data=arrays", "data.path=embeddings.npy", "ids=ids.txt"]
FIRST = [*ARRAYS, "project=cards", "num=6", "trainer.max_epochs=5"]
ANSWERED = ["project=cards", "labels=cards/round_001/to_label.csv"]


def embeddings() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(SIZE, 4)) + 4 * np.eye(4)[np.arange(SIZE) % 3]).astype("float32")


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs the command in this process and a folder: exit status, output, errors."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "argv", ["dal.query", *arguments])
        try:
            query.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    return status, out.getvalue(), err.getvalue()


def write_data(folder: Path) -> None:
    np.save(folder / "embeddings.npy", embeddings())
    (folder / "ids.txt").write_text("".join(f"card {row}\n" for row in range(SIZE)))


def fill_in(table: Path, skipped: Sequence[str] = (), only: str | None = None) -> list[str]:
    """Writes the classes into a table that was handed out, as a person would; the ids in it."""
    with table.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        own = only or CLASSES[int(row["id"].split()[1]) % 3]
        row["label"] = "" if row["id"] in skipped else own
    with table.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [row["id"] for row in rows]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: the content of files, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def begin(command: Command, folder: Path) -> None:
    """Makes a project with two rounds, the first of which is labeled."""
    assert command(*FIRST)[0] == 0
    fill_in(folder / "cards" / "round_001" / "to_label.csv")
    assert command(*ANSWERED)[0] == 0


def check_refused(folder: Path, arguments: Sequence[str], message: str) -> None:
    """Runs a command that should be refused with one message, and change nothing."""
    before = tree(folder)
    status, _, err = run(folder, *arguments)
    assert status == 1
    assert err.startswith("Error")
    assert message in err
    assert err.count("Error") == 1 + ("Error merging" in err)
    assert err.count("\n") == 1 + ("could not be converted" in err)  # Hydra's own has two lines
    assert tree(folder) == before
