"""The figures of a report, one function for each: curves and times.

Drawn without a display, at the width of a column or a page of a two-column paper, in which their
text is as large as a caption's. Each dataset has a panel; a strategy has one colour everywhere.
Figures of strategies against each other are in :mod:`dal.report.comparison_figures`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator

from dal.report import comparison_figures, palette
from dal.report.drawing import INK, with_settings
from dal.report.panels import (
    PAPER,
    Layout,
    label_panels,
    line_handles,
    new_panels,
    write_instead,
)
from dal.report.results import Results
from dal.report.table import duration

MAX_BANDS = 3  # of one panel; more hide each other


@with_settings
def learning_curves(
    results: Results, datasets: Sequence[str] | None = None, layout: Layout = PAPER
) -> Figure:
    """Mean accuracy over the number of labels, and bands of ± one standard deviation.

    Where there are more than three strategies, only the baseline and the best two have a band.
    Unfinished runs are thin lines, and enter no mean.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
        layout: Of the panels.
    """
    figure, panels = new_panels(datasets or results.datasets, layout)
    cycles = results.complete_runs.assign(height=100 * results.complete_runs["accuracy"])
    for dataset, axes in panels.items():
        _draw_curves(axes, cycles[cycles["dataset"] == dataset], _with_band(results, dataset))
        here = results.frame[results.frame["dataset"] == dataset]
        for (strategy, _), run in here[~here["complete"]].groupby(["strategy", "run"], sort=False):
            color = palette.style(strategy).color
            axes.plot(run["num_labeled"], 100 * run["accuracy"], color=color, linewidth=0.5)
    handles = line_handles(strategies_in(results, panels))
    labels = ("Number of labels", "Accuracy (%)")
    return label_panels(figure, panels, layout, labels, handles)


@with_settings
def improvement_curves(
    results: Results, datasets: Sequence[str] | None = None, layout: Layout = PAPER
) -> Figure:
    """Difference of accuracy from the baseline of the same seed, the paper's improvement curves.

    The mean over pairs, and bands of ± one standard deviation of the difference, as in
    :func:`learning_curves`. The baseline is the dashed line at zero.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
        layout: Of the panels.
    """
    figure, panels = new_panels(datasets or results.datasets, layout)
    gains = results.gains.rename(columns={"gain": "height"})
    for dataset, axes in panels.items():
        here = gains[gains["dataset"] == dataset]
        if here.empty:
            _say_that_nothing_is_compared(axes, results)
            continue
        axes.axhline(0, color=palette.GREY, linewidth=0.8, linestyle="--", zorder=1)
        _draw_curves(axes, here, _with_band(results, dataset))
    handles = line_handles(others_in(results, panels))
    labels = ("Number of labels", f"Improvement over\n{palette.label(results.baseline)} (points)")
    return label_panels(figure, panels, layout, labels, handles)


@with_settings
def time_bars(results: Results, datasets: Sequence[str] | None = None) -> Figure:
    """Acquisition time per cycle as bars on a log axis; a dataset's devices are side by side.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
    """
    names = datasets or results.datasets
    times = results.times[results.times["dataset"].isin(names)]
    figure, panels = new_panels(names, PAPER, _bars_height(times))
    devices = list(dict.fromkeys(times["device"]))
    shades = dict(zip(devices, np.linspace(1, 0.4, len(devices)), strict=True))
    for dataset, axes in panels.items():
        here = times[times["dataset"] == dataset]
        positive = here.loc[here["seconds"] > 0, "seconds"]
        if positive.empty:
            write_instead(axes, "no selection was timed")
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
    return label_panels(figure, panels, PAPER, ("Time of a selection", ""), handles)


@with_settings
def accuracy_against_time(
    results: Results, datasets: Sequence[str] | None = None, layout: Layout = PAPER
) -> Figure:
    """Improvement of the AUC over the baseline against acquisition time: which cost is worth it.

    The line joins the strategies that no other beats in less time.

    Args:
        results: Of any runs.
        datasets: Those to draw; all if None.
        layout: Of the panels.
    """
    figure, panels = new_panels(datasets or results.datasets, layout)
    compared = results.comparisons.dropna(subset="difference")
    compared = compared.merge(results.times, on=["dataset", "strategy"])
    for dataset, axes in panels.items():
        points = compared[(compared["dataset"] == dataset) & (compared["seconds"] > 0)]
        if points.empty:
            _say_that_nothing_is_compared(axes, results)
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
    labels = (
        "Time of a selection",
        f"AUC improvement over\n{palette.label(results.baseline)} (points)",
    )
    handles = line_handles(others_in(results, panels))
    return label_panels(figure, panels, layout, labels, handles)


FIGURES: dict[str, Callable[[Results], Figure | None]] = {  # by the names of their files
    "learning_curves": learning_curves,
    "improvement": improvement_curves,
    "acquisition_time": time_bars,
    "accuracy_against_time": accuracy_against_time,
    "penalties": comparison_figures.penalty_heat_map,
    "ranking": comparison_figures.critical_difference_diagram,
}


def strategies_in(results: Results, datasets: Iterable[str]) -> list[str]:
    """The strategies that any of some datasets has, in their order."""
    is_drawn = results.frame["dataset"].isin(list(datasets))
    found = set(results.frame.loc[is_drawn, "strategy"])
    return [name for name in results.strategies if name in found]


def others_in(results: Results, datasets: Iterable[str]) -> list[str]:
    """The same without the baseline."""
    return [name for name in strategies_in(results, datasets) if not results.is_baseline(name)]


def _with_band(results: Results, dataset: str) -> set[str]:
    """The strategies whose spread is drawn: all if they are few, else baseline and best two."""
    here = results.aucs[results.aucs["dataset"] == dataset]
    if len(here) <= MAX_BANDS:
        return set(here["strategy"])
    others = here[~here["strategy"].map(results.is_baseline)]
    best = others.sort_values(["difference", "auc"], ascending=False)["strategy"]
    baselines = here.loc[here["strategy"].map(results.is_baseline), "strategy"]
    return {*best[: MAX_BANDS - 1], *baselines}


def _draw_curves(axes: Axes, cycles: pd.DataFrame, with_band: set[str]) -> None:
    """Draws the column ``height``, a mean curve for each strategy and the spread of some."""
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
        if strategy in with_band:
            spread = of_strategy["std"].fillna(0).to_numpy()
            axes.fill_between(x, y - spread, y + spread, color=color, alpha=0.15, linewidth=0)
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
        return PAPER.height
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


def _say_that_nothing_is_compared(axes: Axes, results: Results) -> None:
    write_instead(axes, f"no run of {palette.label(results.baseline)} to compare to")
