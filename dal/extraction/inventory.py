"""What is in the feature cache: its entries, unfinished extractions and unpacked archives."""

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dal.errors import DataError
from dal.extraction.cache import FeatureCache
from dal.extraction.entry import MANIFEST
from dal.runtime import files, locks

KINDS = {"features": "entry", "drafts": "draft", "archives": "archive"}  # by folder


@dataclass(frozen=True)
class Stored:
    """Something in the cache that can be removed on its own.

    Attributes:
        kind: ``"entry"``, ``"draft"`` or ``"archive"``.
        path: Its folder.
        what: What it is, in words.
        num_rows: Rows of features, if it is an entry.
        num_bytes: Its size on disk.
        age_seconds: Since it was written.
        is_found: Whether a request leads to it; an entry that is not found was replaced when
            items or weights had changed.
    """

    kind: str
    path: Path
    what: str
    num_rows: int | None
    num_bytes: int
    age_seconds: float
    is_found: bool

    @property
    def id(self) -> str:
        """The name of its folder, by which a user names it."""
        return self.path.name


def listed(cache: FeatureCache) -> list[Stored]:
    """Everything that can be removed on its own, the largest first."""
    requests = _requests(cache)
    contents = {index.get("content") for index in requests.values()}
    found = []
    for folder, kind in KINDS.items():
        top = cache.path / folder
        for path in sorted(top.iterdir()) if top.is_dir() else []:
            if not path.is_dir():
                continue  # a lock
            manifest = _read_json(path / MANIFEST) if kind == "entry" else {}
            rows = manifest.get("shape", [None])[0]
            request = manifest.get("provenance", {}).get("request", {})
            found.append(
                Stored(
                    kind=kind,
                    path=path,
                    what=_what(kind, path, request),
                    num_rows=rows,
                    num_bytes=_size(path),
                    age_seconds=max(0.0, time.time() - path.stat().st_mtime),
                    is_found=kind != "entry" or path.name in contents,
                )
            )
    return sorted(found, key=lambda stored: -stored.num_bytes)


def remove(cache: FeatureCache, stored: Iterable[Stored]) -> None:
    """Removes some of what is in the cache, with what leads to it.

    Raises:
        DataError: If a file cannot be removed, or a process is writing to a draft.
    """
    removed = {item.id for item in stored}
    try:
        for file, index in _requests(cache).items():
            if index.get("content") in removed:
                file.unlink(missing_ok=True)
        for item in stored:
            if item.kind == "draft":
                _check_unused(cache, item)
            # Under another name first, so that no process finds a half of it.
            doomed = item.path.with_name(f".{item.id}.tmp")
            files.remove_quietly(doomed)
            item.path.rename(doomed)
            shutil.rmtree(doomed)
    except OSError as error:
        raise DataError(
            f"Cannot remove {error.filename} ({error.strerror}). Permit writing to {cache.path}."
        ) from error


def _check_unused(cache: FeatureCache, draft: Stored) -> None:
    """Checks that no process computes what a draft will be: they have the same lock."""

    def refuse(holder: str) -> None:
        raise DataError(f"Cannot remove the draft {draft.id}: {holder} is computing it.")

    file = cache.path / "locks" / draft.id
    file.parent.mkdir(exist_ok=True)
    with locks.hold(file, "computes the same features", refuse):
        return


def _requests(cache: FeatureCache) -> dict[Path, dict[str, Any]]:
    folder = cache.path / "index"
    return {file: _read_json(file) for file in sorted(folder.glob("*.json"))}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _what(kind: str, path: Path, request: dict[str, Any]) -> str:
    if kind == "archive":
        return "unpacked images of the hub"
    if kind == "draft":
        num = len(list(path.glob("part-*.npz")))
        return f"unfinished, {num:,} {'part' if num == 1 else 'parts'}"
    items, backbone = request.get("items", request.get("dataset", {})), request.get("backbone", {})
    if not request:
        return "damaged: no manifest"
    where = items.get("path") or items.get("id") or "?"
    network = backbone.get("weights") or backbone.get("id") or "?"
    return f"{items.get('split', '')} of {where}, {network}, {request.get('dtype', '')}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
