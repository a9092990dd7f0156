"""What items are, by digests: of texts, of the files of images, or of the bytes in their rows."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from dal.runtime import files
from dal.runtime.files import CONTENT_BYTES, NUM_READERS, LocalFiles

READ_ROWS = 64  # of a dataset at once: encoded images, some megabytes
READ_TEXTS = 1024


def context(labels: np.ndarray | None, ids: Sequence[str] | None) -> str:
    """A text that changes when any label or id does."""
    plain = [None if labels is None else labels.tolist(), None if ids is None else list(ids)]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def digests_of_rows(rows: Sequence[Any], advance: Callable[[int], None]) -> list[bytes]:
    """A digest of the image in each row of a dataset.

    Args:
        rows: A column of images as ``datasets.Image(decode=False)`` gives them.
        advance: Is called with the number of rows that have been read since the last call.

    Memory: the encoded images of ``READ_ROWS`` rows.
    """
    found: list[bytes] = []
    with ThreadPoolExecutor(NUM_READERS) as pool:
        for start in range(0, len(rows), READ_ROWS):
            some = rows[start : start + READ_ROWS]
            found += pool.map(_digest, some)
            advance(len(some))
    return found


def digests_of_texts(texts: Sequence[str], advance: Callable[[int], None]) -> list[bytes]:
    """A digest of each text.

    Args:
        texts: By row or slice of rows.
        advance: Is called with the number of texts that have been read since the last call.
    """
    found: list[bytes] = []
    for start in range(0, len(texts), READ_TEXTS):
        some = texts[start : start + READ_TEXTS]
        found += [hashlib.sha256(text.encode()).digest()[:CONTENT_BYTES] for text in some]
        advance(len(some))
    return found


def digests_of_files(
    names: Sequence[str], local: LocalFiles, advance: Callable[[int], None]
) -> list[bytes]:
    """A digest of each of some files, which are read together with others.

    Args:
        names: The files, which are among those of ``local``.
        local: All files.
        advance: Is called with the number of files that have been read since the last call.
    """
    local.read(advance)
    by_name = dict(zip(local.names, local.contents, strict=True))
    return [by_name[name] for name in names]


def _digest(row: dict[str, Any] | None) -> bytes:
    encoded, path = (row or {}).get("bytes"), (row or {}).get("path")
    if encoded is not None:
        return hashlib.sha256(encoded).digest()[:CONTENT_BYTES]
    if path is None:
        return b""
    # With the path, which may be an address: what is not on this machine has no content here.
    return hashlib.sha256(f"{path}\0".encode() + files.content(Path(path))).digest()[:CONTENT_BYTES]
