"""Slow reference implementations: each reads like its definition, and the package must agree.

A selection is a dict from each chosen position to its score when it was chosen, in that order.
"""

from collections.abc import Callable
from typing import Any

from tests.reference import (
    bait,
    candidates,
    clusters,
    coverage,
    information,
    relevance,
    scoring,
    seeding,
)
from tests.reference import herding as herding_twins
from tests.reference.bait import (
    Bait,
    DiagonalBait,
    PublishedDiagonalBait,
    binary_factor,
    embedding,
    fisher,
    full_factor,
    one_hot,
    published_bait,
    top_factor,
)
from tests.reference.candidates import (
    average_linkage,
    flip_candidates,
    nearest_rows,
    num_mismatches,
    round_robin,
)
from tests.reference.clusters import neighbor_distances, typicality, typiclust
from tests.reference.coverage import core_set, distance, is_less, prob_cover, pure_radius, purity
from tests.reference.herding import herding, herding_gains, smallest_distance, temperature
from tests.reference.information import batch_bald, mutual_information
from tests.reference.relevance import falcun
from tests.reference.scoring import (
    brier,
    calibration_error,
    entropy,
    least_confidence,
    lowest,
    margin,
    mean_height,
    trapezoid,
)
from tests.reference.seeding import (
    badge,
    badge_by_rejection,
    draw_proportionally,
    fill_uniformly,
)
from tests.reference.training import epoch_rows, logit_deviations

__all__ = [
    "Bait",
    "DiagonalBait",
    "PublishedDiagonalBait",
    "average_linkage",
    "badge",
    "badge_by_rejection",
    "batch_bald",
    "binary_factor",
    "brier",
    "calibration_error",
    "core_set",
    "distance",
    "draw_proportionally",
    "embedding",
    "entropy",
    "epoch_rows",
    "falcun",
    "fill_uniformly",
    "fisher",
    "flip_candidates",
    "full_factor",
    "herding",
    "herding_gains",
    "is_less",
    "least_confidence",
    "logit_deviations",
    "lowest",
    "margin",
    "mean_height",
    "mutual_information",
    "nearest_rows",
    "neighbor_distances",
    "num_mismatches",
    "one_hot",
    "prob_cover",
    "published_bait",
    "pure_radius",
    "purity",
    "round_robin",
    "selections",
    "smallest_distance",
    "temperature",
    "top_factor",
    "trapezoid",
    "typicality",
    "typiclust",
]

# The positions that each strategy should select for a query, by its name.
selections: dict[str, Callable[[Any], list[int]]] = {
    **scoring.selections,
    **bait.selections,
    **seeding.selections,
    **clusters.selections,
    **candidates.selections,
    **coverage.selections,
    **information.selections,
    **relevance.selections,
    **herding_twins.selections,
}
