"""What all figures share: their settings and sizes, and how they become files."""

import functools
import io
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMN, PAGE = 3.4, 7.0  # inches: the widths of a column and of a page
INK = "#1A1A1A"

SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # text that a publisher's check accepts
    "svg.fonttype": "none",  # text that can be searched, in the page's own typeface
    "svg.hashsalt": "dal",  # the same picture is the same file
}

P = ParamSpec("P")
R = TypeVar("R")


def with_settings(draw: Callable[P, R]) -> Callable[P, R]:
    """Makes a function draw with the settings above, whatever the caller's own are."""

    @functools.wraps(draw)
    def draw_with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(SETTINGS):
            return draw(*args, **kwargs)

    return draw_with_settings


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that needs no display, ``width`` by ``height`` inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@with_settings
def encode(figure: Figure, file_format: str) -> bytes:
    """A figure as a file: ``png`` of 300 dots per inch, ``pdf`` or ``svg``."""
    engine = figure.get_layout_engine()
    if engine is not None:
        # Once, and not again before each file.
        engine.execute(figure)
        figure.set_layout_engine("none")
    stream = io.BytesIO()
    dates = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(
        stream,
        format=file_format,
        dpi=300,
        metadata=dates[file_format],
        transparent=file_format == "svg",
    )
    return stream.getvalue()


def inline_svg(figure: Figure, prefix: str) -> str:
    """A figure as an SVG element for a page, in the page's ink and typeface.

    Args:
        figure: Any of :mod:`dal.report.figures`.
        prefix: Of its identifiers, which have to be unique in the page.
    """
    text = encode(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(re.escape(INK), "currentColor", text, flags=re.IGNORECASE)
    # As wide as the page allows, but not so wide that its text outgrows the page's.
    width = f"max-width: {9 * figure.get_size_inches()[0]:.0f}rem"
    return re.sub(r' width="[^"]*" height="[^"]*"', f' style="{width}"', text, count=1)
