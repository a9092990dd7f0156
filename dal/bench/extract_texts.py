"""Bench: features from a table of texts, against bare forward passes over the same batches."""

import argparse
import csv
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dal.bench.extract import extract, place
from dal.bench.timing import in_turns, positive, print_table

if TYPE_CHECKING:
    from dal.extraction import Items
    from dal.extraction.texts.backbone import TextEncoder

HELP = "features from a table of texts, against bare forward passes over the same batches"

NUM_WORDS = 5000  # that texts are made of
MEAN_WORDS = 12  # of a text, as in Banking77
HEAD_SIZE = 32  # of an attention head of MiniLM


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds the options of this bench."""
    command.add_argument("--texts", type=positive, default=16384, help="number of texts")
    command.add_argument(
        "--file", type=Path, default=None, help="table with a column text, instead"
    )
    command.add_argument("--batch-size", type=positive, default=64, help="texts at once")
    command.add_argument(
        "--workers",
        type=positive,
        default=None,
        help="processes that make tokens (default: as dal does)",
    )
    command.add_argument("--weights", type=Path, default=None, help="folder of a real network")
    command.add_argument("--hidden", type=positive, default=384, help="width of a random one, D")
    command.add_argument("--layers", type=positive, default=6, help="depth of a random one")
    command.add_argument("--accelerator", default="auto", help="where it runs, as Lightning says")
    command.add_argument("--repeat", type=positive, default=3, help="runs that are timed")


def run(args: argparse.Namespace, console: Console) -> dict[str, object]:
    """Measures both in turns, and prints the ratio.

    By default the network has random weights, and the shape of all-MiniLM-L6-v2.
    """
    from dal.data import TextFile
    from dal.extraction import TextBackbone

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = args.file or _write_texts(folder / "texts.csv", args.texts)
        items = TextFile(file, label_column=None, splits={"train": "train", "test": None})
        weights = args.weights or _write_network(folder / "weights", args.hidden, args.layers)
        backbone = TextBackbone(weights=weights)
        encoder = backbone.load()
        device = place(encoder, args.accelerator)
        batches = _batches(items, encoder, args.batch_size)
        num = sum(len(batch["input_ids"]) for batch in batches)
        padding = _padding(batches)
        bare, ours = in_turns(
            [
                ("bare forward passes", partial(_forward, encoder, batches)),
                ("dal, file to cache", partial(extract, items, folder, backbone, args)),
            ],
            args.repeat,
            console,
        )
    ratio = statistics.median(a / b for a, b in zip(bare.seconds, ours.seconds, strict=True))
    console.print(
        f"{num:,} texts, batches of {args.batch_size} on {device}; {args.repeat} runs in turns\n"
        f"{padding:.1%} of what the network computes is padding."
    )
    rates = [f"{num / timing.median:,.0f}" for timing in (bare, ours)]
    columns = {"texts/s": rates, "share of bare": ["1", f"{ratio:.2f}"]}
    print_table([bare, ours], columns, console)
    return {
        "texts": num,
        "batch_size": args.batch_size,
        "device": device,
        "bare_seconds": bare.seconds,
        "dal_seconds": ours.seconds,
        "padding": padding,
        "ratio": ratio,
    }


def _write_texts(file: Path, num: int) -> Path:
    """Random words of three to nine letters."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(3, 10, NUM_WORDS)]
    with file.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text"])
        for size in rng.geometric(1 / MEAN_WORDS, num):
            table.writerow([" ".join(rng.choice(words, size))])
    return file


def _write_network(folder: Path, hidden: int, layers: int) -> Path:
    """A BERT with random weights, and a tokenizer that takes one or two letters at once."""
    from itertools import product

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from dal.extraction import weights

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *map("".join, product(letters, letters))]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    known = [*special, *pieces, *(f"##{piece}" for piece in pieces)]
    vocabulary = {piece: number for number, piece in enumerate(known)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = BertConfig(
        vocab_size=len(known),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // HEAD_SIZE),
    )
    with weights.quiet_library():
        BertModel(config).save_pretrained(folder)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
        ).save_pretrained(folder)
    return folder


def _batches(items: "Items", encoder: "TextEncoder", batch_size: int) -> list[dict[str, Any]]:
    """The tokens of all batches, as an extraction makes them."""
    from dal.extraction.extractor import Job
    from dal.extraction.inference import PlannedBatches, Work

    split = items.open("train")
    plan, start = [], 0
    for number, part in enumerate(Job({}, encoder, split, "float16", False).parts()):
        plan.append(Work(number, range(start, start + part.size)))
        start += part.size
    planned = PlannedBatches(split, encoder.reader, plan, batch_size)
    return [batch.input for number in range(len(plan)) for batch in planned[number]]


def _padding(batches: list[dict[str, Any]]) -> float:
    """The share of places in the batches that have no token."""
    masks = [batch["attention_mask"] for batch in batches]
    num_places: int = sum(mask.numel() for mask in masks)
    return 1 - sum(int(mask.sum()) for mask in masks) / num_places


def _forward(network: "TextEncoder", batches: list[dict[str, Any]]) -> None:
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        for batch in batches:
            network({key: one.to(device) for key, one in batch.items()}).cpu()
