"""Tables of the runs themselves: each of them, which are missing, and how they are configured."""

import shlex
from pathlib import Path

import pandas as pd

from dal.errors import RecordError
from dal.experiment.record import CONFIG, RunDirectory
from dal.report import palette
from dal.report.results import Results
from dal.report.table import ABSENT, Cell, Table, ranges


def runs_table(results: Results) -> Table:
    """Every run: its scores, where it is, and the command that repeats it."""
    frame = results.frame
    runs = frame.groupby("run", sort=False).agg(
        dataset=("dataset", "first"),
        strategy=("strategy", "first"),
        seed=("seed", "first"),
        auc=("accuracy", "mean"),
        final_accuracy=("accuracy", "last"),
        cycles=("cycle", "size"),
        complete=("complete", "first"),
    )
    runs = runs.assign(auc=100 * runs["auc"], final_accuracy=100 * runs["final_accuracy"])
    runs = runs.assign(
        command=[repeat_command(path) for path in runs.index],
        url=[read_url(path) for path in runs.index],
    )
    has_urls = bool(runs["url"].any())
    rows = []
    for path, run in runs.iterrows():
        num_cycles = frame.loc[frame["run"] == path, "num_cycles"].iloc[0]
        unfinished = f"{run['cycles']} of {ABSENT if pd.isna(num_cycles) else num_cycles} cycles"
        rows.append(
            [
                Cell(str(run["dataset"]), str(run["dataset"])),
                Cell(palette.label(run["strategy"]), str(run["strategy"])),
                Cell(str(run["seed"]), float(run["seed"])),
                Cell(f"{run['auc']:.2f}", float(run["auc"]))
                if run["complete"]
                else Cell(unfinished, -1.0),
                Cell(f"{run['final_accuracy']:.2f}", float(run["final_accuracy"])),
                Cell(str(path), str(path), link=str(path), command=str(run["command"])),
                *([_url_cell(str(run["url"]))] if has_urls else []),
            ]
        )
    return Table(
        "runs",
        "Runs",
        "Every run that was read, with its AUC and its accuracy after the last cycle in percent, "
        "and its directory. The command repeats it in a directory beside it.",
        [
            *("Dataset", "Strategy", "Seed", "AUC", "Final accuracy", "Directory"),
            *(["W&B"] if has_urls else []),
        ],
        rows,
        runs.reset_index(),
    )


def read_url(run: str) -> str:
    """Where Weights & Biases shows a run; empty if that is not known."""
    try:
        return str(RunDirectory(run, {}).read_tracking().get("url", ""))
    except (OSError, RecordError):  # it says nothing of the results
        return ""


def _url_cell(url: str) -> Cell:
    """The name of a run in Weights & Biases, with a link to it."""
    if not url:
        return Cell(ABSENT, "")
    return Cell(url.rstrip("/").rpartition("/")[2], url, link=url)


def repeat_command(run: str) -> str:
    """The command that repeats a run from its stored configuration, in a directory beside it.

    Example:
        >>> repeat_command("/outputs/digits/badge/seed_0").split()[:5]
        ['python', '-m', 'dal.train', '--config-path', '/outputs/digits/badge/seed_0']
    """
    path = str(Path(run).resolve())
    arguments = ["--config-path", path, "--config-name", Path(CONFIG).stem]
    # The stored configuration lacks Hydra's part, by which nothing is written beside a run.
    arguments += [f"run_dir={path}_again", "hydra.run.dir=.", "hydra.output_subdir=null"]
    arguments += ["hydra/job_logging=disabled"]
    return shlex.join(["python", "-m", "dal.train", *arguments])


def run_counts_table(results: Results) -> Table | None:
    """How many runs are complete, of the seeds that any strategy of the dataset has.

    None where every strategy has all of them.
    """
    frame = results.frame
    runs = frame[(frame["cycle"] == 0) & (frame["repeat"] == 0)]
    rows = []
    is_missing = False
    for dataset in results.datasets:
        here = runs[runs["dataset"] == dataset]
        seeds = set(here["seed"])
        cells = [Cell(dataset, dataset)]
        for strategy in results.strategies:
            of_strategy = here[here["strategy"] == strategy]
            is_missing |= set(of_strategy.loc[of_strategy["complete"], "seed"]) != seeds
            if of_strategy.empty:
                cells.append(Cell(ABSENT, -1.0))
                continue
            found = set(of_strategy["seed"])
            complete = set(of_strategy.loc[of_strategy["complete"], "seed"])
            what = f"{dataset}, {palette.label(strategy)}"
            notes = []
            if found > complete:
                notes.append(f"{what}: unfinished seeds {ranges(sorted(found - complete))}.")
            if seeds > found:
                notes.append(f"{what}: no run of seeds {ranges(sorted(seeds - found))}.")
            cells.append(
                Cell(f"{len(complete)} of {len(seeds)}", float(len(complete)), notes=tuple(notes))
            )
        rows.append(cells)
    if not is_missing:
        return None
    return Table(
        "run_counts",
        "Missing runs",
        "Complete runs, of the seeds that any strategy of the dataset has.",
        ["Dataset", *map(palette.label, results.strategies)],
        rows,
        runs[["dataset", "strategy", "seed", "complete", "run"]],
        transposable="Strategy",
    )


def configuration_table(results: Results) -> Table | None:
    """What the configurations of runs differ in, and on which datasets; None if in nothing."""
    configurations = results.configurations
    datasets = list(dict.fromkeys(configurations["dataset"]))
    rows = []
    for key in configurations.columns.drop(["dataset", "strategy", "seed"]):
        # An argument of one strategy differs from another's; that is no difference between runs.
        if key.startswith("strategy.") and not _varies_within_strategy(configurations, key):
            continue
        names: dict[str, list[str]] = {}
        for dataset in datasets:
            values = configurations.loc[configurations["dataset"] == dataset, key]
            names.setdefault(", ".join(dict.fromkeys(values)), []).append(dataset)
        rows += [
            [Cell(key, key), Cell(value, value), Cell(", ".join(those), ", ".join(those))]
            for value, those in names.items()
        ]
    if not rows:
        return None
    return Table(
        "configuration",
        "Differences between configurations",
        "Keys that are not the same in all runs: their values, and the datasets with each.",
        ["Key", "Value", "Datasets"],
        rows,
        configurations.reset_index(),
    )


def _varies_within_strategy(configurations: pd.DataFrame, key: str) -> bool:
    plain = configurations["strategy"].map(lambda name: palette.split(name)[0])
    return bool((configurations.groupby(plain)[key].nunique() > 1).any())
