"""Strategies against slower code of the same definition: ``python -m tests.versus --help``.

``naive`` holds each strategy to its plain definition on a small problem, in float64; ``published``
compares BAIT with the arithmetic of its published code, on a problem of ``dal.bench select``.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from dal.bench import select
from dal.bench.select import PROBLEMS, Problem
from dal.strategies import Bait, Need
from tests import reference

# Of 12 features: explicit matrices of 48 × 48 for every candidate.
SMALL = Problem(pool=120, num_classes=4, num_labeled=12, num=3)
SMALL_FEATURES = 12
CPU = torch.device("cpu")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.versus", description=__doc__)
    parser.add_argument("against", choices=["naive", "published"])
    parser.add_argument(
        "--strategies", nargs="+", choices=sorted(reference.selections), default=["bait_binary"]
    )
    parser.add_argument("--problem", choices=PROBLEMS, default="cifar10_2000", help="of published")
    parser.add_argument("--device", type=torch.device, default=CPU, help="of dal's: cpu or cuda")
    return parser.parse_args(arguments)


def against_naive(
    names: list[str], console: Console, device: torch.device = CPU
) -> dict[str, dict[str, Any]]:
    """Time and picks of each strategy in float64 on a device, and those of its definition."""
    features = select.draw_features(SMALL, SMALL_FEATURES)
    table = Table(box=None, pad_edge=False)
    for column in ("strategy", "naive s", "dal s", "ratio", "same picks"):
        table.add_column(column, justify="left" if column == "strategy" else "right")
    figures = {}
    for name in names:
        strategy = select.make_strategy(name)
        if hasattr(strategy, "dtype"):
            strategy = select.make_strategy(name, dtype="float64")
        has_posterior = Need.POSTERIOR in strategy.needs
        queries = [
            select.make_query(SMALL, features, where, has_posterior)
            for where in (device, device, CPU)
        ]
        strategy(queries[0])
        fast_seconds, fast = timed(strategy, queries[1])
        slow_seconds, slow = timed(reference.selections[name], queries[2])
        are_same = fast.positions.tolist() == list(slow)
        ratio = slow_seconds / fast_seconds
        table.add_row(
            name,
            f"{slow_seconds:.3f}",
            f"{fast_seconds:.4f}",
            f"{ratio:.0f}",
            "yes" if are_same else "NO",
        )
        figures[name] = {"ratio": ratio, "same_picks": are_same}
    console.print(table)
    return figures


def against_published(
    names: list[str], problem: Problem, num_features: int, console: Console
) -> dict[str, dict[str, Any]]:
    """Time and picks of BAIT in float32, and those of its published arithmetic."""
    features = select.draw_features(problem, num_features)
    figures = {}
    for name in names:
        strategy = select.make_strategy(name)
        assert isinstance(strategy, Bait), f"{name} has no published code"
        strategy(select.make_query(problem, features, CPU))
        fast_seconds, fast = timed(strategy, select.make_query(problem, features, CPU))
        query = select.make_query(problem, features, CPU)
        with torch.no_grad():
            slow_seconds, slow = timed(reference.published_bait, strategy, query)
        ratio = slow_seconds / fast_seconds
        num_shared = len(set(fast.positions.tolist()) & set(slow))
        console.print(
            f"{name}: published {slow_seconds:.1f} s, dal {fast_seconds:.2f} s, ratio {ratio:.0f}; "
            f"{num_shared} of {problem.num} picks the same, float32"
        )
        figures[name] = {"ratio": ratio, "shared_picks": num_shared}
    return figures


def timed(work: Callable[..., Any], *arguments: object) -> tuple[float, Any]:
    """Wall seconds of a call, and what it returned."""
    started = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - started, result


def main() -> None:
    """The command."""
    args = parse()
    console = Console(highlight=False)
    if args.against == "naive":
        against_naive(args.strategies, console, args.device)
    else:
        against_published(args.strategies, PROBLEMS[args.problem], select.NUM_FEATURES, console)


if __name__ == "__main__":
    main()
