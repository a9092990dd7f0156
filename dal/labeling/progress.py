"""The picture of how far a project is, drawn without a display."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dal.experiment.plot import BLUE

ORANGE, GREY = "#D55E00", "#767676"  # Okabe and Ito (2008); their grey is too light for a line

AUDIT = "Audit sample"
VALIDATION = "Cross-validation (biased)"
AGREEMENT = "Agreement with the last round"


@dataclass(frozen=True)
class Progress:
    """How far a project was at the end of a round; all but counts are fractions, None if unknown.

    Attributes:
        round: From 1.
        num_labeled: Labels that the model was fitted to.
        cv_accuracy: Accuracy in cross-validation on these labels, which selection biases.
        cv_low: Lower end of its interval.
        cv_high: Upper end.
        audit_accuracy: Accuracy on the random audit sample, which has no bias.
        audit_low: Lower end of its interval.
        audit_high: Upper end.
        agreement: Share of the unlabeled pool that is predicted as in the round before.
    """

    round: int
    num_labeled: int
    cv_accuracy: float | None = None
    cv_low: float | None = None
    cv_high: float | None = None
    audit_accuracy: float | None = None
    audit_low: float | None = None
    audit_high: float | None = None
    agreement: float | None = None


def picture(rounds: Sequence[Progress], title: str = "") -> bytes:
    """Accuracies with their intervals and the agreement over labels: a PNG of 1280 × 880 pixels.

    Args:
        rounds: In order; may be empty.
        title: Text above the picture; none if empty.
    """
    with mpl.rc_context({"text.parse_math": False}):  # a project may be called $x$
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw(axes, [(row, row.agreement) for row in rounds], GREY, "^:", AGREEMENT)
        _draw(axes, [(row, row.cv_accuracy) for row in rounds], ORANGE, "s--", VALIDATION)
        _draw(axes, [(row, row.audit_accuracy) for row in rounds], BLUE, "o-", AUDIT)
        # A band and bars: two of a kind would hide each other.
        validations = _intervals((row.num_labeled, row.cv_low, row.cv_high) for row in rounds)
        if validations:
            labels, lows, highs = zip(*validations, strict=True)
            axes.fill_between(labels, lows, highs, color=ORANGE, alpha=0.15)
        for num_labeled, low, high in _intervals(
            (row.num_labeled, row.audit_low, row.audit_high) for row in rounds
        ):
            axes.plot(2 * [num_labeled], [low, high], color=BLUE, alpha=0.6, marker="_")
        axes.set_xlabel("Number of labels")
        axes.set_ylabel("Percent")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(loc="best", frameon=False)
        else:
            axes.text(0.5, 0.5, "Nothing is known yet", ha="center", transform=axes.transAxes)
        if title:
            axes.set_title(title, loc="left")
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=200)
        return png.getvalue()


def _draw(
    axes: Axes,
    points: Sequence[tuple[Progress, float | None]],
    color: str,
    style: str,
    label: str,
) -> None:
    """Draws what is known of a value."""
    known = [(row.num_labeled, 100 * value) for row, value in points if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), style, color=color, markersize=4, label=label)


def _intervals(
    rows: Iterable[tuple[int, float | None, float | None]],
) -> list[tuple[int, float, float]]:
    """The intervals that are known, in percent."""
    return [
        (num_labeled, 100 * low, 100 * high)
        for num_labeled, low, high in rows
        if low is not None and high is not None
    ]
