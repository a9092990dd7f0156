"""Processes that share the rows of a pool select what one process selects."""

import json
import multiprocessing
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from dal import strategies
from dal.bench.select import Problem, draw_features, make_query
from dal.functional import bait, bait_rank_one, seeding, sharding
from dal.strategies import AlfaMix, Badge, Bald, BatchBald, Need, Strategy
from dal.strategies.testing import TwoLayers

ROOT = Path(__file__).parents[2]
PROBLEM = Problem(150, 5, 20, 30)
CHUNK_ROWS = 32
NAMES = (
    *("random", "margin", "entropy", "least_confidence", "core_set", "badge", "bald"),
    *("batch_bald", "falcun", "cluster_margin", "alfa_mix", "drop_query", "bait_binary"),
)


def cases() -> Iterator[tuple[str, Strategy, int]]:
    """Strategies, and from how many rows on BADGE draws by rejection."""
    for name, known in strategies.BY_NAME.items():
        if known.is_shared and known is not BatchBald:
            yield name, known(), 150
    yield "badge by rejection", Badge(), 50
    yield "bald with noise", Bald(power=True), 150
    yield "batch_bald", BatchBald(num_samples=10, max_configurations=50), 150
    yield "part of alfa_mix", AlfaMix(subset_size=120), 150


def selections(shares: sharding.Shares) -> dict[str, Any]:
    """Positions and scores of every strategy that shares the rows, with and without labels."""
    sharding.CHUNK_ROWS = bait_rank_one.CHUNK_ROWS["cpu"] = CHUNK_ROWS
    bait.SHORTLIST_ROWS, bait.BLOCK_STEPS = 40, 8
    features = draw_features(PROBLEM, 16)
    features[30:40] = features[110:120]  # ties of rows of two processes
    features[140:] = features[150]
    torch.manual_seed(0)
    head = TwoLayers(16, PROBLEM.num_classes).requires_grad_(False).eval()
    found = {}
    for num_labeled in (20, 0):
        problem = PROBLEM._replace(num_labeled=num_labeled, pool=170 - num_labeled)
        for name, strategy, seeding.SMALL_POOL in cases():
            if num_labeled == 0 and not strategy.needs <= {Need.HEAD}:
                continue
            for num in (30, problem.pool):
                query = make_query(problem, features, torch.device("cpu"), in_memory=False)
                query = replace(query, num=num, head=head, shares=shares)
                if num > (strategy.subset_size or (50 if name == "batch_bald" else num)):
                    continue
                selected = strategy(query)
                scores = () if selected.scores is None else selected.scores.nan_to_num()
                # What is drawn next says whether all processes have drawn as many numbers.
                state = int(torch.randint(2**31, (), generator=query.generator))
                answer = selected.positions.tolist(), list(map(float, scores)), state
                found[f"{name}, {num} of {problem.pool}"] = [*answer, dict(selected.derived)]
    return found


def put_selections(answers: Any, rank: int, num: int, port: int) -> None:
    """Puts what one of some processes selects, with the others and, by the first, also alone."""
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=num)
    found = [selections(sharding.ProcessShares())]
    if rank == 0:
        found.append(selections(sharding.ALONE))
    answers.put(found)
    dist.destroy_process_group()


@pytest.mark.long
def test_processes_select_what_one_selects() -> None:
    """Of five chunks, by two processes and by three: no two of them have the same share."""
    command = [sys.executable, "-m", "tests.strategies.test_sharding"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=250)
    expected, *others = json.loads(done.stdout)
    assert len(others) == 2 + 3 + 2 - 1  # together, and twice alone
    assert {key.partition(",")[0] for key in expected} >= {*NAMES, "badge by rejection"}
    for other in others:
        assert other == expected


def test_shares_are_whole_chunks() -> None:
    for num, num_rows, chunk_rows in ((3, 1000, 256), (2, 10, 4), (5, 8, 4), (4, 0, 4)):
        shares = [sharding.Shares() for _ in range(num)]
        for rank, one in enumerate(shares):
            one.num, one.rank = num, rank
        parts = [one.own(num_rows, chunk_rows) for one in shares]
        rows = [row for part in parts for row in range(part.start, part.stop)]
        assert rows == [*range(num_rows)]
        assert all(part.start % chunk_rows == 0 or part.start == num_rows for part in parts)


if __name__ == "__main__":
    torch.set_num_threads(1)
    forks = multiprocessing.get_context("fork")  # they have loaded what takes seconds to load
    answers = forks.SimpleQueue()
    found = []
    for num in (2, 3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        ranks = [
            forks.Process(target=put_selections, args=(answers, rank, num, port))
            for rank in range(num)
        ]
        for process in ranks:
            process.start()
        for _ in ranks:
            found += answers.get()
        for process in ranks:
            process.join()
    print(json.dumps(found))
