"""The figures of a report, one function for each.

Drawn without a display, at the width of a column or a page of a two-column paper, in which their
text is as large as a caption's. Each dataset has a panel; a strategy has one colour everywhere.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator

from dal.report import palette, rankings
from dal.report.drawing import COLUMN, INK, PAGE, new_figure, with_settings
from dal.report.results import Results
from dal.report.table import duration

PANEL_HEIGHT = 2.2
MAX_ACROSS = 3


@with_settings
def learning_curves(results: Results, datasets: Sequence[str] | None = None) -> Figure:
    """Mean accuracy over the number of labels, and a band of ± one standard deviation.

    Unfinished runs are thin lines, and enter no mean.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
    """
    figure, panels = _panels(datasets or results.datasets)
    cycles = results.complete_runs.assign(height=100 * results.complete_runs["accuracy"])
    for dataset, axes in panels.items():
        _draw_curves(axes, cycles[cycles["dataset"] == dataset])
        here = results.frame[results.frame["dataset"] == dataset]
        for (strategy, _), run in here[~here["complete"]].groupby(["strategy", "run"], sort=False):
            color = palette.style(strategy).color
            axes.plot(run["num_labeled"], 100 * run["accuracy"], color=color, linewidth=0.5)
        axes.set_ylabel("Accuracy (%)")
    handles = _line_handles(_strategies_of(results, panels))
    return _label_and_legend(figure, panels, "Number of labels", handles)


@with_settings
def improvement_curves(results: Results, datasets: Sequence[str] | None = None) -> Figure:
    """Difference of accuracy from random of the same seed, the paper's improvement curves.

    The mean over pairs, and a band of ± one standard deviation of the difference.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
    """
    figure, panels = _panels(datasets or results.datasets)
    gains = results.gains.rename(columns={"gain": "height"})
    for dataset, axes in panels.items():
        axes.axhline(0, color=palette.GREY, linewidth=0.8, linestyle="--", zorder=1)
        here = gains[gains["dataset"] == dataset]
        if here.empty:
            _write_instead(axes, "no run of random to compare to")
            continue
        _draw_curves(axes, here)
        axes.set_ylabel("Improvement over\nrandom (points)")
    handles = _line_handles(_strategies_of(results, panels))
    return _label_and_legend(figure, panels, "Number of labels", handles)


@with_settings
def time_bars(results: Results, datasets: Sequence[str] | None = None) -> Figure:
    """Acquisition time per cycle as bars on a log axis; a dataset's devices are side by side.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
    """
    names = datasets or results.datasets
    times = results.times[results.times["dataset"].isin(names)]
    figure, panels = _panels(names, height=_bars_height(times))
    devices = list(dict.fromkeys(times["device"]))
    shades = dict(zip(devices, np.linspace(1, 0.4, len(devices)), strict=True))
    for dataset, axes in panels.items():
        here = times[times["dataset"] == dataset]
        positive = here.loc[here["seconds"] > 0, "seconds"]
        if positive.empty:
            _write_instead(axes, "no selection was timed")
            continue
        least = 10.0 ** math.floor(math.log10(positive.min()) - 0.01)
        _draw_bars(axes, here, shades, least)
        decades = math.log10(positive.max() / least)
        axes.set_xscale("log")
        # Room at the right for the number behind the longest bar.
        axes.set_xlim(least, positive.max() * 10 ** max(0.3, 0.3 * decades))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        _set_time_ticks(axes)
    handles: list[Artist] = []
    if len(devices) > 1:
        handles = [
            Patch(color=palette.GREY, alpha=shade, linewidth=0, label=device)
            for device, shade in shades.items()
        ]
    return _label_and_legend(figure, panels, "Time of a selection", handles)


@with_settings
def accuracy_against_time(results: Results, datasets: Sequence[str] | None = None) -> Figure:
    """Improvement of the AUC over random against acquisition time: which cost is worth it.

    The line joins the strategies that no other beats in less time.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
    """
    figure, panels = _panels(datasets or results.datasets)
    compared = results.comparisons.dropna(subset="difference")
    compared = compared.merge(results.times, on=["dataset", "strategy"])
    for dataset, axes in panels.items():
        points = compared[(compared["dataset"] == dataset) & (compared["seconds"] > 0)]
        if points.empty:
            _write_instead(axes, "no run of random to compare to")
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
        _set_time_ticks(axes)
        axes.set_ylabel("AUC improvement over\nrandom (points)")
    names = [s for s in _strategies_of(results, panels) if palette.split(s)[0] != "random"]
    return _label_and_legend(figure, panels, "Time of a selection", _line_handles(names))


@with_settings
def penalty_heat_map(results: Results) -> Figure:
    """The pairwise penalty matrix as a heat map; its last row is the mean of each column."""
    matrix = results.penalties.matrix
    names = [palette.label(name) for name in matrix.index]
    values = np.vstack([matrix.to_numpy(float), matrix.mean().to_numpy(float)])
    side = min(PAGE, max(COLUMN, 0.9 + 0.42 * len(names)))
    figure = new_figure(side, 0.85 * side)
    axes = figure.add_subplot()
    most = max(1.0, float(np.nan_to_num(values).max(initial=0)))
    blues = LinearSegmentedColormap.from_list("penalties", ["#EAF1F7", palette.BLUE])
    image = axes.imshow(np.ma.masked_invalid(values), cmap=blues, vmin=0, vmax=most)
    for (row, column), value in np.ndenumerate(values):
        if math.isfinite(value):
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=6,
                # Fixed, unlike INK: the cell below it has the same colour on any page.
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


@with_settings
def critical_difference_diagram(results: Results) -> Figure | None:
    """Mean ranks over datasets (Demšar 2006); None where there is no ranking.

    Strategies are at their mean rank; a bar joins those whose ranks do not differ significantly
    in Nemenyi's test.
    """
    ranking = results.ranking
    if ranking is None:
        return None
    ranks = ranking.ranks
    groups = rankings.cliques(ranking)
    num = len(ranks)
    num_left = math.ceil(num / 2)
    depth = 0.5 + 0.22 * len(groups)
    figure = new_figure(COLUMN if num <= 8 else 5, 0.5 + 0.2 * (depth / 0.5 + num_left))
    axes = figure.add_subplot()
    axes.set_xlim(1 - 0.05 * num, num + 0.05 * num)
    axes.set_ylim(depth + 0.5 * num_left, -1.6)
    axes.axis("off")
    axes.plot([1, num], [0, 0], color=INK, linewidth=0.8, clip_on=False)
    for rank in range(1, num + 1):
        axes.plot([rank, rank], [0, -0.18], color=INK, linewidth=0.8)
        axes.text(rank, -0.28, str(rank), ha="center", va="bottom", fontsize=7)
    end = min(num, 1 + ranking.critical_difference)
    axes.plot([1, end], [-1.15, -1.15], color=INK, linewidth=1.2, marker="|", markersize=5)
    shown = f"critical difference {ranking.critical_difference:.2f}"
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


FIGURES: dict[str, Callable[[Results], Figure | None]] = {  # by the names of their files
    "learning_curves": learning_curves,
    "improvement": improvement_curves,
    "acquisition_time": time_bars,
    "accuracy_against_time": accuracy_against_time,
    "penalties": penalty_heat_map,
    "ranking": critical_difference_diagram,
}


def _panels(
    datasets: Sequence[str], height: float = PANEL_HEIGHT
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel per dataset."""
    across = min(MAX_ACROSS, len(datasets))
    down = math.ceil(len(datasets) / across)
    figure = new_figure(COLUMN if across == 1 else PAGE, height * down + 0.5)
    panels = {}
    for place, name in enumerate(datasets, start=1):
        axes = figure.add_subplot(down, across, place)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_title(name, loc="left")
        panels[name] = axes
    return figure, panels


