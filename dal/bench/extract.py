"""Bench: features from image files, against bare forward passes over tensors in memory."""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from dal.bench.timing import in_turns, positive, print_table

if TYPE_CHECKING:
    from torch import Tensor

    from dal.extraction import Backbone, Encoder, Items, Network, Transform
    from dal.extraction.images.backbone import ImageEncoder

HELP = "features from JPEG files, against bare forward passes over tensors in memory"

IMAGE_SIZE = (500, 375)  # ImageNet's most frequent one
NUM_DIFFERENT = 64  # images; further files are links to these
HEAD_SIZE = 64  # of a DINOv2 attention head


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds the options of this bench."""
    command.add_argument("--images", type=positive, default=384, help="number of images")
    command.add_argument("--batch-size", type=positive, default=64, help="images at once")
    command.add_argument(
        "--workers",
        type=positive,
        default=None,
        help="processes that decode (default: as dal does)",
    )
    command.add_argument("--hidden", type=positive, default=384, help="width of the network, D")
    command.add_argument("--layers", type=positive, default=12, help="depth of the network")
    command.add_argument("--accelerator", default="auto", help="where it runs, as Lightning says")
    command.add_argument("--repeat", type=positive, default=3, help="runs that are timed")


def run(args: argparse.Namespace, console: Console) -> dict[str, object]:
    """Measures both in turns, and decoding alone, and prints the ratio.

    The network has random weights, and by default the shape of a DINOv2 ViT-S/14.
    """
    from dal.data import ImageFolder

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backbone = _backbone(folder / "weights", args.hidden, args.layers)
        _write_images(folder / "images" / "train" / "class", args.images)
        items = ImageFolder(folder / "images")
        encoder = backbone.load()
        device = place(encoder, args.accelerator)
        ready = _ready(folder / "images", encoder.transform, args.batch_size)
        bare, ours = in_turns(
            [
                ("bare forward passes", partial(_forward, encoder, ready, args.images)),
                ("dal, files to cache", partial(extract, items, folder, backbone, args)),
            ],
            args.repeat,
            console,
        )
        decoding = _decode(folder / "images", encoder.transform)
    ratio = statistics.median(a / b for a, b in zip(bare.seconds, ours.seconds, strict=True))
    console.print(
        f"{args.images} JPEGs of {IMAGE_SIZE[0]} × {IMAGE_SIZE[1]}, D {args.hidden}, "
        f"{args.layers} layers, batches of {args.batch_size} on {device}; {args.repeat} runs in "
        f"turns\nOne process decodes {decoding:,.0f} images/s."
    )
    rates = [f"{args.images / timing.median:,.1f}" for timing in (bare, ours)]
    columns = {"images/s": rates, "share of bare": ["1", f"{ratio:.2f}"]}
    print_table([bare, ours], columns, console)
    return {
        "images": args.images,
        "batch_size": args.batch_size,
        "device": device,
        "bare_seconds": bare.seconds,
        "dal_seconds": ours.seconds,
        "decoded_per_second_and_process": decoding,
        "ratio": ratio,
    }


def _backbone(folder: Path, hidden: int, layers: int) -> "Backbone":
    from transformers import Dinov2Config, Dinov2Model

    from dal.extraction import Backbone

    config = Dinov2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // HEAD_SIZE),
        image_size=518,  # as published; position embeddings are interpolated to the crop
        patch_size=14,
    )
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        Dinov2Model(config).save_pretrained(folder)
    return Backbone(weights=folder)


def _write_images(folder: Path, num: int) -> None:
    """Random images, blurred like photographs: a decoder's time depends on it."""
    import numpy as np
    from PIL import Image, ImageFilter

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(num):
        file = folder / f"{number:06d}.jpg"
        if number >= NUM_DIFFERENT:
            file.hardlink_to(folder / f"{number % NUM_DIFFERENT:06d}.jpg")
            continue
        noise = rng.integers(0, 256, (IMAGE_SIZE[1], IMAGE_SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)).save(file, quality=90)


def place(encoder: "Encoder", accelerator: str) -> str:
    """Moves a network to the device that Lightning chooses, and returns the name of the device."""
    from dal.runtime.trainers import DEFAULT_TRAINER, quiet_lightning

    with quiet_lightning():
        device = DEFAULT_TRAINER(accelerator=accelerator).strategy.root_device
    encoder.to(device)
    return str(device)


def _ready(images: Path, transform: "Transform", batch_size: int) -> "Tensor":
    """A batch of normalised pixels, ``(N, 3, H, W)``, on the CPU."""
    import torch
    from PIL import Image

    files = sorted(images.rglob("*.jpg"))[:batch_size]
    pixels = [torch.tensor(transform.pixels(Image.open(file))) for file in files]
    return transform.normalized(torch.stack(pixels))


def _forward(network: "ImageEncoder", ready: "Tensor", num_images: int) -> None:
    import torch

    from dal.extraction.encoder import autocast

    device = next(network.parameters()).device
    ready = ready.to(device)
    with torch.inference_mode(), autocast(device):
        for start in range(0, num_images, len(ready)):
            batch = ready[: num_images - start]
            network.model(pixel_values=batch).pooler_output.float().cpu()


def extract(items: "Items", folder: Path, backbone: "Network", args: argparse.Namespace) -> None:
    """Computes the features of train into a cache of its own, with the options of this bench."""
    from dal.data import Embedded
    from dal.extraction import FeatureCache, FeatureExtractor
    from dal.runtime.trainers import DEFAULT_TRAINER

    with tempfile.TemporaryDirectory(dir=folder) as cache:
        extractor = FeatureExtractor(
            backbone,
            FeatureCache(cache),
            partial(DEFAULT_TRAINER, accelerator=args.accelerator),
            batch_size=args.batch_size,
            num_workers=args.workers,
        )
        Embedded(items, extractor).entry("train")


def _decode(images: Path, transform: "Transform") -> float:
    """Images that one process decodes to pixels in a second."""
    from PIL import Image

    files = sorted(images.rglob("*.jpg"))[:NUM_DIFFERENT]
    started = time.perf_counter()
    for file in files:
        transform.pixels(Image.open(file))
    return len(files) / (time.perf_counter() - started)
