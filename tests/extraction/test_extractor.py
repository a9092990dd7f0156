import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Dinov2Model

from dal.errors import ConfigError, DataError
from dal.extraction import (
    Backbone,
    Encoder,
    FeatureCache,
    FeatureExtractor,
    ItemSplit,
    extractor,
)
from dal.extraction.draft import Draft, Part
from dal.extraction.inference import Embedding, PartWriter
from dal.runtime.files import LocalFiles
from tests.extraction.conftest import Make, features_of, folder_of, recorder_of
from tests.images import CPU, SMALL, save_images


class Killed(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


def test_features_are_those_of_one_image_at_a_time(make: Make, images: Path, weights: Path) -> None:
    folder = make()
    entry = folder.entry("train")
    features, labels = entry.load()
    names = entry.ids()
    model = Dinov2Model.from_pretrained(weights)
    assert names is not None
    assert len(names) == 17
    assert names == sorted(names)
    expected = []
    for name in names:
        pixels = torch.tensor(SMALL.pixels(Image.open(images / name)))
        with torch.no_grad():
            expected.append(model(pixel_values=SMALL.normalized(pixels[None])).pooler_output[0])
    torch.testing.assert_close(features, torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert labels is not None
    assert labels.tolist() == [int(Path(name).parent.name == "bee") for name in names]
    assert entry.manifest["class_names"] == ["ant", "bee"]
    assert entry.manifest["settings"]["precision"] == "float32"
    assert entry.manifest["content"]["transform"] == SMALL.description()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_change_nothing(make: Make, num_workers: int) -> None:
    np.testing.assert_array_equal(
        features_of(make("workers", num_workers=num_workers)), features_of(make("none"))
    )


def test_half_precision_is_rounded_features(make: Make) -> None:
    whole, half = features_of(make("f32")), features_of(make("f16", dtype="float16"))
    np.testing.assert_array_equal(half, whole.astype(np.float16))


def test_killed_at_any_batch_it_continues_to_the_same_bytes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make("whole").entry("train")
    original = PartWriter.on_predict_batch_end
    computed = []
    for survived in range(9):
        folder = make("killed")
        left = survived

        def killed(self: PartWriter, *args: Any, **kwargs: Any) -> None:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            original(self, *args, **kwargs)

        monkeypatch.setattr(PartWriter, "on_predict_batch_end", killed)
        try:
            folder.entry("train")
        except Killed:
            assert not (folder.extractor.cache.path / "features").exists()
        computed.append(recorder_of(folder).num_computed)
    monkeypatch.setattr(PartWriter, "on_predict_batch_end", original)
    entry = make("killed").entry("train")
    assert sum(computed[-2:]) < 17  # what was finished is not computed again
    for name in ("features.npy", "labels.npy", "ids.jsonl"):
        assert (entry.path / name).read_bytes() == (whole.path / name).read_bytes()


def _extract(images: Path, weights: Path, cache: Path, answers: Any) -> None:
    """Extracts in a process of its own, and puts what it is told and what it finds in a queue."""
    folder = folder_of(images, weights, cache)
    recorder = recorder_of(folder)
    recorder.say = answers.put  # type: ignore[method-assign]
    features = features_of(folder)
    answers.put((recorder.num_computed, features))


@pytest.mark.long
def test_two_processes_at_once_extract_once(
    images: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    other = context.Process(target=_extract, args=(images, weights, tmp_path / "cache", answers))
    messages: list[str] = []
    original = PartWriter.on_predict_start

    def when_the_other_waits(*args: Any) -> None:
        other.start()
        while not (messages and messages[-1].startswith("Waiting")):
            messages.append(answers.get(timeout=120))
        original(*args)

    monkeypatch.setattr(PartWriter, "on_predict_start", when_the_other_waits)
    features = features_of(folder_of(images, weights, tmp_path / "cache"))
    num_computed, same = answers.get(timeout=120)
    other.join()
    holder = f"process {os.getpid()} on {os.uname().nodename}"
    assert f"Waiting for {holder}, which is computing the features of train." in messages
    assert num_computed == 0
    np.testing.assert_array_equal(features, same)


@pytest.mark.long
def test_two_devices_give_the_same_rows_in_the_same_order(
    images: Path, weights: Path, tmp_path: Path
) -> None:
    script = tmp_path / "both.py"
    script.write_text(
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from dal.extraction import extractor\n"
        "from dal.runtime.trainers import DEFAULT_TRAINER\n"
        "from tests.extraction.conftest import folder_of\n"
        "extractor.PART_ROWS = 4\n"
        "trainer = partial(DEFAULT_TRAINER, accelerator='cpu', devices=2, strategy='ddp')\n"
        f"folder = folder_of(Path({str(images)!r}), Path({str(weights)!r}),\n"
        f"    Path({str(tmp_path / 'both')!r}), trainer=trainer)\n"
        "train, test = folder.load()\n"
        "print(f'rows {len(train)} {len(test)}\\n', end='')\n"  # one write
    )
    root = Path(extractor.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout.count("rows 17 5") == 2, done.stderr
    for split in ("train", "test"):
        both = folder_of(images, weights, tmp_path / "both").entry(split)
        alone = folder_of(images, weights, tmp_path / "alone").entry(split)
        assert both.manifest["provenance"]["devices"] == 2
        np.testing.assert_allclose(both.load()[0], alone.load()[0], atol=1e-6)
        assert torch.equal(both.load()[1], alone.load()[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_image_is_reported(make: Make, images: Path, num_workers: int) -> None:
    broken = images / "train" / "bee" / "001.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(
        DataError,
        match=r"Cannot read 1 of the 17 images .*image train/bee/001.jpg: .*Replace or remove.*"
        "skip_broken=true.*other images is kept",
    ) as error:
        make(num_workers=num_workers).entry("train")
    assert "Traceback" not in str(error.value)


def test_images_of_all_modes_and_one_pixel(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd" / "train" / "x"
    folder.mkdir(parents=True)
    for mode in ("L", "CMYK", "RGB"):
        Image.new(mode, (5, 3)).save(folder / f"{mode}.jpg")
    for mode in ("P", "RGBA", "LA", "1"):
        Image.new(mode, (1, 1)).save(folder / f"{mode}.png")
    entry = folder_of(tmp_path / "odd", weights, tmp_path / "cache").entry("train")
    assert len(entry) == 7
    Image.new("I;16", (4, 4)).save(folder / "deep.png")
    with pytest.raises(DataError, match="x/deep.png.*8 bits per channel"):
        folder_of(tmp_path / "odd", weights, tmp_path / "cache").entry("train")


def test_features_beyond_the_range_of_their_type(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Embedding, batch: Any, __: int) -> torch.Tensor:
        return torch.full((len(batch.input), 3), 1e5)

    monkeypatch.setattr(Embedding, "predict_step", broken)
    assert features_of(make()).max() == 1e5
    with pytest.raises(
        DataError, match=r"the image train/ant/000.png .*too large for float16.*dtype=float32"
    ):
        make(dtype="float16").entry("train")


def test_no_batch_extends_over_the_end_of_a_part(make: Make, tmp_path: Path) -> None:
    folder = make(batch_size=3)
    split = folder.items.open("train")
    all_parts = [Part(str(number), size) for number, size in enumerate([4, 4, 4, 4, 1])]
    draft = Draft(tmp_path / "draft", tmp_path / "entry", {}, all_parts)
    draft.open()
    draft.write(1, np.zeros((4, 2)))
    module = Embedding(folder.extractor.backbone.load(), split, draft, 3, 0)
    for rank, parts in ((0, [0, 2, 4]), (1, [3])):
        module._trainer = type("T", (), {"world_size": 2, "global_rank": rank})()
        loader = module.predict_dataloader()
        assert len(loader) == len(module.plan)
        assert sorted({part for part, _ in module.plan}) == parts
        for part, rows in module.plan:
            assert rows.start // 4 == (rows.stop - 1) // 4 == part
    assert module.num_finished == 4


class LineReader:
    def read(self, item: str) -> np.ndarray:
        return np.frombuffer(item.encode("ascii"), np.uint8)

    def collate(self, arrays: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        return {"lengths": torch.tensor([len(array) for array in arrays])}


class LineEncoder(Encoder):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return batch["lengths"][:, None].float()

    def description(self) -> dict[str, Any]:
        return {"weights": "none"}


class LineNetwork:
    noun = "line"

    def request(self) -> dict[str, Any]:
        return {"id": "lengths"}

    def local_files(self) -> list[LocalFiles]:
        return []

    def load(self) -> Encoder:
        return LineEncoder(LineReader())


class Lines:
    noun = "line"

    def __init__(self, *lines: str) -> None:
        self.splits: dict[str, str | None] = {"train": "train", "test": None}
        self.lines = lines

    def request(self, split: str) -> dict[str, Any]:
        return {"lines": split}

    def local_files(self, split: str) -> list[LocalFiles]:  # noqa: ARG002
        return []

    def passed_over(self) -> str:
        return ""

    def open(self, split: str) -> ItemSplit:
        fingerprint = {"lines": list(self.lines)}
        return ItemSplit(self.lines, "line", None, None, None, fingerprint, [], split)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_items_of_another_kind(tmp_path: Path, num_workers: int) -> None:
    extractor = FeatureExtractor(
        LineNetwork(), FeatureCache(tmp_path), CPU, batch_size=2, num_workers=num_workers
    )
    entry = extractor.entry(Lines("a", "bcd", "ef"), "train")
    assert entry.load()[0].tolist() == [[1], [3], [2]]
    assert entry.manifest["content"]["lines"] == {"lines": ["a", "bcd", "ef"]}
    with pytest.raises(
        DataError, match="Cannot read 1 of the 2 lines.*row 1 of train.*other lines"
    ):
        FeatureExtractor(LineNetwork(), FeatureCache(tmp_path / "other"), CPU).entry(
            Lines("a", "é"), "train"
        )
    with pytest.raises(DataError, match="Expected lines in train, found none"):
        FeatureExtractor(LineNetwork(), FeatureCache(tmp_path / "other"), CPU).entry(
            Lines(), "train"
        )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dtype": "int8"}, "Unknown `dtype`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"num_workers": -1}, "`num_workers`"),
        ({"batch_size": "abc"}, "`batch_size` of at least 1, got 'abc'"),
    ],
)
def test_arguments_are_checked(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureExtractor(Backbone("a/b"), **kwargs)


def test_an_empty_folder(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "none" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="Expected images in .*none/train, found none"):
        folder_of(tmp_path / "none", weights, tmp_path / "cache").entry("train")
    save_images(tmp_path / "none" / "train", {"x": 1})
    assert len(folder_of(tmp_path / "none", weights, tmp_path / "cache").entry("train")) == 1
