"""Processes that share the rows of a pool select what one process selects."""

import json
import os
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
from dal.functional import bait, bait_rank_one, k_centers, sharding
from dal.strategies import query as queries

ROOT = Path(__file__).parents[2]
PROBLEM = Problem(400, 5, 20, 30)
CHUNK_ROWS = 96


def selections(shares: sharding.Shares) -> dict[str, Any]:
    """Positions and scores of every strategy that shares the rows, with and without labels."""
    queries.CHUNK_LOGITS = queries.MIN_CHUNK_ROWS = k_centers.CHUNK_ROWS = CHUNK_ROWS
    bait_rank_one.CHUNK_ROWS["cpu"] = CHUNK_ROWS
    bait.SHORTLIST_ROWS, bait.BLOCK_STEPS = 40, 8
    features = draw_features(PROBLEM, 16)
    features[40:60] = features[200:220]  # ties of rows of two processes
    features[330:] = features[360]
    found = {}
    for num_labeled in (20, 0):
        problem = PROBLEM._replace(num_labeled=num_labeled, pool=420 - num_labeled)
        for name, known in strategies.BY_NAME.items():
            offered = {*strategies.Need} if num_labeled else {strategies.Need.HEAD}
            if known.is_shared and known.needs <= offered:
                query = make_query(problem, features, torch.device("cpu"), in_memory=False)
                for num in (30, 400):
                    selected = known()(replace(query, num=num, shares=shares))
                    scores = () if selected.scores is None else selected.scores.nan_to_num()
                    key = f"{name}, {num} of {problem.pool}"
                    found[key] = [selected.positions.tolist(), list(map(float, scores))]
    return found


def command() -> list[str]:
    return [sys.executable, "-m", "tests.strategies.test_sharding"]


def environment(rank: int, num: int, port: int) -> dict[str, str]:
    own: dict[str, object] = {
        "RANK": rank,
        "WORLD_SIZE": num,
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": 1,
    }
    own |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": ROOT}
    return os.environ | {key: str(value) for key, value in own.items()}


@pytest.mark.long
@pytest.mark.parametrize("num", [2, 3])
def test_processes_select_what_one_selects(num: int) -> None:
    """Of five chunks: no two processes have the same share."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [
        subprocess.Popen(command(), env=environment(rank, num, port), stdout=subprocess.PIPE)
        for rank in range(num)
    ]
    outputs = [json.loads(process.communicate(timeout=200)[0]) for process in running]
    expected = outputs[0]["alone"]
    assert {key.partition(",")[0] for key in expected} == {
        *("random", "margin", "entropy", "least_confidence", "core_set", "bait_binary")
    }
    for output in outputs:
        assert output["together"] == expected


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
    dist.init_process_group("gloo")
    found = {"together": selections(sharding.ProcessShares())}
    if dist.get_rank() == 0:
        found["alone"] = selections(sharding.ALONE)
    print(json.dumps(found))
    dist.destroy_process_group()
