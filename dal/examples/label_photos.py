# %% [markdown]
# # Label your own photos
#
# You have a folder of photos and no label. Which ones should people label first, which next, and
# when is it enough? A *project* answers that in rounds: it hands out some photos, takes the answers
# back, fits a model to all labels so far, says how good that is, and hands out those that the model
# would learn most from.
#
# This tutorial draws its own photos, of circles, squares and triangles, and plays the person who
# labels them. So it needs neither network nor patience: 20 seconds on two cores.
#
# Run it with `python -m dal.examples.label_photos`, or open the file as a notebook.

# %%
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

import dal
from dal.data import Embedded, ImageFolder
from dal.examples.pictures import show
from dal.extraction import Backbone, Encoder, FeatureCache, FeatureExtractor

NETWORK = ""  # "facebook/dinov2-small" for real photos: DINOv2, which comes from the hub once
NUM_PHOTOS, NUM_ROUNDS, ROUND_SIZE, AUDIT_SIZE = 300, 4, 10, 60
FOLDER = Path("tutorials/label_photos")  # everything is written here

# %% [markdown]
# ## The photos
#
# Any folder with images in it, at any depth, will do. Here it is filled with drawings. What each
# shows is known to `truth` alone, from which the answers come later; `dal` never sees it.

# %%
SIDES = {"circle": 60, "square": 4, "triangle": 3}
random = np.random.default_rng(0)


def draw(shape: str) -> Image.Image:
    """A shape of any colour, size, place and angle, with noise."""
    background, colour = (tuple(row) for row in random.integers(0, 256, (2, 3)).tolist())
    x, y, radius, angle = random.integers([24, 24, 12, -20], [41, 41, 22, 21]).tolist()
    photo = Image.new("RGB", (64, 64), background)
    ImageDraw.Draw(photo).regular_polygon((x, y, radius), SIDES[shape], angle, colour)
    noise = random.normal(0, 12, (64, 64, 3))
    return Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))


photos = FOLDER / "photos"
photos.mkdir(parents=True, exist_ok=True)
truth = {}
for number in range(NUM_PHOTOS):
    name = f"photo_{number:03d}.png"
    truth[name] = str(random.choice(list(SIDES)))
    draw(truth[name]).save(photos / name)

# %% [markdown]
# ## The network
#
# A frozen network turns each photo into a vector, its features, once. Take DINOv2 for photos: set
# `NETWORK` above, and `dal.extraction.Backbone` loads it. The package holds no weights, so here is
# an encoder of our own in its place. It measures how strong the edges of 8 directions are in 2 × 2
# fields of a photo: enough for drawings, not for birds.
#
# It also shows what any encoder needs, for example one for sound or for molecules: a reader, which
# turns an item into an array and some arrays into a batch; `forward`, from a batch to features; and
# a `description` that changes when the features do, by which the cache tells them apart.

# %%
SIZE = 34


class GreyPixels:
    """Reads photos as grey pixels."""

    def read(self, item: Any) -> np.ndarray:
        """Pixels of one photo, ``(SIZE, SIZE)``, uint8."""
        with Image.open(item["path"]) as photo:
            return np.asarray(photo.convert("L").resize((SIZE, SIZE)))

    def collate(self, decoded: Any) -> Tensor:
        """A batch, ``(N, SIZE, SIZE)``."""
        return torch.from_numpy(np.stack(decoded))


class EdgeDirections(Encoder):
    """Edges of 8 directions in 2 × 2 fields. Nothing has to be loaded: it is its own network."""

    noun = "image"  # what it reads

    def __init__(self) -> None:
        super().__init__(GreyPixels())

    def forward(self, batch: Tensor) -> Tensor:
        """Features, ``(N, 32)``, of pixels ``(N, SIZE, SIZE)``."""
        pixels = batch.float() / 255
        across = pixels[:, 1:-1, 2:] - pixels[:, 1:-1, :-2]
        down = pixels[:, 2:, 1:-1] - pixels[:, :-2, 1:-1]
        eighth = torch.atan2(down, across) * 8 / (2 * torch.pi)  # in [-4, 4]
        direction = F.one_hot(eighth.round().long() % 8, 8).movedim(-1, 1)  # (N, 8, 32, 32)
        strength = direction * (across**2 + down**2)[:, None]
        return F.normalize(F.adaptive_avg_pool2d(strength, 2).flatten(1))

    def description(self) -> dict[str, Any]:
        """What the features depend on."""
        return {"name": "edge directions", "size": SIZE, "version": 1}

    def request(self) -> dict[str, Any]:
        """What it is called, before it is loaded."""
        return self.description()

    def local_files(self) -> list[Any]:
        """No file of weights."""
        return []

    def load(self) -> Encoder:
        """Itself."""
        return self


