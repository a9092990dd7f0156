import math
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from dal.report import drawing, figures, page, palette
from dal.report.results import Results
from tests.report.conftest import Writer, read


def test_figures_are_drawn_whatever_is_missing(write_run: Writer, tmp_path: Path) -> None:
    write_run([0.5, 0.6], "mine", 0, "lonely", seconds=0.0)
    write_run([0.5, 0.6], "margin", 0, "begun", num_cycles=4, seconds=0.1)
    write_run([0.5, 0.6, 0.7], "random", 0, "devices", device="cpu")
    write_run([0.5, 0.6, 0.7], "margin", 0, "devices", device="cpu")
    write_run([0.5, 0.6, 0.7], "margin", 1, "devices", device="gpu", seconds=0.001)
    results = read(tmp_path)
    drawn = {name: draw(results) for name, draw in figures.FIGURES.items()}
    assert drawn.pop("ranking") is None
    assert drawn.pop("penalties") is None
    for name, figure in drawn.items():
        assert figure is not None, name
        figure.canvas.draw()


def test_a_mean_curve_is_the_mean(results: Results) -> None:
    (axes,) = figures.learning_curves(results, ["first"]).axes
    frame = results.frame
    randoms = frame[(frame["dataset"] == "first") & (frame["strategy"] == "random")]
    expected = 100 * randoms.groupby("num_labeled")["accuracy"].mean()
    line = axes.lines[0]
    assert np.asarray(line.get_xdata()).tolist() == expected.index.tolist()
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(expected.tolist())
    assert line.get_color() == "#7F7F7F"


def test_an_improvement_curve_is_the_mean_difference(results: Results) -> None:
    (axes,) = figures.improvement_curves(results, ["second"]).axes
    frame = results.frame[results.frame["dataset"] == "second"]
    wide = frame.pivot_table(index=["seed", "num_labeled"], columns="strategy", values="accuracy")
    expected = 100 * (wide["margin"] - wide["random"]).groupby("num_labeled").mean()
    color = palette.style("margin").color
    (line,) = (line for line in axes.lines if line.get_color() == color)
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(expected.tolist())


def test_a_figure_of_some_datasets_names_only_their_strategies(
    write_run: Writer, tmp_path: Path
) -> None:
    write_run([0.5, 0.6], "random", name="one")
    write_run([0.5, 0.6], "margin", name="one", device="gpu")
    write_run([0.5, 0.6], "badge", name="two", device="gpu")
    results = read(tmp_path)

    def legend(figure: Figure) -> list[str]:
        return [text.get_text() for found in figure.legends for text in found.get_texts()]

    assert legend(figures.learning_curves(results)) == ["Random", "Margin", "BADGE"]
    assert legend(figures.learning_curves(results, ["one"])) == ["Random", "Margin"]
    assert legend(figures.time_bars(results, ["one"])) == ["cpu", "gpu"]
    assert legend(figures.time_bars(results, ["two"])) == []


@pytest.mark.parametrize(("datasets", "inches"), [(["first"], 3.4), (None, 7)])
def test_a_figure_is_as_wide_as_a_column_or_a_page(
    results: Results, datasets: list[str] | None, inches: float
) -> None:
    image = drawing.encode(figures.learning_curves(results, datasets), "png")
    assert imread(BytesIO(image)).shape[1] == 300 * inches


def test_known_strategies_are_told_apart_by_everyone() -> None:
    """Colours that are close for a colour-blind reader differ in marker and line."""
    styles = {name: style for name, (_, style) in palette.KNOWN.items()}
    assert len({style.color for style in styles.values()}) == len(styles)
    assert len({style.marker for style in styles.values()}) == len(styles)
    # Machado et al. (2009), severity 1: protanopia and deuteranopia, in linear RGB.
    blindness = [
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ]
    for matrix in [np.eye(3), *map(np.array, blindness)]:
        seen = {name: _lab(matrix @ _linear(style.color)) for name, style in styles.items()}
        for first in seen:
            for second in seen:
                if first < second and styles[first].dash == styles[second].dash:
                    # The closest two of Okabe and Ito's own are 7.6 apart.
                    assert math.dist(seen[first], seen[second]) > 11, (first, second)


def test_colours_are_seen_on_white_and_on_the_dark_page() -> None:
    """A contrast of 3 to 1 at least (WCAG 2.1, 1.4.11), of known and of all other strategies."""
    template = Path(page.__file__).with_name("page.html.jinja").read_text()
    papers = re.findall(r"--paper: (#\w{6})", template)
    assert papers[0] == "#ffffff"
    grounds = [_luminance(paper) for paper in papers]
    assert min(grounds) < 0.01
    for name in [*palette.KNOWN, *map(str, range(200)), "bait_exp [top_classes=5]"]:
        luminance = _luminance(palette.style(name).color)
        for ground in grounds:
            low, high = sorted((luminance, ground))
            assert (high + 0.05) / (low + 0.05) >= 3, name


def test_only_some_of_many_strategies_have_a_band(results: Results) -> None:
    (axes,) = figures.learning_curves(results, ["first"]).axes
    bands = [np.asarray(found.get_facecolor())[0, :3].tolist() for found in axes.collections]
    expected = [to_rgb(palette.style(name).color) for name in ("random", "margin", "badge")]
    assert bands == [pytest.approx(color) for color in expected]


def _luminance(color: str) -> float:
    return float(_linear(color) @ [0.2126, 0.7152, 0.0722])


def _linear(color: str) -> np.ndarray:
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """Oklab × 100 (Ottosson 2020)."""
    lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ) @ linear.clip(0, 1)
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(100 * to_lab @ np.cbrt(lms))
