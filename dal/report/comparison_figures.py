"""Figures of strategies against each other: pairwise penalties, and ranks over datasets."""

import math

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from dal.experiment.plot import BLUE
from dal.report import palette, rankings
from dal.report.drawing import COLUMN, INK, PAGE, new_figure, with_settings
from dal.report.results import Results


@with_settings
def penalty_heat_map(results: Results) -> Figure | None:
    """The pairwise penalty matrix as a heat map; its last row is the mean of each column.

    None where no two strategies share two seeds.
    """
    matrix, num_datasets = results.penalties
    if not num_datasets.to_numpy().any():
        return None
    names = [palette.label(name) for name in matrix.index]
    values = np.vstack([matrix.to_numpy(float), matrix.mean().to_numpy(float)])
    side = min(PAGE, max(COLUMN, 0.9 + 0.42 * len(names)))
    figure = new_figure(side, 0.85 * side)
    axes = figure.add_subplot()
    most = max(1.0, float(np.nan_to_num(values).max(initial=0)))
    blues = LinearSegmentedColormap.from_list("penalties", ["#EAF1F7", BLUE])
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
    figure = new_figure(COLUMN if num <= 4 else 5.2, 0.5 + 0.2 * (depth / 0.5 + num_left))
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
        axes.plot(rank, 0, color=style.color, marker=style.marker, markersize=4)
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
