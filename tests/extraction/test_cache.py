import dataclasses
import errno
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dal.errors import ConfigError, DataError
from dal.extraction import ExtractionListener, FeatureCache
from dal.extraction.draft import Draft, Part
from dal.extraction.entry import Entry
from dal.extraction.progress import Count
from dal.runtime import files
from dal.runtime.files import LocalFiles
from tests.images import Recorder

REQUEST = {"dataset": {"id": "a/b", "split": "train"}, "dtype": "float16"}
FEATURES = np.arange(28, dtype=np.float16).reshape(7, 4)
NAMES = [f"{row}\u2028\n\\.png" for row in range(7)]  # what a file's name may have
SIZES = [3, 3, 1]
SETTINGS = {"precision": "float32"}
CONTENT = FeatureCache.address({"what": "features"})


def draft_of(
    path: Path, sizes: Sequence[int] = SIZES, settings: Mapping[str, str] = SETTINGS
) -> Draft:
    """A draft of parts of these sizes, in a cache."""
    store = FeatureCache(path)
    parts = [Part(f"part{number}", size) for number, size in enumerate(sizes)]
    return Draft(store.draft_folder(REQUEST), store.folder(CONTENT), settings, parts)


def filled(path: Path, draft: Draft | None = None) -> Entry:
    """An entry of seven rows, as an extraction would leave it."""
    draft = draft or draft_of(path)
    draft.open()
    for part in draft.missing():
        draft.write(part, FEATURES[3 * part : 3 * part + 3])
    manifest = {"content": {"what": "features"}, "class_names": ["x", "y"]}
    return draft.assemble(np.arange(7) % 2, NAMES, manifest)


def test_parts_become_one_entry(tmp_path: Path) -> None:
    entry = filled(tmp_path)
    features, labels = entry.load()
    np.testing.assert_array_equal(features.numpy(), FEATURES)
    assert features.numpy().dtype == np.float16
    assert labels is not None
    assert labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert entry.ids() == NAMES
    assert len(entry) == 7
    np.testing.assert_array_equal(np.load(entry.path / "features.npy"), FEATURES)
    assert FeatureCache(tmp_path).entry(CONTENT) == entry
    assert list((tmp_path / "drafts").iterdir()) == []
    features[0] = 9  # private to this process
    np.testing.assert_array_equal(entry.load()[0].numpy(), FEATURES)


def test_a_draft_keeps_its_parts_and_finds_damaged_ones(tmp_path: Path) -> None:
    draft = draft_of(tmp_path)
    draft.open()
    assert draft.missing() == [0, 1, 2]
    draft.write(1, FEATURES[3:6])
    draft.write(0, FEATURES[:3])
    again = draft_of(tmp_path)
    again.open()
    assert again.missing() == [2]
    file = next(draft.path.glob("part-part1*"))
    data = bytearray(file.read_bytes())
    data[data.index(FEATURES[3:6].tobytes()) + 5] ^= 1
    file.write_bytes(data)
    assert again.missing() == [1, 2]
    file.write_bytes(data[:20])
    assert again.missing() == [1, 2]
    with pytest.raises(DataError, match="Part 1 .* is damaged"):
        again.assemble(None, None, {})
    other = draft_of(tmp_path, settings={"precision": "bf16"})
    other.open()
    assert other.missing() == [0, 1, 2]  # parts of other numbers are not mixed in


@pytest.mark.parametrize("name", ["features.npy", "labels.npy", "ids.jsonl", "manifest.json"])
def test_damage_is_reported_and_never_read(tmp_path: Path, name: str) -> None:
    entry = filled(tmp_path)
    store = FeatureCache(tmp_path)
    file = entry.path / name
    whole = file.read_bytes()
    cut = whole[: len(whole) // 2]
    flipped = bytes([*whole[:-3], whole[-3] ^ 4, *whole[-2:]])
    for damaged in (cut, b"", *([] if name == "manifest.json" else [flipped])):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=f"damaged.*{name}.*Delete the folder") as error:
            found = store.entry(CONTENT)
            assert found is not None
            found.load()
        assert str(entry.path) in str(error.value)
    file.unlink()
    with pytest.raises(DataError, match="damaged"):
        (store.entry(CONTENT) or entry).load()


def test_a_request_finds_what_it_led_to(tmp_path: Path) -> None:
    entry = filled(tmp_path)
    store = FeatureCache(tmp_path)
    assert store.find(REQUEST, [], ExtractionListener()) is None
    store.remember(REQUEST, CONTENT, [])
    assert store.find(REQUEST, [], ExtractionListener()) == entry
    assert store.find({**REQUEST, "dtype": "float32"}, [], ExtractionListener()) is None
    (index,) = (tmp_path / "index").iterdir()
    index.write_text(index.read_text()[:-9])
    with pytest.raises(DataError, match=f"damaged.*{index.name}"):
        store.find(REQUEST, [], ExtractionListener())


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"content": "x"}'])
def test_an_index_that_is_damaged(content: str, tmp_path: Path) -> None:
    store = FeatureCache(tmp_path)
    filled(tmp_path)
    store.remember(REQUEST, CONTENT, [])
    (index,) = (tmp_path / "index").iterdir()
    index.write_text(content)
    with pytest.raises(DataError, match=f"damaged.*{index.name}.*Delete it"):
        store.find(REQUEST, [], ExtractionListener())