network = Backbone(NETWORK) if NETWORK else EdgeDirections()
# Photos are read in this process. With thousands of them, and in a script that does its work below
# `if __name__ == "__main__":`, leave `num_workers` out: several processes read then.
extractor = FeatureExtractor(network, FeatureCache(FOLDER / "cache"), num_workers=0)
source = Embedded(ImageFolder(photos, splits={"train": "train", "test": None}), extractor)

# %% [markdown]
# ## The first round
#
# Nothing is labeled, so the first photos are typical ones of many clusters. With them comes an
# audit: a random sample, which is never learned from. Its accuracy is the honest one, since the
# other labels are of photos that were chosen for being difficult.

# %%
project = dal.Project(FOLDER / "project", source)
step = project.advance(num=ROUND_SIZE, audit=AUDIT_SIZE)
assert step.round is not None
print(f"{step.round.name}, by {step.round.strategy}: {', '.join(step.round.ids)}")
for note in step.notes:
    print(note)


def draw_sheet(names: list[str], titles: list[str], file: Path) -> None:
    """Draws some photos side by side, with a line below each."""
    figure = Figure(figsize=(len(names), 1.3), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for place, name, title in zip(axes, names, titles, strict=True):
        place.imshow(Image.open(photos / name))
        place.set_xlabel(title, fontsize=7)
        place.set(xticks=[], yticks=[])
    figure.savefig(file, dpi=120)
    show(file)


draw_sheet(step.round.ids, [truth[name] for name in step.round.ids], FOLDER / "first_round.png")

# %% [markdown]
# Each round is a folder with a page to label on (`page.html`), a table to fill in (`to_label.csv`),
# tasks for Label Studio, and copies of the photos, to be moved into one folder for each class.
# People use one of the four. Here, a function fills in the tables.

# %%
answers = FOLDER / "answers.csv"


def label(*rounds: str) -> None:
    """Does what people do: fills in the tables of some rounds."""
    tables = [pd.read_csv(project.folder.path / name / "to_label.csv") for name in rounds]
    table = pd.concat(tables)
    table["label"] = table["id"].map(truth)
    table[["id", "label"]].to_csv(answers, index=False)


label(step.round.name, "audit_001")

# %% [markdown]
# ## Round after round
#
# Each call takes the answers, fits a linear model to them, and hands out the next photos: those
# that say most about the model, by BAIT. The call is safe to repeat; without new answers it changes
# nothing. What it measures is in `history`, with one entry for each round.

# %%
for _ in range(NUM_ROUNDS):
    step = project.advance(num=ROUND_SIZE, labels=answers)
    assert step.round is not None
    last = step.round.name
    label(last)

columns = ["round", "strategy", "num_labeled", "cross_validated_accuracy", "audit_accuracy"]
print(pd.DataFrame(step.history)[columns].round(3).to_string(index=False))

# %% [markdown]
# The same as a picture, which the project keeps up to date. Stop when the audit's curve is high
# enough, or flat. The interval says how far to trust it: a larger audit makes it narrower.

# %%
show(project.folder.path / "progress.png")

# %% [markdown]
# ## What the model says
#
# Every round holds the predictions for all photos, and the weights of the model. Here are the least
# certain ones, and, since these photos are drawn and the truth is known, the accuracy on all that
# nobody has labeled.

# %%
predictions = pd.read_parquet(project.folder.path / last / "predictions.parquet")
others = predictions[predictions["state"] != "labeled"].sort_values("confidence")
is_right = others["predicted"] == others["id"].map(truth)
print(f"{is_right.mean():.1%} of {len(others)} photos without a label are predicted right.")
unsure = others.head(8)
titles = [f"{row.predicted}? {row.confidence:.0%}" for row in unsure.itertuples()]
draw_sheet(unsure["id"].tolist(), titles, FOLDER / "least_certain.png")

# %% [markdown]
# ## Your turn
#
# With your own folder, the same on the command line, where the project remembers its settings:
#
# ```bash
# python -m dal.query data=imagefolder data.path=photos project=birds num=50 audit=100
# python -m dal.query project=birds labels=birds/round_001/to_label.csv
# ```
#
# [The page on labeling](../labeling/README.md) says all that a project can do.
