"""A network, texts and an extraction small enough for a test."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from dal.extraction import FeatureCache, FeatureExtractor, ItemSplit, TextBackbone
from dal.extraction.items import ReadContents
from dal.runtime.files import LocalFiles
from tests.images import CPU, Recorder

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("the", "card", "is", "late", "my", "money", "was", "taken", "query", ":", "a", "b", "##b")
VOCABULARY = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
NUM_POSITIONS = 16

Modules = list[tuple[str, dict[str, Any] | None]]


def token_ids(text: str) -> list[int]:
    """The tokens of a text of whole words, as BERT frames them."""
    words = [VOCABULARY.get(word, VOCABULARY["[UNK]"]) for word in text.lower().split()]
    return [VOCABULARY["[CLS]"], *words, VOCABULARY["[SEP]"]]


def save_tokenizer(folder: Path, lowercase: bool = True) -> Path:
    """A WordPiece tokenizer as BERT's, of a few words."""
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[(word, VOCABULARY[word]) for word in ("[CLS]", "[SEP]")]
    )
    # As published ones often are: what the file says of padding is not for features.
    tokenizer.enable_padding(length=12)
    tokenizer.enable_truncation(5)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=NUM_POSITIONS,
        **{f"{word[1:-1].lower()}_token": word for word in SPECIAL},
    ).save_pretrained(folder)
    return folder


def save_bert(folder: Path, seed: int = 0, pooler: bool = True, lowercase: bool = True) -> Path:
    """A randomly initialised BERT of two small layers with its tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=NUM_POSITIONS,
            initializer_range=0.5,  # so that texts differ by much
        )
        BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    return save_tokenizer(folder, lowercase)


def save_modules(folder: Path, modules: Modules, max_length: int | None = None) -> Path:
    """Files as sentence-transformers writes them beside a network.

    Args:
        folder: Of the network.
        modules: Type and configuration of each module after the network.
        max_length: What ``sentence_bert_config.json`` says.
    """
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    for number, (kind, config) in enumerate(modules, 1):
        path = f"{number}_{kind}"
        entries.append(
            {
                "idx": number,
                "name": str(number),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
        )
        if config is not None:
            (folder / path).mkdir()
            (folder / path / "config.json").write_text(json.dumps(config))
    (folder / "modules.json").write_text(json.dumps(entries))
    sizes = {"max_seq_length": max_length, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(sizes))
    return folder


def save_dense(folder: Path, num_in: int, num_out: int) -> nn.Linear:
    """The weights of a module ``Dense``, as sentence-transformers writes them."""
    from safetensors.torch import save_file

    linear = nn.Linear(num_in, num_out)
    save_file({f"linear.{key}": one for key, one in linear.state_dict().items()}, folder)
    return linear


class Texts:
    """Texts in memory, known by their content."""

    noun = "text"

    def __init__(self, texts: Sequence[Any]) -> None:
        self.splits: dict[str, str | None] = {"train": "train", "test": None}
        self.texts = list(texts)

    def request(self, split: str) -> dict[str, Any]:
        return {"path": "memory", "split": split, "texts": [repr(text) for text in self.texts]}

    def local_files(self, split: str) -> list[LocalFiles]:  # noqa: ARG002
        return []

    def passed_over(self) -> str:
        return ""

    def open(self, split: str) -> ItemSplit:
        contents = ReadContents(
            lambda _: [hashlib.sha256(repr(text).encode()).digest() for text in self.texts]
        )
        return ItemSplit(self.texts, "text", None, None, None, {}, [], split, contents)


def extractor_of(weights: Path, cache: Path, **kwargs: Any) -> FeatureExtractor:
    """An extractor that rounds nothing, in one process on the CPU, with a recorder.

    Args:
        weights: The folder of the network.
        cache: The folder of the cache.
        kwargs: Arguments of the backbone and of the extractor.
    """
    own = ("dtype", "batch_size", "num_workers", "trainer", "skip_broken")
    arguments: dict[str, Any] = {"dtype": "float32", "batch_size": 4, "num_workers": 0}
    arguments |= {"trainer": CPU} | {key: kwargs.pop(key) for key in own if key in kwargs}
    backbone = TextBackbone(weights=weights, **kwargs)
    extractor = FeatureExtractor(backbone, FeatureCache(cache), **arguments)
    extractor.listener = Recorder()
    return extractor


def messages_of(extractor: FeatureExtractor) -> list[str]:
    assert isinstance(extractor.listener, Recorder)
    return extractor.listener.messages
