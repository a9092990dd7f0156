"""A selection by each strategy on a problem as large as one of the paper's.

The features are drawn, since time does not depend on their values. The floor of a strategy is the
time of the floating-point operations that it must do, at the rate of a large matrix product
measured in the same run; operations that wait for memory take longer.
"""

import argparse
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from dal.bench import shares
from dal.bench.floors import floor_flops
from dal.bench.timing import Timings, in_turns, positive
from dal.errors import ConfigError, DalError, did_you_mean

if TYPE_CHECKING:
    import torch

    from dal.strategies import Query, Strategy

HELP = "a selection by each strategy, against the time of its floating-point operations"

NUM_FEATURES = 384  # DINOv2 ViT-S/14
RATE_SIZE = 4096
DRAWN_ROWS = 1 << 16  # at a time
LARGE_POOL = 10**6  # selections from it take minutes: each is timed, also the first


class Problem(NamedTuple):
    """The size of a selection, halfway through an experiment of the paper."""

    pool: int
    num_classes: int
    num_labeled: int
    num: int


# Train examples less 10%, except for ImageNet and for the texts of Banking77, where none are held
# out.
PROBLEMS = {
    "cifar10": Problem(45_000, 10, 110, 10),
    "cifar10_2000": Problem(2_000, 10, 110, 10),
    "stl10": Problem(4_500, 10, 110, 10),
    "snacks": Problem(4_350, 20, 110, 10),
    "cifar100": Problem(45_000, 100, 1_100, 100),
    "food101": Problem(68_175, 101, 1_100, 100),
    "flowers102": Problem(918, 102, 275, 25),
    "stanford_dogs": Problem(10_800, 120, 1_100, 100),
    "tiny_imagenet": Problem(90_000, 200, 2_200, 200),
    "imagenet": Problem(1_281_167, 1_000, 1_000, 1_000),
    "imagenet_10000": Problem(10_000, 1_000, 1_000, 1_000),
    "banking77": Problem(8_903, 77, 1_100, 100),
    "beyond_memory": Problem(20_000_000, 100, 1_000, 1_000),  # 15 GB, in float16
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds the options of this bench."""
    command.add_argument("--problem", choices=PROBLEMS, default="cifar10", help="its size")
    command.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        default=["random", "margin", "badge", "typiclust", "bait_binary", "bait_diagonal"],
        help="names as in strategy=NAME",
    )
    command.add_argument(
        "--options",
        nargs="+",
        metavar="KEY=VALUE",
        default=[],
        help="of these strategies, as in strategy.KEY=VALUE",
    )
    command.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    command.add_argument("--pool", type=positive, metavar="N", help="rows, and not the problem's")
    command.add_argument(
        "--on-disk",
        action="store_true",
        help="the pool is in a temporary file ($TMPDIR) and read in chunks",
    )
    command.add_argument(
        "--processes",
        type=positive,
        default=1,
        metavar="N",
        help="how many share the rows and the cores, each with a part of the pool",
    )
    command.add_argument("--repeat", type=positive, default=3, help="selections that are timed")


def run(args: argparse.Namespace, console: Console) -> dict[str, object]:
    """Measures, prints a table, and returns all figures.

    Raises:
        ConfigError: If a strategy or a device is unknown, or the pool too small.
    """
    import torch

    from dal.runtime import devices

    options = parsed(args.options)
    strategies = {name: make_strategy(name, **options) for name in args.strategies}
    try:
        device = torch.empty(0, device=args.device).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"Cannot use --device {args.device}: {error}") from error
    if args.processes > 1 and device.type != "cpu":
        raise ConfigError(
            f"Expected --device cpu with --processes {args.processes}, got {args.device}."
        )
    problem = PROBLEMS[args.problem]
    if args.pool is not None:
        if args.pool < problem.num:
            raise ConfigError(
                f"Expected --pool of at least {problem.num}, which {args.problem} selects, "
                f"got {args.pool}."
            )
        problem = problem._replace(pool=args.pool)
    rate = matmul_rate(device)
    console.print(
        f"{args.problem}: pool {problem.pool} × {NUM_FEATURES}, K {problem.num_classes}, "
        f"{problem.num_labeled} labeled, B {problem.num}; {devices.name(device)}, "
        f"{rate / 1e9:.0f} GFLOP/s in float32 matrix products; {args.repeat} runs"
        + (f", {args.processes} processes" if args.processes > 1 else "")
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("strategy")
    for column in ("median s", "min s", "max s", "peak GiB", "floor s", "ratio"):
        table.add_column(column, justify="right")
    figures: dict[str, Any] = {}
    is_file = args.on_disk or args.processes > 1
    folder = TemporaryDirectory(prefix="dal-") if is_file else nullcontext()
    with folder as path:
        file = None if path is None else Path(path) / "features.npy"
        features = draw_features(problem, NUM_FEATURES, file)
        for name, strategy in strategies.items():
            try:
                if file is not None and args.processes > 1:
                    timings, peak = shares.measured(strategy, problem, file, args)
                else:
                    timings, peak = _measured(strategy, problem, features, device, args, console)
            except DalError as error:
                table.add_row(name, "refused", "", "", "", "", "")
                console.print(f"{name}: {error}", soft_wrap=True)
                figures[name] = {"refused": str(error)}
                continue
            floor = floor_flops(name, problem, NUM_FEATURES, strategy) / rate
            ratio = timings.median / floor if floor else float("nan")
            table.add_row(
                name, *timings.cells, f"{peak / 2**30:.2f}", f"{floor:.3f}", f"{ratio:.2f}"
            )
            figures[name] = {
                "seconds": timings.seconds,
                "median_seconds": timings.median,
                "peak_bytes": peak,
                "floor_seconds": floor,
                "ratio": ratio,
            }
    console.print(table)
    return {
        "problem": args.problem,
        **problem._asdict(),
        "on_disk": args.on_disk,
        "processes": args.processes,
        "options": args.options,
        "num_features": NUM_FEATURES,
        "device": devices.name(device),
        "flops_per_second": rate,
        "strategies": figures,
    }


def matmul_rate(device: "torch.device") -> float:
    """Floating-point operations per second in a large float32 matrix product, median of five."""
    import torch

    from dal.runtime import devices

    matrix = torch.randn(RATE_SIZE, RATE_SIZE, device=device)
    rates: list[float] = []
    for _ in range(6):
        started = devices.synchronized_time(device)
        matrix @ matrix
        seconds = devices.synchronized_time(device) - started
        rates.append(2 * RATE_SIZE**3 / seconds)
    return statistics.median(rates[1:])


def _measured(
    strategy: "Strategy",
    problem: Problem,
    features: "torch.Tensor",
    device: "torch.device",
    args: argparse.Namespace,
    console: Console,
) -> tuple[Timings, int]:
    from dal.cli.console import PoolProgress, bars
    from dal.runtime import devices
    from dal.strategies import Need

    has_posterior = Need.POSTERIOR in strategy.needs
    in_memory = False if args.on_disk else "auto"
    progress = bars(console)  # not started: lines in a log file alone
    listener = PoolProgress(console, progress, progress.add_task("selecting", note=""))

    def selection() -> None:
        query = make_query(problem, features, device, has_posterior, in_memory)
        query.pool.listener = listener
        strategy(query)
        devices.synchronized_time(device)

    devices.reset_peak(device)
    warm_up = problem.pool < LARGE_POOL
    (timings,) = in_turns([("", selection)], args.repeat, console, warm_up)
    return timings, devices.peak_bytes(device)


def parsed(options: Sequence[str]) -> dict[str, Any]:
    """Options of strategies, given as ``KEY=VALUE``, by their names.

    Raises:
        ConfigError: If one has another form.
    """
    from omegaconf import OmegaConf

    for option in options:
        if "=" not in option:
            raise ConfigError(f"Expected --options as KEY=VALUE, got '{option}'.")
    return dict(OmegaConf.from_dotlist([*options]))


def make_strategy(name: str, **options: object) -> "Strategy":
    """The strategy that ``strategy=NAME`` would choose, with its configured arguments.

    Args:
        name: Its name.
        options: Arguments in place of the configured ones.

    Raises:
        ConfigError: If there is no such strategy or option.
    """
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from dal.cli import config

    files = {file.stem: file for file in (config.folder() / "strategy").glob("*.yaml")}
    if name not in files:
        raise ConfigError(f"Unknown strategy '{name}'. {did_you_mean(name, files)}")
    configured = OmegaConf.load(files[name])
    known = [str(key) for key in configured if key != "_target_"]
    for key in options:
        if key not in known:
            raise ConfigError(f"Unknown option '{key}' of {name}. {did_you_mean(key, known)}")
    made: Strategy = instantiate(configured, **options)
    return made


def draw_features(problem: Problem, num_features: int, file: Path | None = None) -> "torch.Tensor":
    """Features of pool and labeled examples, float16 as they are cached, of norm about 45.

    Args:
        problem: Its size.
        num_features: D.
        file: Where they are written to and read from; they are in memory if not given.
    """
    import numpy as np
    import torch

    from dal.runtime import memory_maps

    shape = problem.pool + problem.num_labeled, num_features
    generator = torch.Generator().manual_seed(0)

    def draw(size: int) -> torch.Tensor:
        drawn = torch.randn(size, num_features, generator=generator)
        return drawn.mul_(45 / num_features**0.5).half()

    sizes = [min(DRAWN_ROWS, shape[0] - first) for first in range(0, shape[0], DRAWN_ROWS)]
    if file is None:
        features = torch.empty(shape, dtype=torch.float16)
        for rows, size in zip(features.split(DRAWN_ROWS), sizes, strict=True):
            rows.copy_(draw(size))
        return features
    with file.open("wb") as stream:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for size in sizes:
            stream.write(draw(size).numpy().data)
    return memory_maps.tensor(np.load(file, mmap_mode="c"))


def make_query(
    problem: Problem,
    features: "torch.Tensor",
    device: "torch.device",
    has_posterior: bool = False,
    in_memory: str | bool = "auto",
) -> "Query":
    """A query of a problem's size, to a random linear head of which some rows are sure.

    With ``has_posterior`` it is a head of :mod:`dal.heads`, which loads Lightning.
    """
    import torch

    from dal.data import FeatureRows
    from dal.strategies import Query
    from dal.strategies.testing import nearest_mean

    generator = torch.Generator().manual_seed(1)
    linear = torch.nn.Linear(features.shape[1], problem.num_classes).requires_grad_(False)
    # Logits of standard deviation 2: some examples certain, some not.
    linear.weight.copy_(2 / 45 * torch.randn(linear.weight.shape, generator=generator))
    linear.bias.zero_()
    head: torch.nn.Module = linear
    if has_posterior:
        from dal.heads import Head

        head = Head(features.shape[1], problem.num_classes, network=lambda **_: linear).eval()
    indices = torch.arange(len(features))
    num_labeled = problem.num_labeled
    labeled = FeatureRows(features, indices[:num_labeled], device)
    labels = (indices[:num_labeled] % problem.num_classes).to(device)
    return Query(
        pool=FeatureRows(features, indices[num_labeled:], device, in_memory=in_memory),
        labeled=labeled,
        labels=labels,
        head=head.to(device),
        num=problem.num,
        generator=generator,
        # Not a fit, whose time is that of `dal.bench fit`.
        refit=lambda rows: nearest_mean(
            labeled.take(rows).load(), labels[rows], problem.num_classes
        ),
    )
