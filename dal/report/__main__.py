"""The command line of the report."""

import argparse
import datetime
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

import dal
import dal.report
from dal.cli import arguments
from dal.errors import ReportError, did_you_mean

if TYPE_CHECKING:
    from dal.report.results import Results
    from dal.report.table import Table

SHOWN_TABLES = ("overview",)
MAX_PROBLEMS = 10  # shown in the terminal; the report holds all of them

EPILOG = """\
what it writes:
  report.html        everything on one page that needs no network
  report.md          the same as text: the answer, what has to be known, all tables
  tables/NAME.*      each table as .md, .tex (booktabs) and .csv (full precision)
  figures/NAME.*     each figure as .pdf and .png
  cycles.csv         what it was made from, one row per cycle

examples:
  python -m dal.report outputs/
  python -m dal.report outputs/digits more_runs/ --out paper
  python -m dal.report outputs/ --show comparisons savings
  python -m dal.report outputs/ --baseline badge
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="python -m dal.report",
        description=dal.report.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="DIR", help="directories, searched for runs"
    )
    command.add_argument(
        "--out", type=Path, default=Path("report"), help="folder to write to (default: report)"
    )
    command.add_argument(
        "--baseline",
        default=dal.report.BASELINE,
        metavar="NAME",
        help=f"strategy that all others are compared to (default: {dal.report.BASELINE})",
    )
    command.add_argument(
        "--show",
        nargs="*",
        default=list(SHOWN_TABLES),
        metavar="NAME",
        help=f"tables to show in the terminal, or 'all' (default: {' '.join(SHOWN_TABLES)})",
    )
    return command


def write(results: "Results", tables: "Sequence[Table]", folder: Path, made: str) -> None:
    """Writes everything into a folder; what else is there is left alone.

    Args:
        results: What is drawn.
        tables: All tables of them.
        folder: Created if it is not there.
        made: When and how the report was made, in a sentence.

    Raises:
        ReportError: If it cannot be written.
    """
    from dal.report import drawing, figures, formats, page

    try:
        for name in ("tables", "figures"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for table in tables:
            file = folder / "tables" / table.name
            table = page.with_relative_links(table, folder / "tables")
            file.with_suffix(".md").write_text(formats.markdown(table), "utf-8")
            file.with_suffix(".tex").write_text(formats.latex(table), "utf-8")
            table.numbers.to_csv(file.with_suffix(".csv"), index=False)
        results.frame.to_csv(folder / "cycles.csv", index=False)
        tables = [page.with_relative_links(table, folder) for table in tables]
        (folder / "report.md").write_text(formats.document(results, tables, made), "utf-8")
        for name, draw in figures.FIGURES.items():
            figure = draw(results)
            if figure is not None:
                for file_format in ("pdf", "png"):
                    file = folder / "figures" / f"{name}.{file_format}"
                    file.write_bytes(drawing.encode(figure, file_format))
        (folder / "report.html").write_text(page.html(results, tables, made), "utf-8")
    except OSError as error:
        raise ReportError(
            f"Cannot write {error.filename or folder}: {error.strerror or error}. Choose another "
            "folder with --out DIR, or free some space."
        ) from error


def describe(args: argparse.Namespace) -> str:
    """When and how a report is made, in a sentence."""
    command = ["python", "-m", "dal.report", *map(str, args.paths), "--out", str(args.out)]
    if args.baseline != dal.report.BASELINE:
        command += ["--baseline", args.baseline]
    now = datetime.datetime.now().astimezone()
    return f"Made on {now:%Y-%m-%d at %H:%M %Z} by dal {dal.__version__} with {shlex.join(command)}"


def run(args: argparse.Namespace, console: Console) -> None:
    """Reads, writes, and shows what was asked for.

    Raises:
        ReportError: If there is nothing to report on, the folder cannot be written to, or a table
            to be shown is unknown.
    """
    from dal.report import answer, runs, screen
    from dal.report.results import Results
    from dal.report.tables import TABLES, build_tables

    if args.out.exists() and not args.out.is_dir():
        raise ReportError(f"Expected a folder for --out, got {args.out}, which is a file.")
    for name in args.show:
        if name not in TABLES and name != "all":
            hint = did_you_mean(name, [*TABLES, "all"])
            raise ReportError(f"Unknown table '{name}' for --show. {hint}")
    results = Results(*runs.read(args.paths), args.baseline)
    results.check_baseline()
    tables = build_tables(results)
    write(results, tables, args.out, describe(args))
    console.print(Text(answer.plain(answer.answer(results))), "")
    for table in tables:
        if table.name in args.show or "all" in args.show:
            screen.show(table, console)
    problems = [*filter(None, [answer.warn_of_few_seeds(results)]), *results.problems]
    for problem in problems[:MAX_PROBLEMS]:
        console.print(Text(f"! {problem}"))
    more = len(problems) - MAX_PROBLEMS
    if more > 0:
        console.print(f"! and {more} more, all of them in {args.out / 'report.md'}")
    num_runs = results.num_runs
    console.print(
        f"{num_runs} {'run' if num_runs == 1 else 'runs'} read. Open {args.out / 'report.html'}; "
        "tables and figures are in the same folder.",
        soft_wrap=True,
    )


def main() -> None:
    """The command."""
    arguments.run(parser(), run)


if __name__ == "__main__":
    main()
