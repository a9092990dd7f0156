"""The feature cache: features on disk, found by request, stored by content.

::

    index/<request>.json       which content a request (names, revisions, split, ...) led to
    features/<content>/        features.npy, labels.npy, ids.jsonl, manifest.json: all, or none
    drafts/<request>/          parts of an extraction that is running, or that was killed
    locks/                     which process works on what

The address of a content is a hash of everything that the numbers depend on: the network's weights
and settings, the items, and the type of the numbers. A request holds only names. So a request that
the cache knows needs neither weights nor items. Those of them that are the user's own files, and
still exist, are checked for changes.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from dal.errors import ConfigError, DataError
from dal.extraction.draft import writing
from dal.extraction.entry import MANIFEST, Entry
from dal.extraction.progress import Count, ExtractionListener
from dal.runtime import files, locks
from dal.runtime.files import LocalFiles

ENVIRONMENT = "DAL_CACHE"


def default_path() -> Path:
    """``$DAL_CACHE``, or a folder in the user's cache folder: on Linux ``~/.cache/dal``."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("dal")


class FeatureCache:
    """Features by request and by content, in one folder that processes and machines may share.

    Args:
        path: The folder; ``$DAL_CACHE`` or the user's cache folder if not given.

    Raises:
        ConfigError: If ``path`` is empty.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        if path is not None and not str(path):
            raise ConfigError("Expected a folder as `cache_dir`, got an empty value.")
        self.path = default_path() if path is None else Path(path).expanduser().absolute()

    @staticmethod
    def address(description: Mapping[str, Any]) -> str:
        """The name under which something of this description is stored: 32 hexadecimal digits.

        Example:
            >>> FeatureCache.address({"a": 1, "b": 2}) == FeatureCache.address({"b": 2, "a": 1})
            True
        """
        return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:32]

    def find(
        self,
        request: Mapping[str, Any],
        local_files: Sequence[LocalFiles],
        listener: ExtractionListener,
    ) -> Entry | None:
        """The features that a request led to before, if nothing has changed since.

        Args:
            request: What is asked for, by name.
            local_files: The user's own files that the request names, those of them that exist.
            listener: Is told how long it takes to find out.

        Raises:
            DataError: If the cache is damaged there.
        """
        index = self._index(request)
        if index is None:
            return None
        known, named = index["local"], index.get("named", [])
        renewed: dict[str, Any] = dict(known)
        renewed_named: list[dict[str, Any]] = []
        for local in local_files:
            root = str(local.root)
            if root in known:
                renewed[root] = self._compared(local, known[root], listener)
        for files_before in named:
            names, context = files_before["names"], files_before.get("context", "")
            local = LocalFiles(Path(files_before["root"]), names, context)
            if local.exist:
                renewed_named.append(files_before | self._compared(local, files_before, listener))
            else:
                renewed_named.append(files_before)
        if any(state.get("has_changed") for state in (*renewed.values(), *renewed_named)):
            return None
        if renewed != known or renewed_named != named:
            # The dates alone have changed: next time, the digest is not needed.
            self._renew_index(
                self._index_file(request), {**index, "local": renewed, "named": renewed_named}
            )
        return self.entry(index["content"])

    def earlier(self, request: Mapping[str, Any]) -> Entry | None:
        """The features that a request led to before, whatever has changed since."""
        index = self._index(request)
        return None if index is None else self.entry(index["content"])

    def _index(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        file = self._index_file(request)
        try:
            index = json.loads(file.read_text())
            if not {"content", "local"} <= index.keys():
                raise ValueError("it is incomplete")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(
                f"The feature cache is damaged: cannot read {file} ({error}). Delete it and run "
                "again."
            ) from error
        return dict(index)

    def _compared(
        self, local: LocalFiles, before: Mapping[str, Any], listener: ExtractionListener
    ) -> dict[str, Any]:
        """The state of files now, with the key ``has_changed`` if that is another."""
        if before["stamp"] == local.stamp:
            return {"stamp": before["stamp"], "digest": before["digest"]}
        count = Count(listener, f"Looking for changes in {local.root}", len(local.names))
        local.read(count.advance)
        state: dict[str, Any] = {"stamp": local.stamp, "digest": local.digest}
        return state if local.digest == before["digest"] else state | {"has_changed": True}

    def entry(self, content: str) -> Entry | None:
        """The features of a content, if the cache has them.

        Raises:
            DataError: If their manifest is damaged.
        """
        path = self.folder(content)
        if not path.exists():
            return None
        file = path / MANIFEST
        try:
            manifest = json.loads(file.read_text())
            if not {"shape", "files", "content"} <= manifest.keys():
                raise ValueError("it is incomplete")
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(
                f"The feature cache is damaged: cannot read {file} ({error}). Delete the folder "
                f"{path} and run again: its features are computed from scratch."
            ) from error
        return Entry(path, manifest)

    def related(self, settings: Mapping[str, Any], keys: Collection[str]) -> Entry | None:
        """The features of which most parts can be used again, whatever request led to them.

        Args:
            settings: With which they must have been computed.
            keys: Of the parts that are wanted.
        """
        best, most = None, 0
        for file in sorted(self.path.glob(f"features/*/{MANIFEST}")):
            try:
                manifest = json.loads(file.read_text())
                if manifest["settings"] != settings:
                    continue
                num = sum(num_rows for key, num_rows in manifest["parts"] if key in keys)
            except (OSError, ValueError, KeyError, TypeError):
                continue  # damaged, or of an earlier version
            if num > most:
                best, most = Entry(file.parent, manifest), num
        return best

    def remember(
        self,
        request: Mapping[str, Any],
        content: str,
        local_files: Sequence[LocalFiles],
        named: Sequence[LocalFiles] = (),
    ) -> None:
        """From now on, :meth:`find` returns this content for this request.

        Args:
            request: What was asked for.
            content: The address of what it led to.
            local_files: The user's own files that it was made from, and that are given to
                :meth:`find` again.
            named: Those that only the items name: they are kept with their names.

        Raises:
            DataError: If it cannot be written.
        """
        known = {
            str(local.root): {"stamp": local.stamp, "digest": local.digest} for local in local_files
        }
        file = self._index_file(request)
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            index: dict[str, Any] = {"request": request, "content": content, "local": known}
            if named:
                index["named"] = [
                    {
                        "root": str(local.root),
                        "names": list(local.names),
                        "context": local.context,
                        "stamp": local.stamp,
                        "digest": local.digest,
                    }
                    for local in named
                ]
            files.write_atomically(file, json.dumps(index, indent=2) + "\n")

    def draft_folder(self, request: Mapping[str, Any]) -> Path:
        """Where the parts of the features of a request are collected."""
        return self.path / "drafts" / self.address(request)

    def folder(self, content: str) -> Path:
        """Where the features of a content are, or will be."""
        return self.path / "features" / content

    @contextmanager
    def lock(self, name: str, what: str, listener: ExtractionListener) -> Iterator[None]:
        """Lets one process at a time compute something; the others wait, and say so.

        Args:
            name: Of the lock, an address.
            what: What is computed, for the message.
            listener: Is told which process is waited for.

        Raises:
            DataError: If the cache cannot be written to.
        """
        file = self.path / "locks" / name

        def say_who(holder: str) -> None:
            listener.say(f"Waiting for {holder}, which is computing {what}.")

        with ExitStack() as held:
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(locks.hold(file, "computes the same features", say_who))
            yield

    def _index_file(self, request: Mapping[str, Any]) -> Path:
        return self.path / "index" / f"{self.address(request)}.json"

    def _renew_index(self, file: Path, index: Mapping[str, Any]) -> None:
        try:
            files.write_atomically(file, json.dumps(index, indent=2) + "\n")
        except OSError:
            return  # a cache that is read-only for this user is enough
