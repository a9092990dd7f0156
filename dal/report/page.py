"""The report as one page: everything inside it, nothing fetched."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import NamedTuple

import jinja2
import pandas as pd
from matplotlib.figure import Figure

import dal
from dal.report import figures, statistics
from dal.report.runs import Reading
from dal.report.tables import Table


class Picture(NamedTuple):
    """A figure in the page: what it shows, in words, and its SVG element."""

    label: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading of the page and what is under it."""

    title: str
    text: str = ""
    known: list[str] = field(default_factory=list)
    figures: list[Picture] = field(default_factory=list)
    caption: str = ""
    tables: list[Table] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """For links."""
        return "".join(char if char.isalnum() else "-" for char in self.title.lower())


def html(reading: Reading, made: list[Table], source: str) -> str:
    """The page.

    Args:
        reading: What was read.
        made: All tables of it.
        source: Where it was read from, in words.
    """
    frame = reading.frame
    by_name = {table.name: table.fitted() for table in made}
    ranked = figures.ranking(frame)
    beaten = figures.penalties(frame)

    def chosen(*names: str) -> list[Table]:
        return [by_name[name] for name in names if name in by_name]

    sections = [
        *([Section("Read this first", known=reading.problems)] if reading.problems else []),
        Section("Accuracy (AUC)", tables=chosen("table_5")),
        Section(
            "Learning curves",
            figures=_panels(figures.curves, frame, "Learning curves"),
            caption="Mean accuracy over complete runs, band: ± one standard deviation. Thin lines: "
            "unfinished runs.",
        ),
        Section(
            "Improvement over random",
            figures=_panels(figures.improvement, frame, "Accuracy improvement over random"),
            caption="Difference of accuracy from the random run of the same seed and initial pool: "
            "mean and ± one standard deviation over seeds.",
        ),
        Section(
            "Acquisition time",
            figures=_panels(figures.times, frame, "Acquisition time"),
            caption="Mean wall time of one selection; the axis is logarithmic.",
            tables=chosen("table_3", "table_4", "acquisition_time"),
        ),
        Section(
            "Accuracy against time",
            figures=_panels(figures.worth, frame, "AUC improvement against acquisition time"),
            caption="Mean ± one standard deviation over seeds. The line joins the strategies that "
            "no other beats in less time.",
        ),
        Section("Label savings", tables=chosen("savings")),
        Section("Tests", tables=chosen("comparisons", "over_datasets")),
        Section(
            "Pairwise penalties",
            figures=[Picture("Heat map of the table below", figures.inline_svg(beaten, "beaten"))],
            tables=chosen("penalties"),
        ),
        _ranking_section(ranked, chosen("ranking")),
        Section("Runs", tables=chosen("runs")),
        _configuration_section(chosen("configuration")),
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = resources.files("dal.report").joinpath("page.html.jinja").read_text("utf-8")
    num_runs = frame["run"].nunique()
    return environment.from_string(template).render(
        title=f"Active learning: {_listed(statistics.datasets(frame))}",
        subtitle=f"{num_runs} {'run' if num_runs == 1 else 'runs'} in {source}, by dal "
        f"{dal.__version__}.",
        sections=sections,
    )


def _panels(
    draw: Callable[[pd.DataFrame], Figure], frame: pd.DataFrame, what: str
) -> list[Picture]:
    """A figure a dataset: a grid of them fits any width."""
    return [
        Picture(
            f"{what}: {dataset}",
            figures.inline_svg(draw(frame[frame["dataset"] == dataset]), f"{draw.__name__}{place}"),
        )
        for place, dataset in enumerate(statistics.datasets(frame))
    ]


def _ranking_section(figure: Figure | None, made: list[Table]) -> Section:
    if figure is None:
        return Section(
            "Ranking over datasets",
            text="A ranking needs at least two datasets with two strategies in common.",
        )
    picture = Picture("Critical-difference diagram", figures.inline_svg(figure, "ranking"))
    return Section(
        "Ranking over datasets",
        figures=[picture],
        caption="Mean ranks; a bar joins strategies that Nemenyi's test does not tell apart.",
        tables=made,
    )


def _configuration_section(made: list[Table]) -> Section:
    title = "Differences between configurations"
    if not made or not made[0].rows:
        return Section(title, text="None but strategy and seed.")
    return Section(title, tables=made)


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        return f"{len(names)} datasets"
    return ", ".join(names)
