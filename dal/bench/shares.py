"""One selection by several processes that share the rows of the pool."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from dal.bench.timing import Timings, in_turns
from dal.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from dal.bench.select import Problem
    from dal.strategies import Strategy


def measured(
    strategy: "Strategy", problem: "Problem", file: Path, args: argparse.Namespace
) -> tuple[Timings, int]:
    """Times a selection by ``args.processes`` processes on this machine's CPUs.

    Args:
        strategy: What selects; it is pickled for the processes.
        problem: Its size.
        file: The features, which every process maps into its memory and reads its share of.
        args: Options of the bench.

    Returns:
        Wall seconds until the last process is done, and the peak memory of the process that takes
        most, in bytes.

    Raises:
        ConfigError: If processes do not share the rows with this strategy.
        ResourceError: If a process fails.
    """
    if not strategy.is_shared:
        raise ConfigError("processes do not share its rows: each of them would select from all.")
    from torch.multiprocessing import ProcessExitedException, spawn  # type: ignore[attr-defined]

    with TemporaryDirectory(prefix="dal-") as folder:
        try:
            spawn(_measure_share, (strategy, problem, file, args, folder), nprocs=args.processes)
        except ProcessExitedException as error:
            raise ResourceError(f"a process has ended: {error}") from error
        figures = json.loads((Path(folder) / "figures.json").read_text())
    return Timings("", figures["seconds"]), figures["peak_bytes"]


def _measure_share(
    rank: int,
    strategy: "Strategy",
    problem: "Problem",
    file: Path,
    args: argparse.Namespace,
    folder: str,
) -> None:
    """Selects as the process of a rank; that of rank 0 writes how long all of them took."""
    import numpy as np
    import torch
    import torch.distributed as dist

    from dal.bench import select
    from dal.functional import sharding
    from dal.runtime import devices, memory_maps
    from dal.strategies import Need

    meeting = Path(folder, "meeting").as_uri()
    dist.init_process_group("gloo", meeting, rank=rank, world_size=args.processes)
    torch.set_num_threads(max(1, torch.get_num_threads() // args.processes))
    device = torch.device("cpu")
    features = memory_maps.tensor(np.load(file, mmap_mode="c"))
    shares = sharding.ProcessShares()

    def selection() -> None:
        dist.barrier()
        query = select.make_query(
            *(problem, features, device, Need.POSTERIOR in strategy.needs),
            in_memory=False if args.on_disk else "auto",
        )
        strategy(replace(query, shares=shares))
        dist.barrier()

    devices.reset_peak(device)
    warm_up = problem.pool < select.LARGE_POOL
    (timings,) = in_turns([("", selection)], args.repeat, Console(quiet=True), warm_up)
    peaks = shares.gathered(torch.tensor([devices.peak_bytes(device)]))
    if rank == 0:
        figures = {"seconds": timings.seconds, "peak_bytes": int(peaks.max())}
        Path(folder, "figures.json").write_text(json.dumps(figures))
    dist.destroy_process_group()
