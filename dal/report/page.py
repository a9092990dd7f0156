"""The report as one page for a browser: everything is inside it, nothing is fetched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure

import dal
from dal.report import drawing, figures
from dal.report.results import Results
from dal.report.table import Table


class Picture(NamedTuple):
    """A figure in the page: what it shows, in words, and its SVG element."""

    label: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading of the page and what is under it."""

    title: str
    text: str = ""
    known: Sequence[str] = ()
    figures: list[Picture] = field(default_factory=list)
    caption: str = ""
    tables: list[Table] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """For links."""
        return "".join(char if char.isalnum() else "-" for char in self.title.lower())


def html(results: Results, tables: Sequence[Table], source: str) -> str:
    """The page.

    Args:
        results: What is drawn.
        tables: All tables of them.
        source: Where the runs were read from, in words.
    """
    by_name = {table.name: table.fit_to_page() for table in tables}

    def choose(*names: str) -> list[Table]:
        return [by_name[name] for name in names if name in by_name]

    heat_map = drawing.inline_svg(figures.penalty_heat_map(results), "penalties")
    sections = [
        *([Section("Read this first", known=results.problems)] if results.problems else []),
        Section("Accuracy (AUC)", tables=choose("table_5")),
        Section(
            "Learning curves",
            figures=_pictures(figures.learning_curves, results, "Learning curves"),
            caption="Mean accuracy over complete runs, band: ± one standard deviation. Thin lines: "
            "unfinished runs.",
        ),
        Section(
            "Improvement over random",
            figures=_pictures(
                figures.improvement_curves, results, "Accuracy improvement over random"
            ),
            caption="Difference of accuracy from the random run of the same seed and initial pool: "
            "mean and ± one standard deviation over seeds.",
        ),
        Section(
            "Acquisition time",
            figures=_pictures(figures.time_bars, results, "Acquisition time"),
            caption="Mean wall time of one selection; the axis is logarithmic.",
            tables=choose("table_3", "table_4", "acquisition_time"),
        ),
        Section(
            "Accuracy against time",
            figures=_pictures(
                figures.accuracy_against_time, results, "AUC improvement against acquisition time"
            ),
            caption="Mean ± one standard deviation over seeds. The line joins the strategies that "
            "no other beats in less time.",
        ),
        Section("Label savings", tables=choose("savings")),
        Section("Tests", tables=choose("comparisons", "over_datasets")),
        Section(
            "Pairwise penalties",
            figures=[Picture("Heat map of the table below", heat_map)],
            tables=choose("penalties"),
        ),
        _ranking_section(results, choose("ranking")),
        Section("Runs", tables=choose("runs")),
        _configuration_section(choose("configuration")),
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = resources.files("dal.report").joinpath("page.html.jinja").read_text("utf-8")
    names = results.datasets
    num_runs = results.num_runs
    return environment.from_string(template).render(
        title="Active learning: "
        + (", ".join(names) if len(names) <= 4 else f"{len(names)} datasets"),
        subtitle=f"{num_runs} {'run' if num_runs == 1 else 'runs'} in {source}, by dal "
        f"{dal.__version__}.",
        sections=sections,
    )


def _pictures(
    draw: Callable[[Results, Sequence[str]], Figure], results: Results, what: str
) -> list[Picture]:
    """One figure per dataset: a grid of them fits any width."""
    return [
        Picture(
            f"{what}: {dataset}",
            drawing.inline_svg(draw(results, [dataset]), f"{draw.__name__}{place}"),
        )
        for place, dataset in enumerate(results.datasets)
    ]


def _ranking_section(results: Results, tables: list[Table]) -> Section:
    figure = figures.critical_difference_diagram(results)
    if figure is None:
        return Section(
            "Ranking over datasets",
            text="A ranking needs at least two datasets with two strategies in common.",
        )
    picture = Picture("Critical-difference diagram", drawing.inline_svg(figure, "ranking"))
    return Section(
        "Ranking over datasets",
        figures=[picture],
        caption="Mean ranks; a bar joins strategies whose ranks do not differ significantly in "
        "Nemenyi's test.",
        tables=tables,
    )


def _configuration_section(tables: list[Table]) -> Section:
    title = "Differences between configurations"
    if not tables or not tables[0].rows:
        return Section(title, text="None but strategy and seed.")
    return Section(title, tables=tables)
