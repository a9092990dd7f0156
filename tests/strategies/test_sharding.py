"""Processes that share the rows of a pool select what one process selects."""

import json
import multiprocessing
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from dal import strategies
from dal.bench.select import Problem, draw_features, make_query
from dal.functional import k_centers, sharding
from dal.strategies import query as queries

ROOT = Path(__file__).parents[2]
PROBLEM = Problem(400, 5, 20, 30)
CHUNK_ROWS = 96


def selections(shares: sharding.Shares) -> dict[str, Any]:
    """Positions and scores of every strategy that shares the rows, with and without labels."""
    queries.CHUNK_LOGITS = queries.MIN_CHUNK_ROWS = k_centers.CHUNK_ROWS = CHUNK_ROWS
    features = draw_features(PROBLEM, 16)
    features[40:60] = features[200:220]  # ties of rows of two processes
    features[330:] = features[360]
    found = {}
    for num_labeled in (20, 0):
        problem = PROBLEM._replace(num_labeled=num_labeled, pool=420 - num_labeled)
        for name, known in strategies.BY_NAME.items():
            if known.is_shared and known.needs <= ({*strategies.Need} if num_labeled else set()):
                query = make_query(problem, features, torch.device("cpu"), in_memory=False)
                for num in (30, 400):
                    selected = known()(replace(query, num=num, shares=shares))
                    scores = () if selected.scores is None else selected.scores.nan_to_num()
                    key = f"{name}, {num} of {problem.pool}"
                    found[key] = [selected.positions.tolist(), list(map(float, scores))]
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
    assert {key.partition(",")[0] for key in expected} == {
        *("random", "margin", "entropy", "least_confidence", "core_set")
    }
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
