"""What a selection by BAIT costs in its primal and in its dual form, before anything is computed.

The primal form is :func:`dal.functional.bait.select`, the dual one
:func:`dal.functional.bait_dual.select`. They select the same.
"""

from typing import NamedTuple

from dal.functional import bait, bait_dual, bait_inverse, fisher_pairs

# Reading all covariances for a step costs as much as this many columns of a product with them.
COLUMNS_PER_STEP = 8


class Sizes(NamedTuple):
    """The size of a selection.

    Attributes:
        num_pool: N.
        num_features: D.
        num_classes: K of the factors.
        rank: r.
        num_labeled: L.
        num: B.
        oversample: As in :class:`dal.functional.bait_objective.Hyperparameters`.
        are_kept: Whether the features of the pool are in memory.
    """

    num_pool: int
    num_features: int
    num_classes: int
    rank: int
    num_labeled: int
    num: int
    oversample: int = 2
    are_kept: bool = True

    @property
    def num_steps(self) -> int:
        """Candidates that the forward pass adds."""
        return min(self.oversample * self.num, self.num_pool)


def primal_bytes(sizes: Sizes, item_bytes: int) -> int:
    """Peak memory of the primal form but for its scratch, in bytes.

    Args:
        sizes: Of the selection.
        item_bytes: Bytes of a number in the features.

    Example:
        >>> round(primal_bytes(Sizes(10_000, 384, 1000, 2, 1000, 1000), 4) / 2**30)
        3994
    """
    fixed, per_pool_row = bait.peak_entries(
        sizes.num_features,
        sizes.num_classes,
        sizes.rank,
        sizes.num_labeled,
        sizes.num,
        sizes.oversample,
        sizes.are_kept,
    )
    return item_bytes * (fixed + per_pool_row * sizes.num_pool)


def dual_bytes(sizes: Sizes, item_bytes: int) -> int:
    """Peak memory of the dual form but for its scratch, in bytes.

    Args:
        sizes: Of the selection.
        item_bytes: Bytes of a number in the features.

    Example:
        >>> round(dual_bytes(Sizes(10_000, 384, 1000, 2, 1000, 1000), 4) / 2**30)
        7
    """
    n, rank = sizes.num_pool + sizes.num_labeled, sizes.rank
    row = sizes.num_features + sizes.num_classes * rank
    size, total = sizes.num_pool * rank, n * rank  # N·r, n·r
    of_labeled, added = sizes.num_labeled * rank, sizes.num_steps * rank
    history = min(added, bait_dual.HISTORY_COLUMNS)
    start = 2 * of_labeled * size + 3 * of_labeled**2 + 2 * bait_dual.BLOCK_COLUMNS * size
    columns = 2 * max(bait_dual.BATCH_COLUMNS, bait_dual.MAX_RIVAL_COLUMNS, added) * total
    forward = 2 * history * total + 2 * bait_dual.BATCH_COLUMNS * total + columns
    backward = added * total + 3 * added * (added + of_labeled) + 6 * added**2
    terms = 6 * size * rank
    entries = n * row + max(total * size + terms + max(start, forward), backward)
    rounded = item_bytes * total * size if item_bytes < 8 else 0
    return item_bytes * 2 * n * row + rounded + 8 * entries


def primal_flops(sizes: Sizes) -> int:
    """Operations of the primal form, those in float64 counted twice.

    Args:
        sizes: Of the selection.

    Example:
        >>> cifar10 = Sizes(45_000, 384, 10, 2, 110, 10)
        >>> primal_flops(cifar10) < dual_flops(cifar10)
        True
    """
    n, rank = sizes.num_pool + sizes.num_labeled, sizes.rank
    classes, features = sizes.num_classes, sizes.num_features
    size, of_labeled = classes * features, sizes.num_labeled * rank
    pairs = n * classes * (classes + 1)
    forms = pairs * features**2 * (2 if classes >= fisher_pairs.MIN_CLASSES else 3) // 4
    if bait_inverse.is_low_rank(features, classes, of_labeled):
        start = 2 * forms + min(2 * n * size * of_labeled, pairs * sizes.num_labeled**2)
        start += 10 * size**2 * sizes.num_labeled * classes + 8 * size * of_labeled**2
        inverse = 8 * size * sizes.num_labeled * rank * classes
    else:
        start = 3 * forms + 10 * size**3
        inverse = 4 * size**2 * rank
    step = 4 * n * size * rank + 2 * size**2 * rank + 2 * inverse
    added = sizes.num_steps * rank
    return start + sizes.num_steps * step + 2 * size * added * (size + 2 * added)


def dual_flops(sizes: Sizes) -> int:
    """Operations of the dual form, counted twice, since they are in float64.

    Args:
        sizes: Of the selection.

    Example:
        >>> flowers102 = Sizes(918, 384, 102, 2, 275, 25)
        >>> dual_flops(flowers102) < primal_flops(flowers102)
        True
    """
    n, rank = sizes.num_pool + sizes.num_labeled, sizes.rank
    size, total = sizes.num_pool * rank, n * rank  # N·r, n·r
    of_labeled, added = sizes.num_labeled * rank, sizes.num_steps * rank
    start = size * total * sizes.num_classes + n**2 * sizes.num_features
    start += of_labeled * size**2 + 2 * of_labeled**2 * size + of_labeled**3
    start += 2 * size * total * rank
    steps = 2 * sizes.num_steps * (rank + COLUMNS_PER_STEP) * size * total
    if added > bait_dual.HISTORY_COLUMNS:
        steps += 2 * added * size * total
    return 2 * (start + steps + 2 * total * added**2)
