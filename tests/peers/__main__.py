"""Strategies against independent implementations: ``python -m tests.peers``.

Picks and times of scikit-activeml, apricot and batchbald_redux beside ours, on equal problems, on
this machine, in turns. Their packages are installed in an environment of their own, since they ask
for other versions than this package does; ``--environment DIR`` keeps it for the next time.

Where the definitions agree, so must the picks; where they do not, the table says why:

- BADGE and Falcun draw by a generator of numpy there and one of torch here: the first pick of BADGE
  is no draw and must agree, the others are equal in distribution only.
- ProbCover draws among balls that cover equally many; ours takes the lowest row. A first pick that
  differs changes the ties of the next.
- TypiClust clusters with another k-means, takes clusters without labels alone and looks at another
  number of neighbors in small clusters: only the times compare.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dal.bench.select import make_strategy
from dal.data import FeatureRows
from dal.functional import information
from dal.strategies import Query

PACKAGES = ["scikit-activeml==1.0.1", "batchbald-redux==2.0.5", "apricot-select==0.6.1"]
ROOT = Path(__file__).parents[2]
NUM_FEATURES, NUM_CLASSES, NUM_LABELED, NUM = 384, 10, 110, 10
REPEAT = 3
DELTA = 0.6


class Peer(NamedTuple):
    """One strategy here, and what it is compared with."""

    problem: str
    name: str
    strategy: str
    arguments: dict[str, object]
    shared: int | None  # how many of the first picks must be equal; None: nothing need be


PEERS = [
    Peer("labeled", "core_set", "core_set", {}, NUM),
    Peer("labeled", "prob_cover", "prob_cover", {"delta": DELTA}, None),
    Peer("labeled", "max_herding", "max_herding", {}, NUM),
    Peer("labeled", "badge", "badge", {}, 1),
    Peer("labeled", "falcun", "falcun", {}, None),
    Peer("labeled", "typiclust", "typiclust", {}, None),
    Peer("unlabeled", "max_herding_apricot", "max_herding", {}, NUM),
]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument("--environment", type=Path, help="where their packages are installed")
    parser.add_argument("--rows", type=int, default=5000, help="size of the pool")
    return parser.parse_args(arguments)


def make_environment(folder: Path) -> Path:
    """Installs the peers' packages, if they are not there yet, and returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = str(ROOT / "constraints.txt")
    subprocess.run([*install, "-c", constraints, "torch", *PACKAGES], check=True)
    return python


def draw_rows(num_rows: int, generator: torch.Generator) -> Tensor:
    """Clustered features of norm near 45, float32."""
    centers = torch.randn(40, NUM_FEATURES, generator=generator)
    assignment = torch.randint(40, (num_rows,), generator=generator)
    noise = torch.randn(num_rows, NUM_FEATURES, generator=generator)
    rows = centers[assignment] + 0.45 * noise
    scaled: Tensor = 45 * rows / rows.norm(dim=1).mean()
    return scaled


def make_query(num_rows: int, num_labeled: int) -> Query:
    """A query to a random linear head."""
    generator = torch.Generator().manual_seed(0)
    rows = draw_rows(num_rows + num_labeled, generator)
    head = torch.nn.Linear(NUM_FEATURES, NUM_CLASSES).requires_grad_(False)
    head.weight.copy_(2 / 45 * torch.randn(head.weight.shape, generator=generator))
    head.bias.zero_()
    return Query(
        pool=FeatureRows(rows[num_labeled:]),
        labeled=FeatureRows(rows[:num_labeled]),
        labels=torch.arange(num_labeled) % NUM_CLASSES,
        head=head,
        num=NUM,
        generator=generator,
    )


def write_problem(path: Path, query: Query, peers: list[str], **more: object) -> None:
    """Writes a query as arrays."""
    head = query.head
    assert isinstance(head, torch.nn.Linear)
    np.savez(
        path,
        pool=query.pool_features.numpy(),
        labeled=query.labeled_features.numpy(),
        labels=query.labels.numpy(),
        weight=head.weight.numpy(),
        bias=head.bias.numpy(),
        num=query.num,
        peers=" ".join(peers),
        **more,  # type: ignore[arg-type]
    )


