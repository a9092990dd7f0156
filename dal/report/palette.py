"""One colour, marker and line style for each strategy, in every figure.

Every colour has a contrast of at least 3 to 1 both on white paper and on the dark page, as WCAG 2.1
asks of graphics. That leaves a narrow range of lightness, in which colours differ in hue alone, so
no two known strategies share a marker, and colours that look alike to a colour-blind reader have
different lines. The hues are near those of Okabe and Ito (2008), "Color universal design"; colours
of one line style were moved as far apart as that contrast allows, for normal and for colour-blind
eyes.
"""

import colorsys
import re
import zlib
from typing import Literal, NamedTuple

from dal.experiment.plot import BLUE

GREY = "#7F7F7F"

Dash = Literal["-", "--", "-."] | tuple[float, tuple[float, ...]]
DOTS: Dash = (0, (1, 1))
SPARSE_DOTS: Dash = (0, (1, 2.5))
LONG_DASHES: Dash = (0, (7, 2))
DASH_DOT_DOT: Dash = (0, (3, 1, 1, 1, 1, 1))
DASHES: tuple[Dash, ...] = ("-", "--", "-.", DOTS, SPARSE_DOTS, LONG_DASHES, DASH_DOT_DOT)
MARKERS = "o^svDPX<>*p"


class Style(NamedTuple):
    """How a strategy is drawn, in matplotlib's terms."""

    color: str
    marker: str
    dash: Dash


# In the order in which figures and tables name them.
KNOWN = {
    "random": ("Random", Style(GREY, ".", DOTS)),
    "margin": ("Margin", Style("#2097F1", "^", "-")),
    "entropy": ("Entropy", Style("#0396B5", "v", "-.")),
    "least_confidence": ("Least confidence", Style("#A74395", "<", "--")),
    "bald": ("BALD", Style("#D27887", "2", SPARSE_DOTS)),
    "batch_bald": ("BatchBALD", Style("#B400C3", "3", SPARSE_DOTS)),
    "falcun": ("Falcun", Style("#D200FF", "1", DASH_DOT_DOT)),
    "cluster_margin": ("Cluster-Margin", Style("#FF2D78", "|", DASH_DOT_DOT)),
    "badge": ("BADGE", Style("#DA7A00", "s", "--")),
    "alfa_mix": ("ALFA-Mix", Style("#9600FF", "+", "-.")),
    "drop_query": ("DropQuery", Style("#B44B2D", "x", "--")),
    "k_means": ("k-means", Style("#3CA500", "h", LONG_DASHES)),
    "core_set": ("CoreSet", Style("#7869FF", "p", DOTS)),
    "prob_cover": ("ProbCover", Style("#69691E", "d", "-.")),
    "typiclust": ("TypiClust", Style("#008351", "P", "-")),
    "tcm": ("TCM", Style("#9687C3", "4", DASH_DOT_DOT)),
    "max_herding": ("MaxHerding", Style("#F000B4", ">", LONG_DASHES)),
    "uherding": ("UHerding", Style("#3C4BFF", "8", "-")),
    "refine": ("REFINE", Style("#875A69", "H", LONG_DASHES)),
    "bait_diagonal": ("BAIT (Diagonal)", Style("#8B9863", "X", "-.")),
    "bait_exp": ("BAIT (Exp)", Style("#DD63D0", "D", "--")),
    "bait_binary": ("BAIT (Binary)", Style(BLUE, "o", "-")),
    "bait": ("BAIT", Style("#EC0208", "*", "-")),
}


def style(strategy: str) -> Style:
    """How a strategy is drawn: always the same for the same name, known or not.

    Example:
        >>> style("bait_binary")
        Style(color='#0072B2', marker='o', dash='-')
        >>> style("mine") == style("mine") != style("yours")
        True
    """
    if strategy in KNOWN:
        return KNOWN[strategy][1]
    # Not `hash`, which differs from process to process.
    code = zlib.crc32(strategy.encode())
    return Style(
        _of_hue(code % 360 / 360),
        MARKERS[code // 360 % len(MARKERS)],
        DASHES[code // 4000 % len(DASHES)],
    )


def _of_hue(hue: float) -> str:
    """A colour of medium luminance; at equal lightness, yellow would vanish and blue darken."""
    for lightness in range(30, 100):
        rgb = colorsys.hls_to_rgb(hue, lightness / 100, 0.55)
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb
        ]
        if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] >= 0.22:
            break
    return "#" + "".join(f"{round(255 * part):02X}" for part in rgb)


def label(strategy: str) -> str:
    """The name that a reader sees: that of the paper, where it has one.

    Example:
        >>> label("bait_exp"), label("bait_exp [top_classes=5]"), label("mine")
        ('BAIT (Exp)', 'BAIT (Exp) [top_classes=5]', 'mine')
    """
    name, rest = split(strategy)
    return KNOWN[name][0] + rest if name in KNOWN else strategy


def order(strategy: str) -> tuple[int, str]:
    """A sorting key: known strategies in their fixed order, then others by name."""
    name, rest = split(strategy)
    known = list(KNOWN)
    return (known.index(name) if name in known else len(known), name + rest)


def split(strategy: str) -> tuple[str, str]:
    """A strategy's plain name, and its variant in brackets.

    Example:
        >>> split("bait_exp [top_classes=5]")
        ('bait_exp', ' [top_classes=5]')
    """
    found = re.fullmatch(r"(.*?)( \[.*\])?", strategy, re.DOTALL)
    assert found
    return found[1], found[2] or ""
