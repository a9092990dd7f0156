"""Texts through the extraction: batches by length, the counts of what was cut, resuming."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertModel

from dal.data import Embedded
from dal.errors import ConfigError, DataError
from dal.extraction import Backbone, FeatureCache, FeatureExtractor, extractor
from dal.extraction.inference import Batch, Embedding, PartWriter
from tests.extraction.test_extractor import Killed
from tests.images import CPU, computed_rows
from tests.texts import (
    NUM_POSITIONS,
    WORDS,
    Texts,
    extractor_of,
    messages_of,
    save_bert,
    token_ids,
)

Make = Callable[..., FeatureExtractor]


def drawn_texts(num: int, longest: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, longest + 1, num)
    return [" ".join(rng.choice(WORDS[:8], size)) for size in sizes]


TEXTS = drawn_texts(37, 14)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def make(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an extractor that computes parts of about 8 texts."""
    monkeypatch.setattr(extractor, "SORTED_PART_ROWS", 8)
    return lambda cache="cache", **kwargs: extractor_of(bert, tmp_path / cache, **kwargs)


def features_of(extractor: FeatureExtractor, texts: list[Any] = TEXTS) -> np.ndarray:
    return extractor.entry(Texts(texts), "train").load()[0].numpy()


def test_features_are_those_of_one_text_at_a_time(make: Make, bert: Path) -> None:
    model = BertModel.from_pretrained(bert)
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([token_ids(text)])).last_hidden_state[0]
        expected.append(hidden.mean(0).numpy())
    np.testing.assert_allclose(features_of(make()), np.stack(expected), atol=1e-5)