def _label_and_legend(
    figure: Figure, panels: Mapping[str, Axes], label: str, handles: Sequence[Artist]
) -> Figure:
    """Names the horizontal axes and, if there is anything to tell apart, adds a legend below."""
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


def _strategies_of(results: Results, panels: Mapping[str, Axes]) -> list[str]:
    """The strategies that any of the datasets drawn has, in their order."""
    is_drawn = results.frame["dataset"].isin(list(panels))
    found = set(results.frame.loc[is_drawn, "strategy"])
    return [name for name in results.strategies if name in found]


def _line_handles(strategies: Sequence[str]) -> list[Artist]:
    return [
        Line2D([], [], color=color, marker=marker, linestyle=dash, label=palette.label(name))
        for name, (color, marker, dash) in ((name, palette.style(name)) for name in strategies)
    ]


def _draw_curves(axes: Axes, cycles: pd.DataFrame) -> None:
    """Draws mean and spread over runs of the column ``height``, a curve for each strategy."""
    grouped = cycles.groupby(["strategy", "num_labeled"], sort=True)["height"]
    points = grouped.agg(["mean", "std"]).reset_index()
    for place, strategy in enumerate(sorted(set(points["strategy"]), key=palette.order)):
        of_strategy = points[points["strategy"] == strategy]
        color, marker, dash = palette.style(strategy)
        x, y = of_strategy["num_labeled"].to_numpy(), of_strategy["mean"].to_numpy()
        every = max(1, len(x) // 5)
        # Markers of one curve are between those of the others.
        where = (place % every, every)
        axes.plot(x, y, color=color, linestyle=dash, marker=marker, markevery=where)
        spread = of_strategy["std"].fillna(0).to_numpy()
        axes.fill_between(x, y - spread, y + spread, color=color, alpha=0.12, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_bars(axes: Axes, times: pd.DataFrame, shades: Mapping[str, float], least: float) -> None:
    """Draws a row for each strategy, with a bar for each device.

    A bar starts at ``least``, as a log axis has no 0.
    """
    names = sorted(set(times["strategy"]), key=palette.order, reverse=True)
    devices = [name for name in shades if name in set(times["device"])]
    thickness = 0.8 / len(devices)
    for _, bar in times.iterrows():
        offset = thickness * (devices.index(bar["device"]) + 0.5)
        level = names.index(bar["strategy"]) + 0.4 - offset
        end = max(bar["seconds"], least)
        axes.barh(
            level,
            end - least,
            height=0.92 * thickness,
            left=least,
            color=palette.style(bar["strategy"]).color,
            alpha=shades[bar["device"]],
        )
        axes.annotate(
            duration(bar["seconds"]),
            (end, level),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )
    axes.set_yticks(range(len(names)), map(palette.label, names))


def _bars_height(times: pd.DataFrame) -> float:
    if times.empty:
        return PANEL_HEIGHT
    bars = times.groupby("dataset").agg(
        strategies=("strategy", "nunique"), devices=("device", "nunique")
    )
    return max(1.2, 0.5 + 0.17 * int((bars["strategies"] * bars["devices"].clip(1, 3)).max()))


def _set_time_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(lambda value, _: _tick_label(value))
    axes.xaxis.set_minor_locator(LogLocator(subs=(), numticks=6))


def _tick_label(seconds: float) -> str:
    return f"{seconds:g} s" if seconds > 0.05 else f"{1000 * seconds:g} ms"


def _write_instead(axes: Axes, text: str) -> None:
    """Writes into an empty panel why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
