"""BAIT: the batch whose labels say most about the last layer, by a greedy search.

BAIT looks for the batch that minimises tr(M⁻¹F) (:mod:`dal.functional.bait_objective`). The forward
pass adds the best candidate again and again, more of them than asked for. The backward pass removes
those that the objective misses least.

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings",
    algorithm 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import bait_objective, fisher
from dal.functional.bait_objective import (
    DEFAULT,
    CandidateTerms,
    Hyperparameters,
    Problem,
    Selection,
    Updates,
)

NUM_CHUNKS = 8  # tensors of the size of a chunk that exist at the same time, at most

# For rank-one candidates a block of steps is chosen from a shortlist, and then checked against all
# rows (see _forward_in_blocks).
BLOCK_STEPS = 64
SHORTLIST_ROWS = 1 << 11
SHORTLIST_SHARE = 64  # one row in this many, if that is more


class PeakEntries(NamedTuple):
    """Numbers of tensor entries: ``fixed + N * per_pool_row`` of them for a pool of N rows."""

    fixed: int
    per_pool_row: int


def peak_entries(
    num_features: int,
    num_classes: int,
    rank: int,
    num_labeled: int,
    num: int,
    oversample: int = 2,
) -> PeakEntries:
    """Peak tensor entries of :func:`select`: fixed, and per pool row.

    They include the features and factors of the pool. They leave out the chunks, which take up to
    NUM_CHUNKS times :func:`fisher.scratch_bytes`, and the shortlist.

    Args:
        num_features: D.
        num_classes: K of the factors: 1 for the binary task.
        rank: r.
        num_labeled: L.
        num: B.
        oversample: As in :class:`Hyperparameters`.

    Example:
        >>> peak_entries(num_features=384, num_classes=1, rank=1, num_labeled=10, num=10)
        PeakEntries(fixed=333312, per_pool_row=432)
    """
    size, num_columns = num_classes * num_features, num_labeled * rank
    updates = 2 * size * rank * (2 * oversample * num - num)
    is_low_rank = num_columns < size // 2
    matrices = 2 * size**2 + 4 * size * num_columns if is_low_rank else 4 * size**2
    # Features, factors before and after their scaling, and P, Q and four temporaries of their size.
    per_pool_row = num_features + 2 * num_classes * rank + 6 * rank**2
    if num_classes == rank == 1:
        per_pool_row += 2 * min(BLOCK_STEPS, oversample * num)  # X and Y of a block
    return PeakEntries(matrices + updates, per_pool_row)


def select(
    features: Tensor,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
) -> Selection:
    """The batch that BAIT chooses; of equal candidates the first.

    Args:
        features: Of the pool, ``(N, D)``.
        factors: Of the pool, ``(N, K, r)``, from :mod:`dal.functional.fisher`.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_factors: ``(L, K, r)``.
        num: Size of the batch B, in [1, N].
        hyperparameters: λ, the oversampling and the reduction.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: see :func:`peak_entries`.

    Example:
        Without labels, the longest of equally uncertain examples says most:

        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> factors = fisher.binary_factors(torch.full((3, 2), 0.5))
        >>> select(features, factors, features[:0], factors[:0], num=1)
        Selection(positions=tensor([2]), gains=tensor([0.5769]))
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    problem = bait_objective.problem(
        features, factors, labeled_features, labeled_factors, num, hyperparameters
    )
    num_forward = min(hyperparameters.oversample * num, len(features))
    return forward_backward(problem, num, num_forward)


def forward_backward(problem: Problem, num: int, num_forward: int) -> Selection:
    """Adds the best candidate ``num_forward`` times, then removes the least useful down to ``num``.

    Args:
        problem: The candidates and the objective.
        num: Size of the batch.
        num_forward: How many candidates the forward pass adds, in [num, N].

    Memory: 6·r² entries per candidate, 2·KD·r per step, and for rank-one candidates 2·BLOCK_STEPS
    per candidate.
    """
    terms = bait_objective.candidate_terms(problem)
    updates = Updates(problem, 2 * num_forward - num)
    if problem.factors.shape[1:] == (1, 1) and len(problem.features) > SHORTLIST_ROWS:
        forward = _forward_in_blocks(problem, terms, updates, num_forward)
    else:
        num_rows, device = len(problem.features), problem.features.device
        is_chosen = torch.zeros(num_rows, dtype=torch.bool, device=device)
        all_positions = torch.arange(num_rows, device=device)
        forward = _add_greedily(problem, all_positions, terms, is_chosen, updates, num_forward)
    return _backward(problem, terms, updates, forward, num)


def _add_greedily(
    candidates: Problem,
    positions: Tensor,
    terms: CandidateTerms,
    is_chosen: Tensor,
    updates: Updates,
    num: int,
) -> Selection:
    """Adds the best candidate ``num`` times.

    Args:
        candidates: The n candidates among which to choose.
        positions: Their positions in the problem of ``updates``, ``(n,)``.
        terms: Their terms, updated in place.
        is_chosen: Which of them M contains, ``(n,)``, updated in place.
        updates: The steps of M so far, updated in place.
        num: How many to add.

    Returns:
        Those chosen, as positions in the problem of ``updates``.
    """
    chosen, chosen_gains = [], []
    for _ in range(num):
        gains = terms.changes(1).masked_fill_(is_chosen, -torch.inf)
        best = int(gains.argmax())
        update = updates.next(int(positions[best]), terms.p[best], terms.q[best], 1)
        terms.apply(update, candidates)
        updates.append(update)
        is_chosen[best] = True
        chosen.append(positions[best])
        chosen_gains.append(gains[best].clone())  # a view would keep all the gains in memory
    return Selection(torch.stack(chosen), torch.stack(chosen_gains))