def test_texts_of_similar_length_are_batched(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    original = Embedding.predict_step

    def predict_step(self: Embedding, batch: Batch, number: int) -> torch.Tensor:
        shapes.append(tuple(batch.input["input_ids"].shape))
        return original(self, batch, number)

    monkeypatch.setattr(Embedding, "predict_step", predict_step)
    monkeypatch.setattr(extractor, "SORTED_PART_ROWS", 100)
    features_of(make())
    lengths = sorted((len(token_ids(text)) for text in TEXTS), reverse=True)
    expected = [lengths[start : start + 4] for start in range(0, len(lengths), 4)]
    assert shapes == [(len(batch), batch[0]) for batch in expected]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(make: Make, num_workers: int) -> None:
    np.testing.assert_array_equal(
        features_of(make("workers", num_workers=num_workers)), features_of(make("none"))
    )


def test_killed_at_any_batch_it_continues_to_the_same_bytes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make("whole", max_length=9).entry(Texts(TEXTS), "train")
    original = PartWriter.on_predict_batch_end
    for survived in range(4):
        left = survived

        def killed(self: PartWriter, *args: Any, **kwargs: Any) -> None:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            original(self, *args, **kwargs)

        monkeypatch.setattr(PartWriter, "on_predict_batch_end", killed)
        with pytest.raises(Killed):
            make("killed", max_length=9).entry(Texts(TEXTS), "train")
        monkeypatch.setattr(PartWriter, "on_predict_batch_end", original)
    computed = computed_rows(monkeypatch)
    entry = make("killed", max_length=9).entry(Texts(TEXTS), "train")
    assert sum(computed) < len(TEXTS)  # what was finished is not computed again
    content = (entry.path / "features.npy").read_bytes()
    assert content == (whole.path / "features.npy").read_bytes()
    assert entry.manifest["num_cut"] == whole.manifest["num_cut"] > 0


def test_two_devices_give_the_same_bytes(bert: Path, make: Make, tmp_path: Path) -> None:
    script = tmp_path / "both.py"
    script.write_text(
        "from functools import partial\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from dal.extraction import extractor\n"
        "from dal.runtime.trainers import DEFAULT_TRAINER\n"
        "from tests.extraction.test_text_extraction import TEXTS, Texts, extractor_of\n"
        "torch.set_num_threads(1)\n"
        "extractor.SORTED_PART_ROWS = 8\n"
        "trainer = partial(DEFAULT_TRAINER, accelerator='cpu', devices=2, strategy='ddp')\n"
        f"made = extractor_of(Path({str(bert)!r}), Path({str(tmp_path / 'both')!r}),\n"
        "    trainer=trainer, max_length=9)\n"
        "entry = made.entry(Texts(TEXTS), 'train')\n"
        "print(f'rows {len(entry)}\\n', end='')\n"  # one write
    )
    root = Path(extractor.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout.count(f"rows {len(TEXTS)}") == 2, done.stderr
    both = make("both", max_length=9).entry(Texts(TEXTS), "train")
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there
    alone = make("alone", max_length=9).entry(Texts(TEXTS), "train")
    torch.set_num_threads(num_threads)
    assert both.manifest["provenance"]["devices"] == 2
    assert both.manifest["num_cut"] == alone.manifest["num_cut"]
    assert torch.equal(both.load()[0], alone.load()[0])


def test_texts_that_are_cut_are_counted(make: Make) -> None:
    texts = ["a " * 20, "a " * 7, "a " * 8, "a"]
    made = make(max_length=9)
    entry = made.entry(Texts(texts), "train")
    assert "train: 2 of 4 texts are longer than 9 tokens and were cut." in messages_of(made)
    assert entry.manifest["num_cut"] == 2
    assert entry.summary.endswith("; 2 longer than 9 tokens and cut")
    features = entry.load()[0]
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)
    assert entry.manifest["content"]["max_length"] == 9
    whole = make("whole").entry(Texts(texts[1:]), "train")
    assert "num_cut" not in whole.manifest
    assert whole.manifest["content"]["max_length"] == NUM_POSITIONS


def test_the_count_includes_parts_that_are_taken_over(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = drawn_texts(60, 14)
    first = make(max_length=9).entry(Texts(texts), "train")
    computed = computed_rows(monkeypatch)
    more = make(max_length=9).entry(Texts([*texts, "a " * 12]), "train")
    assert 0 < sum(computed) < len(texts)
    assert more.manifest["num_cut"] == first.manifest["num_cut"] + 1
    assert first.manifest["num_cut"] == sum(len(token_ids(text)) > 9 for text in texts)


BAD = ["", " \t\n ", None, 3.5, "\ud83d", "\u200b\x00"]


def test_texts_that_cannot_be_read_are_all_named(make: Make) -> None:
    texts = [*TEXTS[:5], *BAD, *TEXTS[5:]]
    with pytest.raises(DataError, match="Cannot read 6 of the 43 texts of train") as error:
        make().entry(Texts(texts), "train")
    for reason in (
        "text in row 5 of train: the text is empty",
        "text in row 6 of train: the text is white space only",
        "text in row 7 of train: expected a text, got nothing",
        "text in row 8 of train: expected a text, got 3.5",
        "text in row 9 of train: the text is not valid Unicode",
        "text in row 10 of train: the tokenizer finds nothing in the text",
    ):
        assert reason in str(error.value)


def test_texts_that_cannot_be_read_are_left_out(make: Make) -> None:
    texts = [*TEXTS[:5], *BAD, *TEXTS[5:]]
    entry = make(skip_broken=True).entry(Texts(texts), "train")
    assert entry.ids() == [str(row) for row in range(43) if not 5 <= row < 11]
    np.testing.assert_allclose(entry.load()[0], features_of(make("whole")), atol=1e-5)


def test_scripts_of_all_kinds(make: Make) -> None:
    texts = ["emoji 🙂 the card", "עברית the card", "العربية", "日本語", "naïve", "a" * 100_000]
    features = features_of(make(), texts)
    assert np.isfinite(features).all()
    assert make("big", max_length=6).entry(Texts(["a " * 50_000]), "train").manifest["num_cut"] == 1


def test_images_and_texts_are_not_mixed_up(make: Make, images: Path, tmp_path: Path) -> None:
    from dal.data import ImageFolder

    with pytest.raises(ConfigError, match=r"reads images, .*reads texts.*backbone=dinov2_vits14"):
        Embedded(ImageFolder(images), make()).load()
    of_images = FeatureExtractor(Backbone(weights=tmp_path), FeatureCache(tmp_path), CPU)
    with pytest.raises(ConfigError, match=r"reads texts, .*reads images.*backbone=minilm"):
        of_images.entry(Texts(["never read"]), "train")
