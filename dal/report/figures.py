"""The figures: each one function of the frame of :func:`dal.report.load`.

Drawn without a display, at the width of a column or a page of a two-column paper, in which their
text is as large as a caption's. A panel is a dataset; a strategy has one colour everywhere.
"""

import functools
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator

from dal.report import palette, statistics, tables

COLUMN, PAGE = 3.4, 7.0  # inches: the widths of a column and of a page
PANEL_HEIGHT = 2.2
MAX_ACROSS = 3
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
Drawn = TypeVar("Drawn")


def styled(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """Draws with the settings above, whatever the caller's own are."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        with mpl.rc_context(SETTINGS):
            return draw(*args, **kwargs)

    return inside


@styled
def curves(frame: pd.DataFrame) -> Figure:
    """Learning curves: mean accuracy over the labels, and a band of ± one standard deviation.

    Unfinished runs are thin lines, and enter no mean.
    """
    figure, panels = _panels(frame)
    for dataset, axes in panels.items():
        here = frame[frame["dataset"] == dataset]
        _draw_curves(axes, _by_labels(statistics.counted(here), 100 * frame["accuracy"]))
        for (strategy, _), run in here[~here["complete"]].groupby(["strategy", "run"], sort=False):
            color = palette.style(strategy).color
            axes.plot(run["num_labeled"], 100 * run["accuracy"], color=color, linewidth=0.5)
        axes.set_ylabel("Accuracy (%)")
    return _finished(figure, panels, "Number of labels", _handles(statistics.strategies(frame)))


@styled
def improvement(frame: pd.DataFrame) -> Figure:
    """Accuracy improvement curves: the difference from random of the same seed, as the paper's.

    The mean over pairs, and a band of ± one standard deviation of the difference.
    """
    figure, panels = _panels(frame)
    cycles, paired = statistics.counted(frame), statistics.pairs(frame)
    columns = ["run", "cycle", "num_labeled", "accuracy"]
    ours = paired.merge(cycles[columns], on="run")
    theirs = cycles[columns].rename(columns={"run": "baseline_run", "accuracy": "baseline"})
    both = ours.merge(theirs, on=["baseline_run", "cycle", "num_labeled"])
    gains = 100 * (both["accuracy"] - both["baseline"])
    for dataset, axes in panels.items():
        axes.axhline(0, color=palette.GREY, linewidth=0.8, linestyle="--", zorder=1)
        here = both[both["dataset"] == dataset]
        if here.empty:
            _say(axes, "no run of random to compare to")
            continue
        _draw_curves(axes, _by_labels(here, gains))
        axes.set_ylabel("Improvement over\nrandom (points)")
    return _finished(figure, panels, "Number of labels", _handles(statistics.strategies(frame)))


@styled
def times(frame: pd.DataFrame) -> Figure:
    """Acquisition time a cycle as bars on a log axis; a dataset's devices lie side by side."""
    seconds = statistics.times(frame)
    figure, panels = _panels(frame, height=_bars_height(seconds))
    devices = list(dict.fromkeys(seconds["device"]))
    shades = dict(zip(devices, np.linspace(1, 0.4, len(devices)), strict=True))
    for dataset, axes in panels.items():
        here = seconds[seconds["dataset"] == dataset]
        positive = here.loc[here["seconds"] > 0, "seconds"]
        if positive.empty:
            _say(axes, "no selection was timed")
            continue
        least = 10.0 ** math.floor(math.log10(positive.min()) - 0.01)
        _draw_bars(axes, here, shades, least)
        decades = math.log10(positive.max() / least)
        axes.set_xscale("log")
        # Room at the right for the number behind the longest bar.
        axes.set_xlim(least, positive.max() * 10 ** max(0.3, 0.3 * decades))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        _log_ticks(axes)
    handles: list[Artist] = []
    if len(devices) > 1:
        handles = [
            Patch(color=palette.GREY, alpha=shade, linewidth=0, label=device)
            for device, shade in shades.items()
        ]
    return _finished(figure, panels, "Time of a selection", handles)


def _draw_bars(
    axes: Axes, seconds: pd.DataFrame, shades: Mapping[str, float], least: float
) -> None:
    """A row a strategy, a bar a device in it; a bar starts at ``least``, as a log axis has no 0."""
    names = sorted(set(seconds["strategy"]), key=palette.order, reverse=True)
    devices = [name for name in shades if name in set(seconds["device"])]
    thick = 0.8 / len(devices)
    for _, bar in seconds.iterrows():
        level = names.index(bar["strategy"]) + 0.4 - thick * (devices.index(bar["device"]) + 0.5)
        end = max(bar["seconds"], least)
        color = palette.style(bar["strategy"]).color
        axes.barh(
            *(level, end - least, 0.92 * thick),
            left=least,
            color=color,
            alpha=shades[bar["device"]],
        )
        axes.annotate(
            tables.duration(bar["seconds"]),
            (end, level),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )
    axes.set_yticks(range(len(names)), map(palette.label, names))


@styled
def worth(frame: pd.DataFrame) -> Figure:
    """Improvement of the AUC over random against acquisition time: who is worth their cost.

    The line joins the strategies that none beats at less time.
    """
    figure, panels = _panels(frame)
    compared = statistics.comparisons(frame)
    seconds = statistics.times(frame)
    for dataset, axes in panels.items():
        here = compared[compared["dataset"] == dataset].dropna(subset="difference")
        points = here.merge(seconds, on=["dataset", "strategy"])
        points = points[points["seconds"] > 0]
        if points.empty:
            _say(axes, "no run of random to compare to")
            continue
        axes.axhline(0, color=palette.GREY, linewidth=0.8, linestyle="--", zorder=1)
        for _, device in points.groupby("device", sort=False):
            ordered = device.sort_values(["seconds", "difference"], ascending=[True, False])
            best = ordered[ordered["difference"].cummax().eq(ordered["difference"])]
            axes.plot(best["seconds"], best["difference"], color=INK, linewidth=0.6, alpha=0.5)
        for _, point in points.iterrows():
            style = palette.style(point["strategy"])
            axes.errorbar(
                point["seconds"],
                point["difference"],
                yerr=None if math.isnan(point["std"]) else point["std"],
                color=style.color,
                marker=style.marker,
                markersize=5,
                elinewidth=0.8,
                capsize=0,
            )
        axes.set_xscale("log")
        _log_ticks(axes)
        axes.set_ylabel("AUC improvement over\nrandom (points)")
    names = [name for name in statistics.strategies(frame) if palette.split(name)[0] != "random"]
    return _finished(figure, panels, "Time of a selection", _handles(names))


@styled
def penalties(frame: pd.DataFrame) -> Figure:
    """The pairwise penalty matrix as a heat map; its last row is the mean of each column."""
    matrix, _ = statistics.penalties(frame)
    names = [palette.label(name) for name in matrix.index]
    values = np.vstack([matrix.to_numpy(float), matrix.mean().to_numpy(float)])
    side = min(PAGE, max(COLUMN, 0.9 + 0.42 * len(names)))
    figure = Figure(figsize=(side, 0.85 * side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    most = max(1.0, float(np.nan_to_num(values).max(initial=0)))
    blues = LinearSegmentedColormap.from_list("penalties", ["#EAF1F7", palette.BLUE])
    image = axes.imshow(np.ma.masked_invalid(values), cmap=blues, vmin=0, vmax=most)
    for (row, column), value in np.ndenumerate(values):
        if math.isfinite(value):
            axes.text(
                *(column, row, f"{value:.2f}"),
                ha="center",
                va="center",
                fontsize=6,
                # Fixed, unlike INK: the cell beneath has the same colour on any page.
                color="#FFFFFF" if value > 0.85 * most else "#111111",
            )
    axes.axhline(len(names) - 0.5, color=INK, linewidth=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names) + 1), [*names, "Mean"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("how much the row beats the column")
    figure.colorbar(image, shrink=0.6, label="penalty").outline.set_visible(False)
    return figure


@styled
def ranking(frame: pd.DataFrame) -> Figure | None:
    """A critical-difference diagram (Demšar 2006); None where there is no ranking.

    Strategies lie at their mean rank; a bar joins those that Nemenyi's test cannot tell apart.
    """
    found = statistics.ranking(frame)
    if found is None:
        return None
    ranks = found.ranks
    groups = statistics.cliques(found)
    num = len(ranks)
    num_left = math.ceil(num / 2)
    depth = 0.5 + 0.22 * len(groups)
    height = 0.5 + 0.2 * (depth / 0.5 + num_left)
    figure = Figure(figsize=(COLUMN if num <= 8 else 5, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(1 - 0.05 * num, num + 0.05 * num)
    lowest = depth + 0.5 * num_left
    axes.set_ylim(lowest, -1.6)
    axes.axis("off")
    axes.plot([1, num], [0, 0], color=INK, linewidth=0.8, clip_on=False)
    for rank in range(1, num + 1):
        axes.plot([rank, rank], [0, -0.18], color=INK, linewidth=0.8)
        axes.text(rank, -0.28, str(rank), ha="center", va="bottom", fontsize=7)
    end = min(num, 1 + found.critical_difference)
    axes.plot([1, end], [-1.15, -1.15], color=INK, linewidth=1.2, marker="|", markersize=5)
    shown = f"critical difference {found.critical_difference:.2f}"
    axes.text((1 + end) / 2, -1.3, shown, ha="center", va="bottom", fontsize=7)
    for place, (name, rank) in enumerate(ranks.items()):
        is_left = place < num_left
        level = depth + 0.5 * (place if is_left else num - 1 - place)
        edge = 1 - 0.03 * num if is_left else num + 0.03 * num
        style = palette.style(name)
        axes.plot([rank, rank, edge], [0, level, level], color=style.color, linewidth=1)
        axes.plot(rank, 0, color=style.color, marker=style.marker, markersize=5)
        axes.annotate(
            f"{palette.label(name)} ({rank:.2f})",
            (edge, level),
            xytext=(-3 if is_left else 3, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize=7,
        )
    for place, group in enumerate(groups):
        level = 0.35 + 0.22 * place
        ends = [ranks[group[0]] - 0.04, ranks[group[-1]] + 0.04]
        axes.plot(ends, [level, level], color=INK, linewidth=2.5, solid_capstyle="butt")
    return figure


@styled
def encoded(figure: Figure, form: str) -> bytes:
    """A figure as a file: ``png`` of 300 dots an inch, ``pdf`` or ``svg``."""
    engine = figure.get_layout_engine()
    if engine is not None:
        # Once, and not again before each file.
        engine.execute(figure)
        figure.set_layout_engine("none")
    stream = io.BytesIO()
    dates = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(stream, format=form, dpi=300, metadata=dates[form], transparent=form == "svg")
    return stream.getvalue()


def inline_svg(figure: Figure, prefix: str) -> str:
    """A figure as an SVG element for a page, in the page's ink and typeface.

    Args:
        figure: Any of the above.
        prefix: Of its identifiers, which have to be unique in the page.
    """
    text = encoded(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(re.escape(INK), "currentColor", text, flags=re.IGNORECASE)
    # As wide as the page allows, but not so wide that its text outgrows the page's.
    width = f"max-width: {9 * figure.get_size_inches()[0]:.0f}rem"
    return re.sub(r' width="[^"]*" height="[^"]*"', f' style="{width}"', text, count=1)


def _panels(frame: pd.DataFrame, height: float = PANEL_HEIGHT) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel a dataset."""
    names = statistics.datasets(frame)
    across = min(MAX_ACROSS, len(names))
    down = math.ceil(len(names) / across)
    size = (COLUMN if across == 1 else PAGE, height * down + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = {}
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(down, across, place)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_title(name, loc="left")
        panels[name] = axes
    return figure, panels


def _finished(
    figure: Figure, panels: dict[str, Axes], label: str, handles: Sequence[Artist]
) -> Figure:
    """The figure with its axes named and, if there is anything to tell apart, a legend below."""
    for axes in panels.values():
        axes.set_xlabel(label)
    if handles:
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


def _handles(names: Sequence[str]) -> list[Artist]:
    return [
        Line2D([], [], color=color, marker=marker, linestyle=dash, label=palette.label(name))
        for name, (color, marker, dash) in ((name, palette.style(name)) for name in names)
    ]


def _by_labels(cycles: pd.DataFrame, heights: "pd.Series[float]") -> pd.DataFrame:
    """Mean and spread over runs, by strategy and number of labels."""
    values = cycles[["strategy", "num_labeled"]].assign(height=heights.loc[cycles.index])
    grouped = values.groupby(["strategy", "num_labeled"], sort=True)["height"]
    return grouped.agg(["mean", "std"]).reset_index()


def _draw_curves(axes: Axes, points: pd.DataFrame) -> None:
    names = sorted(set(points["strategy"]), key=palette.order)
    for place, strategy in enumerate(names):
        of = points[points["strategy"] == strategy]
        color, marker, dash = palette.style(strategy)
        x, y = of["num_labeled"].to_numpy(), of["mean"].to_numpy()
        every = max(1, len(x) // 5)
        # Markers of one curve lie between those of the others.
        where = (place % every, every)
        axes.plot(x, y, color=color, linestyle=dash, marker=marker, markevery=where)
        spread = of["std"].fillna(0).to_numpy()
        axes.fill_between(x, y - spread, y + spread, color=color, alpha=0.12, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _bars_height(seconds: pd.DataFrame) -> float:
    if seconds.empty:
        return PANEL_HEIGHT
    bars = seconds.groupby("dataset").agg(
        strategies=("strategy", "nunique"), devices=("device", "nunique")
    )
    return max(1.2, 0.5 + 0.17 * int((bars["strategies"] * bars["devices"].clip(1, 3)).max()))


def _log_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(lambda value, _: _power(value))
    axes.xaxis.set_minor_locator(LogLocator(subs=(), numticks=6))


def _power(seconds: float) -> str:
    return f"{seconds:g} s" if seconds > 0.05 else f"{1000 * seconds:g} ms"


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