def test_entries_of_earlier_versions_can_be_read(tmp_path: Path) -> None:
    entry = filled(tmp_path)
    (entry.path / "ids.jsonl").rename(entry.path / "names.txt")
    (entry.path / "names.txt").write_text("".join(f"{row}\u2028.png\n" for row in range(7)))
    manifest = dict(entry.manifest)
    for key in ("settings", "parts"):
        del manifest[key]
    manifest["files"] = {
        name: {
            "bytes": (entry.path / name).stat().st_size,
            "sha256": files.sha256(entry.path / name),
        }
        for name in ("features.npy", "labels.npy", "names.txt")
    }
    (entry.path / "manifest.json").write_text(json.dumps(manifest))
    old = FeatureCache(tmp_path).entry(CONTENT)
    assert old is not None
    old.check()
    assert old.ids() == [f"{row}\u2028.png" for row in range(7)]
    assert old.summary == "7 rows"
    assert old.part("part0") is None


def test_parts_of_any_entry_can_be_used_again(tmp_path: Path) -> None:
    entry = filled(tmp_path)
    store, settings = FeatureCache(tmp_path), entry.manifest["settings"]
    assert store.related(settings, ["part1", "other"]) == entry
    assert store.related(settings, ["other"]) is None
    assert store.related({**settings, "dtype": "other"}, ["part1"]) is None
    (entry.path / "manifest.json").write_text("{")
    assert store.related(settings, ["part1"]) is None


def test_files_that_only_items_name_are_watched(tmp_path: Path) -> None:
    entry = filled(tmp_path / "cache")
    store = FeatureCache(tmp_path / "cache")
    own = tmp_path / "images"
    own.mkdir()
    (own / "1.png").write_bytes(b"one")
    store.remember(REQUEST, CONTENT, [], [LocalFiles(own, ["1.png"])])
    heard = Recorder()
    assert store.find(REQUEST, [], heard) == entry
    os.utime(own / "1.png", ns=(1, 1))
    assert store.find(REQUEST, [], heard) == entry
    (own / "1.png").write_bytes(b"two")
    assert store.find(REQUEST, [], heard) is None
    (own / "1.png").unlink()
    assert store.find(REQUEST, [], heard) == entry  # gone: only the cache is left
    with pytest.raises(ConfigError, match="`cache_dir`, got an empty value"):
        FeatureCache("")


def test_what_takes_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    heard = Recorder()
    count = Count(heard, "Reading the files in x", 2000)
    for _ in range(20):
        now += 1.0
        count.advance(100)
    assert heard.messages == [
        "Reading the files in x: 200 of 2,000 files.",
        "Reading the files in x: 1,200 of 2,000 files.",
    ]


def test_a_part_without_readable_items(tmp_path: Path) -> None:
    draft = dataclasses.replace(draft_of(tmp_path), skip_broken=True)
    draft.open()
    draft.write(0, np.empty((0, 0), np.float16), {0: "a", 1: "b", 2: "c"})
    draft.write(1, FEATURES[4:6], {0: "d"})
    draft.write(2, FEATURES[6:])
    assert [row for row, _ in draft.broken()] == [0, 1, 2, 3]
    assert draft.missing() == []
    assert dataclasses.replace(draft, skip_broken=False).missing() == [0, 1]
    entry = draft.assemble(None, NAMES[4:], {})
    np.testing.assert_array_equal(entry.load()[0], FEATURES[4:])
    assert entry.manifest["parts"] == [["part0", 0], ["part1", 2], ["part2", 1]]


def test_changed_files_are_noticed_and_touched_ones_are_not(tmp_path: Path) -> None:
    entry = filled(tmp_path / "cache")
    store = FeatureCache(tmp_path / "cache")
    own = tmp_path / "images"
    own.mkdir()
    (own / "1.png").write_bytes(b"one")

    def now() -> LocalFiles:
        return LocalFiles(own, ["1.png"])

    store.remember(REQUEST, CONTENT, [now()])
    heard = Recorder()
    assert store.find(REQUEST, [now()], heard) == entry
    os.utime(own / "1.png", ns=(1, 1))
    assert store.find(REQUEST, [now()], heard) == entry
    (index,) = (tmp_path / "cache" / "index").iterdir()
    assert json.loads(index.read_text())["local"][str(own)]["stamp"] == now().stamp
    assert heard.messages == []
    (own / "1.png").write_bytes(b"two")
    assert store.find(REQUEST, [now()], heard) is None
    assert store.find(REQUEST, [], heard) == entry  # moved away: only the cache is left


def test_a_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureCache(tmp_path)
    draft = draft_of(tmp_path)
    draft.open()
    draft.write(0, FEATURES[:3])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"No space left.*cache_dir=DIR or DAL_CACHE"):
            draft.write(1, FEATURES[3:6])
        with pytest.raises(DataError, match="No space left"):
            store.remember(REQUEST, CONTENT, [])
    assert draft.missing() == [1, 2]
    filled(tmp_path, draft).load()


def test_a_disk_that_is_full_in_the_end(tmp_path: Path) -> None:
    """The limit on the size of a file leaves room for the parts, not for all of them together."""
    parts = [np.ones((1000, 50), np.float16)] * 2
    draft = draft_of(tmp_path, [1000, 1000])
    draft.open()
    for number, part in enumerate(parts):
        draft.write(number, part)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
    try:
        with pytest.raises(
            DataError, match="Cannot write .*File too large.*finished before is kep"
        ):
            draft.assemble(None, None, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "features").iterdir()) == []
    np.testing.assert_array_equal(draft.assemble(None, None, {}).load()[0], np.concatenate(parts))


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAL_CACHE", str(tmp_path / "a"))
    assert FeatureCache().path == tmp_path / "a"
    assert FeatureCache(tmp_path / "b").path == tmp_path / "b"
    monkeypatch.delenv("DAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert FeatureCache().path == tmp_path / "dal"
    if sys.platform == "linux":
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert FeatureCache().path == Path.home() / ".cache" / "dal"
