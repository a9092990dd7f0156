"""Panels of a figure, one for each dataset, and the legend that they share."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dal.report import palette
from dal.report.drawing import COLUMN, PAGE, new_figure, with_settings

MAX_ACROSS = 3


class Layout(NamedTuple):
    """How the panels of a figure are laid out.

    Attributes:
        width: Of a figure with a single panel, in inches.
        height: Of a panel, in inches.
        has_labels: Whether axes are named.
        has_legend: Whether a legend is below; the page has one of its own.
    """

    width: float
    height: float
    has_labels: bool = True
    has_legend: bool = True


PAPER = Layout(COLUMN, 2.2)
LARGE = Layout(4.2, 2.8, has_legend=False)  # on the page, for one dataset
MEDIUM = Layout(2.9, 2.4, has_legend=False)  # for two to four
SMALL = Layout(2.0, 1.55, has_labels=False, has_legend=False)  # for many


def new_panels(
    datasets: Sequence[str], layout: Layout, height: float | None = None
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel per dataset.

    Args:
        datasets: Names, the titles of the panels.
        layout: Of the panels.
        height: Of a panel in inches; that of the layout if None.
    """
    across = min(MAX_ACROSS, len(datasets))
    down = math.ceil(len(datasets) / across)
    below = 0.5 if layout.has_legend else 0.0
    width = layout.width if across == 1 else PAGE
    figure = new_figure(width, (height or layout.height) * down + below)
    panels = {}
    for place, name in enumerate(datasets, start=1):
        axes = figure.add_subplot(down, across, place)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_title(name, loc="left")
        panels[name] = axes
    return figure, panels


def label_panels(
    figure: Figure,
    panels: Mapping[str, Axes],
    layout: Layout,
    labels: tuple[str, str],
    handles: Sequence[Artist],
) -> Figure:
    """Names the axes and adds a legend below, where the layout has them.

    Args:
        figure: The figure of the panels.
        panels: By dataset.
        layout: Of the panels.
        labels: Of the horizontal and of the vertical axis.
        handles: Of the legend; none is drawn if there are none.
    """
    if layout.has_labels:
        for axes in panels.values():
            axes.set_xlabel(labels[0])
            axes.set_ylabel(labels[1] if axes.has_data() else "")
    if layout.has_legend and handles:
        width = figure.get_size_inches()[0]
        longest = max(len(str(handle.get_label())) for handle in handles)
        figure.legend(
            handles=list(handles),
            loc="outside lower center",
            ncols=max(1, min(len(handles), int(width / (0.45 + 0.055 * longest)))),
            frameon=False,
            handlelength=2.4,
            columnspacing=1.2,
        )
    return figure


def line_handles(strategies: Sequence[str]) -> list[Artist]:
    """Entries of a legend for the lines of some strategies."""
    return [
        Line2D([], [], color=color, marker=marker, linestyle=dash, label=palette.label(name))
        for name, (color, marker, dash) in ((name, palette.style(name)) for name in strategies)
    ]


@with_settings
def swatch(strategy: str) -> Figure:
    """A short line as a strategy is drawn, for the legend of the page."""
    figure = new_figure(0.42, 0.14)
    figure.set_layout_engine("none")
    color, marker, dash = palette.style(strategy)
    for x, shape in (([0.02, 0.98], ""), ([0.5], marker)):
        figure.add_artist(
            Line2D(x, [0.5] * len(x), color=color, marker=shape, linestyle=dash, markersize=4.5)
        )
    return figure


def write_instead(axes: Axes, text: str) -> None:
    """Writes into an empty panel why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