def _forward_in_blocks(
    problem: Problem, terms: CandidateTerms, updates: Updates, num: int
) -> Selection:
    """What :func:`_add_greedily` chooses from all rank-one candidates, reading them once per block.

    A block of steps is chosen from a shortlist, the best candidates at its start. Its steps are
    valid up to the first one at which a candidate outside the shortlist would have gained more.
    The first step is always valid.
    """
    num_rows = len(problem.features)
    size = min(max(SHORTLIST_ROWS, num_rows // SHORTLIST_SHARE), num_rows)
    is_chosen = torch.zeros(num_rows, dtype=torch.bool, device=problem.features.device)
    blocks: list[Selection] = []
    num_left = num
    while num_left:
        gains = terms.changes(1).masked_fill_(is_chosen, -torch.inf)
        # Ascending, so that of equal candidates the first is chosen here too.
        shortlist = gains.topk(size).indices.sort().values
        num_free = int((~is_chosen[shortlist]).sum())
        num_steps = min(BLOCK_STEPS, num_left, num_free)
        block = _add_greedily(
            problem.take(shortlist),
            shortlist,
            terms.take(shortlist),
            is_chosen[shortlist],
            updates,
            num_steps,
        )
        is_outside = ~is_chosen
        is_outside[shortlist] = False
        num_valid = _apply_valid_steps(problem, terms, updates, block.gains, is_outside)
        block = Selection(block.positions[:num_valid], block.gains[:num_valid])
        is_chosen[block.positions] = True
        blocks.append(block)
        num_left -= num_valid
    return Selection(
        torch.cat([block.positions for block in blocks]),
        torch.cat([block.gains for block in blocks]),
    )


def _apply_valid_steps(
    problem: Problem,
    terms: CandidateTerms,
    updates: Updates,
    chosen_gains: Tensor,
    is_outside: Tensor,
) -> int:
    """Applies the last steps to the terms of all candidates, and undoes those that are not valid.

    One product of all features with the directions of the steps gives the gain of every candidate
    before each of them.

    Args:
        problem: All rank-one candidates.
        terms: Their terms before the steps, updated in place.
        updates: The steps of M so far, updated in place.
        chosen_gains: The gains of the last steps, ``(steps,)``.
        is_outside: Which candidates are neither in M nor on the shortlist, ``(N,)``.

    Returns:
        How many of the steps are valid.
    """
    num_steps = len(chosen_gains)
    x, y = _project(problem, *updates.last(num_steps))
    is_beaten = _best_before_each_step(terms, x, y, is_outside) > chosen_gains
    num_valid = int(is_beaten.nonzero()[0]) if is_beaten.any() else num_steps
    updates.undo(num_steps - num_valid)
    x, y = x[:, :num_valid], y[:, :num_valid]
    for rows in fisher.chunks(x, 2 * num_valid):
        terms.p[rows].sub_(x[rows].square().sum(1)[:, None, None])  # (n, steps) -> (n, 1, 1)
        terms.q[rows].sub_((x[rows] * y[rows]).sum(1)[:, None, None], alpha=2)
    return num_valid


def _project(problem: Problem, u: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """X = VᵀU and Y = VᵀW of rank-one candidates for several steps, ``(N, steps)`` each."""
    num_steps = u.shape[1]
    both, scale = torch.cat([u, w], 1), problem.factors[:, 0]  # (D, 2·steps), (N, 1)
    products = problem.features.new_empty(len(problem.features), 2 * num_steps)
    for rows in fisher.chunks(products, both.shape[1]):
        torch.mm(problem.features[rows], both, out=products[rows]).mul_(scale[rows])
    return products[:, :num_steps], products[:, num_steps:]


def _best_before_each_step(
    terms: CandidateTerms, x: Tensor, y: Tensor, is_candidate: Tensor
) -> Tensor:
    """The highest gain of any of the candidates before each step, ``(steps,)``.

    Before step t, P and Q of a rank-one candidate are those at the start less Σ x² and 2 Σ x y over
    the steps before t.
    """
    best = x.new_full((x.shape[1],), -torch.inf)
    for rows in fisher.chunks(x, 2 * x.shape[1]):
        square, cross = x[rows].square(), x[rows] * y[rows]  # (n, steps)
        p = terms.p[rows, 0] - square.cumsum(1).sub_(square)  # (n, 1) -> (n, steps)
        q = terms.q[rows, 0] - cross.cumsum(1).sub_(cross).mul_(2)
        gains = q.div_(p.add_(1)).masked_fill_(~is_candidate[rows, None], -torch.inf)
        best = torch.maximum(best, gains.amax(0))
    return best


def _backward(
    problem: Problem, terms: CandidateTerms, updates: Updates, forward: Selection, num: int
) -> Selection:
    """Removes the candidate that the objective misses least, until ``num`` are left."""
    candidates, terms = problem.take(forward.positions), terms.take(forward.positions)
    is_removed = torch.zeros_like(forward.positions, dtype=torch.bool)
    for _ in range(len(is_removed) - num):
        losses = terms.changes(-1).masked_fill_(is_removed, torch.inf)
        least = int(losses.argmin())
        position = int(forward.positions[least])
        update = updates.next(position, terms.p[least], terms.q[least], -1)
        terms.apply(update, candidates)
        updates.append(update)
        is_removed[least] = True
    return Selection(forward.positions[~is_removed], forward.gains[~is_removed])
