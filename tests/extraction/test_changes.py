"""What an extraction says, checks and computes again when images change or cannot be read."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dal.data import Embedded, ImageFolder
from dal.errors import DataError
from dal.extraction import Backbone, draft
from dal.extraction.images.backbone import ImageReader
from tests.extraction.conftest import Make, features_of, recorder_of
from tests.images import SMALL, computed_rows, save_dinov2, save_images


def test_the_second_time_nothing_is_touched(
    make: Make, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = features_of(make())
    images.rename(images.with_name("away"))
    monkeypatch.setattr(Backbone, "load", lambda _: pytest.fail("the weights were loaded"))
    monkeypatch.setattr(ImageFolder, "open", lambda *_: pytest.fail("the images were opened"))
    np.testing.assert_array_equal(features_of(make()), first)


def test_a_changed_image_is_computed_again(make: Make, images: Path) -> None:
    first = features_of(make())
    Image.new("RGB", (9, 9), (0, 0, 255)).save(images / "train" / "ant" / "000.png")
    folder = make()
    second = features_of(folder)
    assert sum("has changed" in message for message in recorder_of(folder).messages) == 1
    assert not np.array_equal(second[0], first[0])
    np.testing.assert_array_equal(second[1:], first[1:])


def test_what_was_understood_is_said_first(make: Make, images: Path) -> None:
    (images / "train" / "ant" / "1.heic").write_text("x")
    for _ in range(2):  # computed, and found
        source = make()
        source.load()
        said = recorder_of(source).messages
        assert said[:2] == [
            "train: 17 images of 2 classes (ant, bee); 1 file passed over: 1 .heic.",
            "test: 5 images of 2 classes (ant, bee).",
        ]
    assert not recorder_of(source).splits


def test_everything_is_looked_at_before_anything_is_computed(
    make: Make, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = computed_rows(monkeypatch)
    save_images(images / "test", {"cow": 1})
    source = make()
    source.extractor.backbone = Backbone(weights=tmp_path / "nowhere", transform=SMALL)
    with pytest.raises(DataError, match=r"(?s)found no .*nowhere.*classes of train.*'cow'"):
        source.load()
    for file in (images / "test").rglob("*.*"):
        file.rename(images / "test" / f"{file.parent.name}{file.name}")
    with pytest.raises(DataError, match="Expected labels of the test examples"):
        make().load()
    for file in (images / "train").rglob("*.*"):
        file.rename(images / "train" / f"{file.parent.name}{file.name}")
    source = make()
    source.check_labels = lambda *_: None
    with pytest.raises(DataError, match=r"(?s)labels of the train.*labels of the test"):
        source.load()
    assert computed == []
    assert source.entry("train").load()[1] is None


def test_a_test_split_of_the_default_name_may_be_absent(make: Make, images: Path) -> None:
    (images / "test").rename(images / "check")
    source = make()
    assert list(source.entries(optional=("test",))) == ["train"]
    expected = f"test: none. Expected a folder 'test' in {images}, found check, train."
    assert expected in recorder_of(source).messages
    with pytest.raises(DataError, match="Expected a folder 'test'.*data.splits.test=null"):
        make().load()
    for name in ("check", "chekc"):
        named = Embedded(ImageFolder(images, {"train": "train", "test": name}), make().extractor)
        if name == "check":
            assert list(named.entries(optional=("test",))) == ["train", "test"]
        else:
            with pytest.raises(DataError, match="Expected a folder 'chekc'"):
                named.entries(optional=("test",))


@pytest.mark.parametrize("change", ["replaced", "removed", "added"])
def test_a_change_of_one_image_costs_its_part_alone(
    change: str, make: Make, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().load()
    image = images / "train" / "bee" / ("000.png" if change != "added" else "0001.png")
    if change == "removed":
        image.unlink()
    else:
        Image.new("RGB", (9, 9), (0, 0, 255)).save(image)
    computed = computed_rows(monkeypatch)
    entry = make().entry("train")
    assert 0 < sum(computed) < len(entry) - 4
    scratch = make("scratch").entry("train")
    for name in ("features.npy", "labels.npy", "ids.jsonl"):  # and nobody sees a difference
        assert (entry.path / name).read_bytes() == (scratch.path / name).read_bytes()


def test_files_are_read_once_to_be_compared_and_once_to_be_decoded(
    make: Make, images: Path
) -> None:
    opened: list[str] = []
    is_on = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event == "open" and str(arguments[0]).startswith(str(images / "train")):
            opened.append(str(arguments[0]))

    sys.addaudithook(note)  # it cannot be removed
    try:
        make().load()
        assert len(opened) == 2 * 17
        opened.clear()
        make().load()
        assert opened == []
        os.utime(images / "train" / "ant" / "000.png", ns=(1, 1))
        make().load()
        assert len(opened) == 17
        opened.clear()
        Image.new("RGB", (9, 9)).save(images / "test" / "ant" / "000.png")
        make().load()
        assert opened == []  # of train, the names of the classes alone matter
    finally:
        is_on = False


def broken_images(images: Path) -> list[Path]:
    """Three images that cannot be read: no image, a half of one, and a link to nowhere."""
    files = [images / "train" / name for name in ("ant/000.png", "bee/001.jpg", "bee/003.png")]
    files[0].write_text("x")
    files[1].write_bytes(files[1].read_bytes()[:200])
    files[2].unlink()
    files[2].symlink_to("nowhere")
    return files


@pytest.mark.parametrize("num_workers", [0, 1])
def test_all_broken_images_are_named_at_once_and_the_others_kept(
    num_workers: int, make: Make, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = broken_images(images)
    computed = computed_rows(monkeypatch)
    source = make(num_workers=num_workers)
    with pytest.raises(DataError, match="Cannot read 3 of the 17 images") as error:
        source.entry("train")
    for name in ("ant/000.png", "bee/001.jpg", "bee/003.png"):
        assert f"train/{name}" in str(error.value)
    first = next(line for line in recorder_of(source).messages if "Cannot read" in line)
    assert "train/ant/000.png" in first  # said at once, not after hours
    assert sum(computed) == 14
    for file in broken:
        file.unlink()
    computed.clear()
    entry = make(num_workers=num_workers).entry("train")
    assert len(entry) == 14
    assert sum(computed) < 7
    np.testing.assert_allclose(entry.load()[0], features_of(make("scratch")), atol=1e-6)


def test_broken_images_can_be_left_out(
    make: Make, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = broken_images(images)
    with pytest.raises(DataError, match="extraction.skip_broken=true"):
        make().entry("train")
    computed = computed_rows(monkeypatch)
    source = make(skip_broken=True)
    entry = source.entry("train")
    assert sum(computed) == 0  # the parts of the first command
    labels = entry.load()[1]
    assert labels is not None
    assert (len(entry), labels.bincount().tolist()) == (14, [8, 6])
    assert entry.ids() == [
        name for name in make().items.open("train").ids or [] if images / name not in broken
    ]
    assert len(entry.manifest["left_out"]) == 3
    again = make(skip_broken=True)
    assert again.entry("train") == entry
    for said in (recorder_of(source).messages, recorder_of(again).messages):
        assert any("3 left out" in line and "train/bee/003.png" in line for line in said)
    for file in broken:
        file.unlink()
    np.testing.assert_allclose(entry.load()[0], features_of(make("scratch")), atol=1e-6)
    for file in (images / "train").rglob("*.*"):
        file.write_text("x")
    with pytest.raises(DataError, match="None of the 14 images"):
        make(skip_broken=True).entry("train")


def test_a_long_list_of_broken_images_is_cut(make: Make, images: Path) -> None:
    for file in (images / "train" / "ant").iterdir():
        file.write_text("x")
    for file in sorted((images / "train" / "bee").iterdir())[:4]:
        file.write_text("x")
    with pytest.raises(DataError, match="Cannot read 13 of the 17 .*bee/000.png.*; and 3 more"):
        make().entry("train")


def test_a_warning_names_its_image(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ImageReader.read

    def read(self: ImageReader, item: dict[str, Any] | None) -> np.ndarray:
        if item and item["path"].endswith("bee/001.jpg"):
            warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=1)
        return original(self, item)

    monkeypatch.setattr(ImageReader, "read", read)
    source = make()
    source.entry("train")
    assert (
        recorder_of(source).messages.count(
            "Warning for the image train/bee/001.jpg: Corrupt EXIF data"
        )
        == 1
    )


def test_parts_end_where_the_content_says() -> None:
    contents = [bytes([number % 256, 0, 0, number % 256]) for number in range(200)]
    parts = draft.split_by_content(contents, 16)
    assert sum(part.size for part in parts) == 200
    assert all(4 < part.size <= 64 for part in parts[:-1])
    fewer = draft.split_by_content(contents[:100] + contents[101:], 16)
    assert len({part.key for part in parts} - {part.key for part in fewer}) == 1
    even = draft.split_evenly(200, 64, "a")
    assert [part.size for part in even] == [64, 64, 64, 8]
    assert not {part.key for part in even} & {part.key for part in draft.split_evenly(200, 64, "b")}


def test_changed_weights_are_noticed(make: Make, tmp_path: Path) -> None:
    own = save_dinov2(tmp_path / "own")
    folder = make()
    folder.extractor.backbone = Backbone(weights=own, transform=SMALL)
    first = features_of(folder)
    np.testing.assert_array_equal(features_of(make()), first)  # the same weights elsewhere
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1
    save_dinov2(own, seed=1)
    assert not np.allclose(features_of(folder), first)
