import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dal.labeling import progress
from dal.labeling.progress import Progress

ROUNDS = [
    Progress(1, 0),
    Progress(2, 50, cv_accuracy=0.6, cv_low=0.5, cv_high=0.7),
    Progress(3, 100, 0.7, 0.6, 0.8, 0.65, 0.55, 0.75, agreement=0.8),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_what_is_known_is_drawn_in_percent(drawn: list[Figure]) -> None:
    png = progress.picture(ROUNDS, title="$birds$ $")
    assert Image.open(io.BytesIO(png)).size == (1280, 880)
    assert png == progress.picture(ROUNDS, title="$birds$ $")

    [axes] = drawn[0].axes
    assert axes.get_title(loc="left") == "$birds$ $"
    lines = {line.get_label(): np.asarray(line.get_xydata(), float) for line in axes.lines}
    np.testing.assert_allclose(lines[progress.VALIDATION], [[50, 60], [100, 70]])
    np.testing.assert_allclose(lines[progress.AUDIT], [[100, 65]])
    np.testing.assert_allclose(lines[progress.AGREEMENT], [[100, 80]])
    [bar] = [line for line in axes.lines if line.get_marker() == "_"]
    np.testing.assert_allclose(np.asarray(bar.get_xydata(), float), [[100, 55], [100, 75]])
    [band] = axes.collections
    [outline] = band.get_paths()
    np.testing.assert_allclose(outline.get_extents().bounds, (50, 50, 50, 30))


@pytest.mark.parametrize("rounds", [[], ROUNDS[:1]])
def test_without_numbers_it_says_so(drawn: list[Figure], rounds: list[Progress]) -> None:
    progress.picture(rounds)
    [axes] = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == ["Nothing is known yet"]


def test_one_round_is_enough(drawn: list[Figure]) -> None:
    progress.picture(ROUNDS[1:2])
    [axes] = drawn[0].axes
    assert [line.get_label() for line in axes.lines] == [progress.VALIDATION]
