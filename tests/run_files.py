"""What a run has written, as tests compare it."""

import csv
from pathlib import Path

MEASURED = {"fit_seconds", "query_seconds", "peak_memory_mib"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def stable_curve(run_dir: Path) -> list[dict[str, str]]:
    """The curve without times and memory."""
    return [
        {key: value for key, value in row.items() if key not in MEASURED}
        for row in rows(run_dir / "curve.csv")
    ]


def num_rows(run_dir: Path) -> int:
    """Lines of the curve, its header included; 0 before there is one."""
    file = run_dir / "curve.csv"
    return len(file.read_text().splitlines()) if file.exists() else 0
