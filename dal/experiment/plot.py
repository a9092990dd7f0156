"""The picture of a learning curve, drawn without a display."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dal.experiment.curve import LearningCurve

BLUE = "#0072B2"  # Okabe and Ito (2008); the report draws with it, too


def learning_curve(curve: LearningCurve, title: str = "") -> bytes:
    """Accuracy over the number of labels, as a PNG of 1280 × 880 pixels.

    Args:
        curve: At least one cycle.
        title: Text above the picture; none if empty.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(
        curve.num_labeled.numpy(),
        100 * curve.metric("accuracy").numpy(),
        color=BLUE,
        marker="o",
        markersize=4,
        label=f"AUC {curve.auc:.2f}",
    )
    axes.set_xlabel("Number of labels")
    axes.set_ylabel("Accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    if title:
        axes.set_title(title, loc="left")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=200)
    return png.getvalue()
