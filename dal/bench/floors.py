"""How many floating-point operations a selection must do at least."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dal.bench.select import Problem
    from dal.strategies import Strategy

CLUSTERING_ITERATIONS = 25


def floor_flops(name: str, problem: "Problem", num_features: int, strategy: "Strategy") -> float:
    """Operations that a strategy must do in its best known form; 0 where there is no count.

    Args:
        name: Of the strategy.
        problem: The size of the selection.
        num_features: D.
        strategy: The strategy, whose options may count.
    """
    n, k, d, b = problem.pool, problem.num_classes, num_features, problem.num
    steps = getattr(strategy, "oversample", 2) * b
    logits = 2 * n * d * k
    if name in ("bait", "bait_exp", "bait_binary"):
        rank = {"bait": k, "bait_exp": getattr(strategy, "top_classes", 2), "bait_binary": 1}[name]
        classes = 1 if name == "bait_binary" else k
        start = 3 * n * classes * (classes + 1) * d**2
        primal = start + steps * 4 * n * d * classes * rank
        # The covariances, symmetric, and the columns of their square.
        rows = n + problem.num_labeled
        dual = rows**2 * d + (rows * rank) ** 2 * (k + problem.num_labeled * rank)
        dual += steps * 2 * rank * (rows * rank) ** 2
        return logits + (primal if name == "bait_binary" else min(primal, dual))
    if name == "bait_diagonal":
        return logits + 2 * n * k * d + 4 * n * k * d  # F, and every gain once
    if name == "badge":
        from dal.functional import seeding

        is_small = n <= seeding.SMALL_POOL  # otherwise only proposals meet the centres
        return logits + (2 * b * n * (k + d) if is_small else 0)
    if name == "batch_bald":
        return logits * (1 + getattr(strategy, "num_samples", 0))
    if name == "tcm":
        name = "typiclust" if problem.num_labeled < 4 * b else "margin"
        strategy = getattr(strategy, "typiclust", strategy)
    if name == "typiclust":
        from dal.strategies.typiclust import MAX_CLUSTERED_POINTS

        num_clusters = min(problem.num_labeled + b, getattr(strategy, "max_clusters", 500))
        num_points = n
        if n > MAX_CLUSTERED_POINTS and (most := getattr(strategy, "max_points_per_centroid", 0)):
            num_points = min(n, most * num_clusters)
        clustering = 2 * (CLUSTERING_ITERATIONS * num_points + n * (num_points < n)) * d
        neighbors = 2 * min(b, num_clusters) * (n / num_clusters) ** 2 * d
        return clustering * num_clusters + neighbors
    if name == "k_means":
        num_points = min(n, (getattr(strategy, "max_points_per_centroid", None) or n) * b)
        return 2 * (CLUSTERING_ITERATIONS * num_points + n) * d * b
    if name == "drop_query":  # what its candidates cost depends on their number
        return logits * (1 + getattr(strategy, "num_passes", 3))
    if name == "alfa_mix":  # logits, gradients, slopes, anchors; and candidates as above
        slopes = min(2 * logits, 2 * n * k * k)
        return logits + slopes + 2 * n * min(k, problem.num_labeled) * d
    if name == "cluster_margin":  # margins, and differences of pairs
        num_candidates = min(n, getattr(strategy, "candidates_per_pick", 10) * b)
        return logits + 3 * num_candidates**2 // 2 * d
    if name == "core_set":
        return 2 * n * problem.num_labeled * d
    if name == "prob_cover":
        # Clusters are small beside it: the balls for delta, and pairs with targets counted once.
        balls, targets = (
            min(n, getattr(strategy, option) or n) for option in ("delta_sample", "num_targets")
        )
        return 2 * d * (n * (problem.num_labeled + balls) + targets * (n - targets / 2))
    if name in ("max_herding", "uherding"):
        num_targets = min(n, getattr(strategy, "num_targets", None) or n)
        # Every pair once: with all rows as targets a kernel value serves both of its rows.
        pairs = n * n / 2 if num_targets == n else n * num_targets
        return 2 * d * pairs + (logits if name == "uherding" else 0)
    return 0 if name in ("random", "refine") else logits