def draw_samples(num_rows: int) -> Tensor:
    """Probabilities under sampled weights, ``(S, N, K)``, float64: small enough to enumerate."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(20, num_rows, 3, generator=generator, dtype=torch.float64)
    return F.softmax(logits, -1)


def select_here(query: Query, peer: Peer) -> tuple[list[int], list[float]]:
    """Picks, and seconds of each of several runs from a query that has computed nothing yet."""
    strategy = make_strategy(peer.strategy, **peer.arguments)
    seconds = []
    for _ in range(REPEAT + 1):
        asked = Query(
            query.pool, query.labeled, query.labels, query.head, query.num, query.generator
        )
        started = time.perf_counter()
        positions = strategy(asked).positions
        seconds.append(time.perf_counter() - started)
    return positions.tolist(), seconds[1:]


def compare(folder: Path, python: Path, num_rows: int, console: Console) -> bool:
    """Prints the table; whether all picks agree that must."""
    queries = {"labeled": make_query(num_rows, NUM_LABELED), "unlabeled": make_query(num_rows, 0)}
    for name, query in queries.items():
        peers = [peer.name for peer in PEERS if peer.problem == name]
        write_problem(folder / f"{name}.npz", query, peers, delta=DELTA, repeat=REPEAT)
    samples, num_bald = draw_samples(60), 4
    np.savez(
        folder / "samples.npz",
        samples=samples.numpy(),
        num=num_bald,
        num_configurations=10**5,
        peers="batch_bald",
        repeat=REPEAT,
    )
    script = Path(__file__).with_name("selections.py")
    subprocess.run([python, script, folder], check=True, env=os.environ | {"TQDM_DISABLE": "1"})
    answers = json.loads((folder / "picks.json").read_text())
    table = Table(box=None, pad_edge=False)
    for column in ("strategy", "peer", "theirs s", "ours s", "ratio", "same picks"):
        table.add_column(column, justify="left" if column in ("strategy", "peer") else "right")
    all_agree = True

    def add(
        strategy: str, name: str, ours: list[int], seconds: list[float], must: int | None
    ) -> None:
        nonlocal all_agree
        theirs = answers[name]
        same = sum(a == b for a, b in zip(ours, theirs["positions"], strict=True))
        agree = must is None or ours[:must] == theirs["positions"][:must]
        all_agree &= agree
        median_theirs, median_ours = np.median(theirs["seconds"]), np.median(seconds)
        table.add_row(
            strategy,
            name.partition("/")[2],
            f"{median_theirs:.3f}",
            f"{median_ours:.4f}",
            f"{median_theirs / median_ours:.0f}",
            f"{same} of {len(ours)}" + ("" if agree else f", expected {must}"),
        )

    for peer in PEERS:
        add(
            peer.strategy,
            f"{peer.problem}/{peer.name}",
            *select_here(queries[peer.problem], peer),
            peer.shared,
        )
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    found = information.batch_bald(
        samples.permute(1, 2, 0), num_bald, generator, max_configurations=10**5
    )
    seconds = time.perf_counter() - started
    picks = found.positions.tolist()
    add("batch_bald", "samples/batch_bald", picks, [seconds], num_bald)
    console.print(f"pool {num_rows} × {NUM_FEATURES}, K {NUM_CLASSES}, L {NUM_LABELED}, B {NUM}")
    console.print(table)
    return all_agree


def main() -> None:
    """The command: exits with 1 if picks differ that should not."""
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        environment = args.environment or Path(folder) / "environment"
        python = make_environment(environment.absolute())
        if not compare(Path(folder), python, args.rows, Console(highlight=False)):
            sys.exit(1)


if __name__ == "__main__":
    main()
