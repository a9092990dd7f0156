"""Candidates, and one of each of their clusters. The clusters of k-means are those of faiss."""

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.clusters import _typiclust
from tests.reference.scoring import lowest, margin
from tests.reference.seeding import fill_uniformly


def nearest_rows(features: Tensor, assignment: list[int], centres: Tensor) -> dict[int, float]:
    """The nearest row of each cluster, with its distance to the centre."""
    nearest = {}
    for cluster, centre in enumerate(centres.double()):
        best, best_distance = None, math.inf
        for row, own in enumerate(assignment):
            distance = math.dist(features[row].tolist(), centre.tolist())
            if own == cluster and distance < best_distance:
                best, best_distance = row, distance
        if best is not None:
            nearest[best] = best_distance
    return nearest


def representatives(
    rows: Tensor, candidates: list[int], query: Any, max_points: int | None
) -> list[int]:
    from dal.functional import clustering

    num, chosen = query.num, list(candidates)
    if len(candidates) > num:
        unit = F.normalize(rows)
        seed = int(torch.randint(2**31 - 1, (), generator=query.generator))
        clusters = clustering.clusters(unit, num, seed, max_points)
        nearest = nearest_rows(unit, clusters.assignment.tolist(), clusters.centres)
        chosen = [candidates[row] for row in nearest]
    return fill_uniformly(chosen, num, len(query.pool), query.generator)


def k_means(query: Any, max_points: int | None = 256) -> list[int]:
    return representatives(query.pool_features, list(range(len(query.pool))), query, max_points)


def num_mismatches(
    features: Tensor,
    predict: Callable[[Tensor], int],
    num_passes: int,
    dropout: float,
    generator: torch.Generator,
) -> list[int]:
    """Of each row, how many passes with dropped entries change its prediction; bit by bit."""
    counts = []
    for row in features:
        num_words = math.ceil(num_passes * len(row) / 8)
        words = torch.empty(num_words, dtype=torch.int64)
        words.random_(-(2**63), None, generator=generator)
        drawn = b"".join(word.to_bytes(8, "little", signed=True) for word in words.tolist())
        count = 0
        for number in range(num_passes):
            of_pass = drawn[number * len(row) : (number + 1) * len(row)]
            kept = [byte < round(256 * (1 - dropout)) for byte in of_pass]
            scale = 256 / round(256 * (1 - dropout))
            values = [scale * x if is_kept else 0.0 for x, is_kept in zip(row, kept, strict=True)]
            count += predict(torch.tensor(values).to(row)) != predict(row)
        counts.append(count)
    return counts


def drop_query(
    query: Any, max_points: int | None = 256, num_passes: int = 3, dropout: float = 0.75
) -> list[int]:
    if query.head is None or len(query.labeled) == 0:
        return k_means(query, max_points)
    features = query.pool_features
    counts = num_mismatches(
        features,
        lambda row: int(query.head(row[None])[0].argmax()),
        num_passes,
        dropout,
        query.generator,
    )
    candidates = [row for row, count in enumerate(counts) if count > num_passes / 2]
    if len(candidates) < 25 * query.num:
        candidates = [row for row, count in enumerate(counts) if count > 0]
    return representatives(features[candidates], candidates, query, max_points)


def flip_candidates(
    z: Tensor, weight: Tensor, bias: Tensor, anchors: list[Tensor], epsilon: float
) -> list[int]:
    """The rows whose class changes for some anchor: the published procedure, anchor by anchor."""
    candidates = []
    for position, row in enumerate(z):
        with torch.enable_grad():
            variable = row.clone().requires_grad_()
            logits = weight @ variable + bias
            predicted = logits.argmax()
            (g,) = torch.autograd.grad(F.cross_entropy(logits, predicted), variable)
        is_candidate = False
        for anchor in anchors:
            difference = anchor - row
            alpha = epsilon / math.sqrt(len(row)) * difference.norm() * g / g.norm() / difference
            mixed = (1 - alpha) * row + alpha * anchor
            # A row that is at the anchor cannot be mixed with it.
            if difference.norm() > 0 and g.norm() > 0:
                assert mixed.isfinite().all()
                is_candidate |= bool((weight @ mixed + bias).argmax() != predicted)
        if is_candidate:
            candidates.append(position)
    return candidates


def alfa_mix(query: Any, max_points: int | None = 256, step: float = 0.2) -> list[int]:
    layer = query.last_layer
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    labeled = query.labeled_embeddings.double()
    anchors = []
    for label in range(len(weight)):
        own = labeled[query.labels == label]
        anchors.append((own if len(own) else labeled).mean(0))
    z = query.pool_embeddings
    epsilon, candidates = 0.0, set[int]()
    while epsilon < 1 and len(candidates) <= query.num:
        epsilon = min(epsilon + step, 1.0)
        candidates |= set(flip_candidates(z.double(), weight, bias, anchors, epsilon))
    ordered = sorted(candidates)
    return representatives(z[ordered], ordered, query, max_points)


def average_linkage(points: Tensor, cut: float) -> list[int]:
    """The cluster of every point, numbered by first points: all mean distances, again and again."""
    rows = points.tolist()
    clusters = [[i] for i in range(len(rows))]
    pairs = [math.dist(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    limit = cut * statistics.median(pairs) if pairs else 0.0
    while len(clusters) > 1:
        means = {
            (i, j): statistics.fmean(math.dist(rows[a], rows[b]) for a in first for b in second)
            for i, first in enumerate(clusters)
            for j, second in enumerate(clusters)
            if i < j
        }
        i, j = min(means, key=lambda pair: means[pair])
        if means[i, j] > limit:
            break
        clusters[i] = sorted(clusters[i] + clusters.pop(j))
    clusters.sort()
    return [next(n for n, own in enumerate(clusters) if row in own) for row in range(len(rows))]


def round_robin(assignment: list[int], num: int, generator: torch.Generator) -> list[int]:
    members: dict[int, list[int]] = {}
    for row, cluster in enumerate(assignment):
        members.setdefault(cluster, []).append(row)
    order = sorted(members, key=lambda cluster: (len(members[cluster]), cluster))
    drawn: list[int] = []
    visit = 0
    while len(drawn) < num:
        rows = members[order[visit % len(order)]]
        visit += 1
        if rows:
            drawn.append(rows.pop(int(torch.randint(len(rows), (), generator=generator))))
    return drawn


def cluster_margin(query: Any, per_pick: int = 10, cut: float = 0.5) -> list[int]:
    num = min(per_pick * query.num, len(query.pool))
    candidates = lowest(torch.tensor(margin(query.pool_probs)), num)
    assignment = average_linkage(query.pool_embeddings[candidates].double(), cut)
    return [candidates[row] for row in round_robin(assignment, query.num, query.generator)]


def tcm(query: Any) -> list[int]:
    if query.head is None or len(query.labeled) < 4 * query.num:
        return fill_uniformly(list(_typiclust(query)), query.num, len(query.pool), query.generator)
    return lowest(torch.tensor(margin(query.pool_probs)), query.num)


selections: dict[str, Callable[[Any], list[int]]] = {
    "k_means": k_means,
    "drop_query": drop_query,
    "alfa_mix": alfa_mix,
    "cluster_margin": cluster_margin,
    "tcm": tcm,
}
