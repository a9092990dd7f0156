"""The report as one page for a browser: everything is inside it, nothing is fetched."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure

from dal.report import answer, comparison_figures, drawing, figures, formats, palette, panels
from dal.report.results import Results
from dal.report.table import Table

MAX_MEDIUM = 4  # panels; more are small
MAX_KNOWN = 3  # problems that are shown at once; more are folded


class Picture(NamedTuple):
    """A figure in the page: what it shows, in words, and its SVG element."""

    label: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading of the page and what is under it.

    Attributes:
        title: The heading.
        pictures: Its figures; one for each dataset, or a single one.
        strategies: Those in the legend of the figures.
        caption: What the figures show.
        tables: Its tables.
        is_open: Whether it is unfolded at first.
    """

    title: str
    pictures: list[Picture] = field(default_factory=list)
    strategies: Sequence[str] = ()
    caption: str = ""
    tables: list[Table] = field(default_factory=list)
    is_open: bool = False

    @property
    def anchor(self) -> str:
        """For links."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def html(results: Results, tables: Sequence[Table], made: str) -> str:
    """The page.

    Args:
        results: What is drawn.
        tables: All tables of them, with links as the page's folder needs them.
        made: When and how the report was made, in a sentence.
    """
    by_name = {table.name: _fit_to_screen(table) for table in tables}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = resources.files("dal.report").joinpath("page.html.jinja").read_text("utf-8")
    names, num_runs = results.datasets, results.num_runs
    shown = ", ".join(names) if len(names) <= 4 else f"{len(names)} datasets"
    curves = _pictures(figures.learning_curves, results, "Learning curves")
    sections = [section for section in _sections(results, by_name) if section is not None]
    return environment.from_string(template).render(
        title=f"Active learning: {shown}",
        num_runs=f"{num_runs} {'run' if num_runs == 1 else 'runs'}.",
        made=made,
        answer=answer.answer(results),
        curves=curves,
        has_unfinished=not results.frame["complete"].all(),
        is_small=len(curves) > MAX_MEDIUM,
        overview=by_name.get("overview"),
        warning=answer.warn_of_few_seeds(results),
        problems=results.problems,
        max_known=MAX_KNOWN,
        sections=sections,
        strategies=results.strategies,
        label=palette.label,
        color=lambda name: palette.style(name).color,
        swatches={
            name: drawing.inline_svg(panels.swatch(name), f"swatch{place}")
            for place, name in enumerate(results.strategies)
        },
        copies={
            table.name: {"LaTeX": formats.latex(table), "CSV": table.numbers.to_csv(index=False)}
            for table in by_name.values()
        },
    )


def with_relative_links(table: Table, folder: Path) -> Table:
    """The table with links as a file in a folder needs them: relative, where that is possible."""

    def relative(path: str) -> str:
        if path.startswith(("https://", "http://")):
            return path
        try:
            return Path(os.path.relpath(path, folder)).as_posix()
        except ValueError:  # another drive
            return Path(path).resolve().as_uri()

    rows = [
        [replace(cell, link=relative(cell.link)) if cell.link else cell for cell in row]
        for row in table.rows
    ]
    return replace(table, rows=rows)


def _fit_to_screen(table: Table) -> Table:
    """The table as narrow as it can be: a single row as a column, a single dataset left out."""
    if table.transposable and len(table.rows) == 1:
        return table.transpose()
    names = {row[0].text for row in table.rows}
    if table.header[:2] == ["Dataset", "Strategy"] and len(names) == 1:
        return replace(table, header=table.header[1:], rows=[row[1:] for row in table.rows])
    return table.fit_to_page()


def _sections(results: Results, tables: dict[str, Table]) -> list[Section | None]:
    """What is below the first screen, in order; None where there is nothing to show."""
    baseline = palette.label(results.baseline)
    others = figures.others_in(results, results.datasets)
    is_compared = not results.pairs.empty

    def section(
        title: str,
        *names: str,
        draw: Callable[..., Figure] | None = None,
        caption: str = "",
        is_open: bool = False,
    ) -> Section | None:
        chosen = [tables[name] for name in names if name in tables]
        pictures = _pictures(draw, results, title) if draw and is_compared else []
        if not chosen and not pictures:
            return None
        return Section(title, pictures, others, caption if pictures else "", chosen, is_open)

    is_single = len(results.complete_datasets) <= 1
    return [
        # The overview of a single dataset holds all of it.
        None if is_single else section("AUC by dataset", "table_5", is_open=True),
        section(
            f"Improvement over {baseline}",
            "comparisons",
            "over_datasets",
            draw=figures.improvement_curves,
            caption="Number of labels, and the difference of accuracy in points from the "
            f"{baseline} run of the same seed and initial pool: mean over seeds; bands as above.",
        ),
        section("After the last cycle", "final_scores"),
        section("What was picked", "overlaps", "class_balance"),
        section(
            "Acquisition time",
            "acquisition_time",
            draw=figures.accuracy_against_time,
            caption=f"Time of a selection, and improvement of AUC over {baseline}: mean ± one "
            "standard deviation over seeds. The line joins the strategies that no other beats in "
            "less time.",
        ),
        section("Label savings", "savings"),
        section("Pairwise penalties", "penalties"),
        _ranking_section(results, tables),
        section("Runs", "run_counts", "runs", is_open=not results.complete_datasets),
        section("Differences between configurations", "configuration"),
    ]


def _pictures(draw: Callable[..., Figure], results: Results, what: str) -> list[Picture]:
    """One figure per dataset: a grid of them fits any width."""
    num = len(results.datasets)
    layout = panels.LARGE if num == 1 else panels.MEDIUM
    if num > MAX_MEDIUM:
        layout = panels.SMALL
    return [
        Picture(
            f"{what}: {dataset}",
            drawing.inline_svg(draw(results, [dataset], layout), f"{draw.__name__}{place}"),
        )
        for place, dataset in enumerate(results.datasets)
    ]


def _ranking_section(results: Results, tables: dict[str, Table]) -> Section | None:
    """The diagram, which holds the numbers of the table, with the table's caption."""
    figure = comparison_figures.critical_difference_diagram(results)
    if figure is None:
        return None
    table = tables["ranking"]
    picture = Picture("Critical-difference diagram", drawing.inline_svg(figure, "ranking"))
    sentences = [table.caption, "A bar joins strategies that do not differ.", *table.remarks]
    return Section("Ranking over datasets", [picture], caption=" ".join(sentences))
