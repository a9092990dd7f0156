"""BAIT: the batch whose labels say most about the last layer, by a greedy search.

BAIT looks for the batch that minimises tr(M⁻¹F) (:mod:`dal.functional.bait_objective`). The forward
pass adds the best candidate again and again, more of them than asked for. The backward pass removes
those that the objective misses least.

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings",
    algorithm 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import bait_backward, bait_blocks, bait_inverse, bait_objective
from dal.functional.bait_objective import (
    DEFAULT,
    CandidateTerms,
    Hyperparameters,
    Problem,
    Selection,
    Updates,
)
from dal.functional.rows import Rows

NUM_CHUNKS = 8  # tensors of the size of a chunk that exist at the same time, at most

# For rank-one candidates a block of steps is chosen from a shortlist, and then checked against all
# rows (see _ForwardPass._add_block).
BLOCK_STEPS = 64
SHORTLIST_ROWS = 1 << 11
SHORTLIST_SHARE = 64  # one row in this many, if that is more

# When gains are checked, and P and Q computed again (see _ForwardPass).
NUM_EXACT_COLUMNS = 64  # of the candidates whose exact gains are computed at a time, at most
ERROR_MARGIN = 4
ERROR_LIMIT = 1e-3
ERROR_GROWTH = 4


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
    are_kept: bool = True,
) -> PeakEntries:
    """Peak tensor entries of :func:`select`: fixed, and per pool row.

    They include the factors of the pool, and its features unless they are read in chunks. They
    leave out the chunks, which take up to NUM_CHUNKS times :func:`fisher.scratch_bytes`, and the
    shortlist.

    Args:
        num_features: D.
        num_classes: K of the factors: 1 for the binary task.
        rank: r.
        num_labeled: L.
        num: B.
        oversample: As in :class:`Hyperparameters`.
        are_kept: Whether the features of the pool are in memory.

    Example:
        >>> peak_entries(num_features=384, num_classes=1, rank=1, num_labeled=10, num=10)
        PeakEntries(fixed=348672, per_pool_row=398)
    """
    size, num_columns = num_classes * num_features, num_labeled * rank  # KD, m
    num_added = oversample * num * rank
    # A float64 counts as two entries. F is there all the time, a dense M₀⁻¹ too.
    if bait_inverse.is_low_rank(num_features, num_classes, num_columns):
        resident = size**2
        start = size**2 + 6 * size * num_columns + 2 * size * num_classes * num_labeled
    else:
        resident, start = 3 * size**2, 5 * size**2
    forward = start + 3 * size * num_added
    backward = 6 * size * num_added + 8 * num_added**2
    fixed = resident + max(forward, backward)
    # Features, factors before and after their scaling, P, Q and four temporaries of their size, the
    # traces of P and Q, gains and their rounding.
    per_pool_row = are_kept * num_features + 2 * num_classes * rank + 6 * rank**2 + 4
    if num_classes == rank == 1:
        per_pool_row += 2  # the sums of a block
    return PeakEntries(fixed, per_pool_row)


def select(
    features: Rows,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
    report: Callable[[int, int], None] | None = None,
) -> Selection:
    """The batch that BAIT chooses; of equal candidates the first.

    Args:
        features: Of the pool, ``(N, D)``; read in chunks, several times.
        factors: Of the pool, ``(N, K, r)``, from :mod:`dal.functional.fisher`.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_factors: ``(L, K, r)``.
        num: Size of the batch B, in [1, N].
        hyperparameters: λ, the oversampling and the reduction.
        report: Is told now and then how many steps of the forward pass are done, and of how many.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: see :func:`peak_entries`.

    Example:
        Without labels, the longest of equally uncertain examples says most:

        >>> from dal.functional import fisher
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> factors = torch.full((3, 1, 1), 0.5)
        >>> select(features, factors, features[:0], factors[:0], num=1)
        Selection(positions=tensor([2]), gains=tensor([0.5769]))
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    problem = bait_objective.problem(
        features, factors, labeled_features, labeled_factors, num, hyperparameters
    )
    num_forward = min(hyperparameters.oversample * num, len(features))
    return forward_backward(problem, num, num_forward, report)


def forward_backward(
    problem: Problem,
    num: int,
    num_forward: int,
    report: Callable[[int, int], None] | None = None,
) -> Selection:
    """Adds the best candidate ``num_forward`` times, then removes the least useful down to ``num``.

    Args:
        problem: The candidates and the objective.
        num: Size of the batch.
        num_forward: How many candidates the forward pass adds, in [num, N].
        report: As in :func:`select`.

    Example:
        >>> h, a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), torch.full((3, 1, 1), 0.5)
        >>> start = bait_objective.problem(h, a, h[:0], a[:0], num=1)
        >>> forward_backward(start, num=1, num_forward=2)
        Selection(positions=tensor([2]), gains=tensor([0.5769]))
    """
    search = _ForwardPass(problem, num_forward)
    while len(search.positions) < num_forward:
        search.advance(num_forward - len(search.positions))
        if report is not None:
            report(len(search.positions), num_forward)
    positions = torch.tensor(search.positions, device=problem.features.device)
    gains = torch.tensor(search.gains).to(problem.factors)
    inverse = search.updates.inverse
    del search  # the terms of all candidates
    is_kept = bait_backward.survivors(problem, inverse, positions, num)
    return Selection(positions[is_kept], gains[is_kept])


class _ForwardPass:
    """Adds the candidate that lowers tr(M⁻¹F) most, again and again.

    The gains of all candidates, in their dtype, propose; exact gains in float64 decide. A step
    takes the best of all *rivals*: the candidates whose gain may be the highest, given its error.
    The error of a gain is estimated as :meth:`CandidateTerms.rounding` times the largest such
    ratio of true error and rounding that was seen since P and Q were last computed: at the best
    candidates then, and at the best candidate of every step. A candidate is no rival when its gain
    would be too low even with ERROR_MARGIN times that error. P and Q are computed from the present
    M again when the error of the best candidate is above ERROR_LIMIT of its gain, and above
    ERROR_GROWTH times what it was at first.

    Attributes:
        positions: Of the candidates added, in that order.
        gains: What each lowered the objective by, exactly.
    """

    def __init__(self, problem: Problem, num: int) -> None:
        self.problem = problem
        device = problem.features.device
        nobody = torch.tensor([], dtype=torch.long, device=device)
        inverse = problem.invert(nobody)
        self.updates = Updates(problem, inverse, num)
        self.is_chosen = torch.zeros(len(problem.features), dtype=torch.bool, device=device)
        self.positions: list[int] = []
        self.gains: list[float] = []
        self.block_steps = BLOCK_STEPS
        self.max_exact = max(2, NUM_EXACT_COLUMNS // problem.factors.shape[2])
        self._compute_terms(inverse)

    def advance(self, num: int) -> None:
        """Adds between one candidate and ``num``, as many as one reading of all rows serves."""
        if self.is_stale:
            chosen = torch.tensor(self.positions, device=self.is_chosen.device)
            self._compute_terms(self.problem.invert(chosen))
        if self.problem.factors.shape[1:] == (1, 1) and len(self.is_chosen) > SHORTLIST_ROWS:
            self._add_block(num)
            return
        everybody = torch.arange(len(self.is_chosen), device=self.is_chosen.device)
        self._add_greedily(self.problem, everybody, self.terms, num)

    def _compute_terms(self, inverse: bait_inverse.Inverse) -> None:
        """Computes P and Q of all candidates for the present M, and estimates their error."""
        self.terms = bait_objective.candidate_terms(self.problem, inverse)
        self.is_stale = False
        gains = self.terms.gains().masked_fill_(self.is_chosen, -torch.inf)
        probes = gains.topk(min(self.max_exact, len(gains) - len(self.positions))).indices
        exact = self.updates.exact_terms(probes).gains
        self.unit = torch.finfo(gains.dtype).eps
        self.first_error = self._error(self.terms.take(probes), gains[probes], exact)

    def _error(self, terms: CandidateTerms, gains: Tensor, exact: Tensor) -> float:
        """The largest relative error of some gains, by the estimate, which learns from them."""
        rounding = terms.rounding(gains).clamp_min(torch.finfo(gains.dtype).tiny)
        self.unit = max(self.unit, float(((gains - exact).abs() / rounding).max()))
        smallest = torch.finfo(exact.dtype).tiny
        return float((self.unit * rounding / exact.clamp_min(smallest)).max())

    def _add_greedily(
        self, candidates: Problem, positions: Tensor, terms: CandidateTerms, num: int
    ) -> Tensor:
        """Adds the best of some candidates up to ``num`` times, until the terms are stale.

        Args:
            candidates: The n candidates among which to choose.
            positions: Their positions among all, ``(n,)``, ascending.
            terms: Their terms, updated in place.
            num: How many to add at most.

        Returns:
            The gains of those added, ``(steps,)``, in float64.
        """
        is_chosen = self.is_chosen[positions]
        added: list[float] = []
        for _ in range(num):
            gains = terms.gains().masked_fill_(is_chosen, -torch.inf)
            best = gains.argmax(keepdim=True)
            exact = self.updates.exact_terms(positions[best])
            error = self._error(terms.take(best), gains[best], exact.gains)
            if added and error > max(ERROR_LIMIT, ERROR_GROWTH * self.first_error):
                self.is_stale = True
                break
            row = 0
            highest = gains + ERROR_MARGIN * self.unit * terms.rounding(gains.clamp_min(0))
            is_rival = (highest >= exact.gains) & ~is_chosen
            if is_rival.sum() > 1:
                best = is_rival.nonzero().flatten()
                if len(best) > self.max_exact:
                    best = best[highest[best].topk(self.max_exact).indices].sort().values
                exact = self.updates.exact_terms(positions[best])
                self._error(terms.take(best), gains[best], exact.gains)
                # Of candidates that are equal but for rounding the first.
                highest_gain = exact.gains.max()
                is_best = exact.gains >= highest_gain - 1e-12 * highest_gain.abs()
                row = int(is_best.int().argmax())
            u, w = self.updates.append(exact, row)
            terms.apply(u, w, candidates)
            is_chosen[best[row]] = True
            self.is_chosen[positions[best[row]]] = True
            self.positions.append(int(positions[best[row]]))
            added.append(float(exact.gains[row]))
        self.gains += added
        return torch.tensor(added, dtype=torch.float64)

    def _add_block(self, num: int) -> None:
        """What :meth:`_add_greedily` adds of all rank-one candidates, reading them only once.

        A block of steps is chosen from a shortlist, the best candidates at its start. Its steps
        are valid up to the first one at which a candidate outside the shortlist might have gained
        more. The first step is always valid.
        """
        num_rows = len(self.is_chosen)
        size = min(max(SHORTLIST_ROWS, num_rows // SHORTLIST_SHARE), num_rows)
        gains = self.terms.gains().masked_fill_(self.is_chosen, -torch.inf)
        ranked = gains.topk(min(2 * size, num_rows)).indices
        # Ascending, so that of equal candidates the first is chosen here too.
        shortlist = ranked[:size].sort().values
        is_outside = ~self.is_chosen
        num_free = int(is_outside[shortlist].sum())
        is_outside[shortlist] = False
        num_steps = min(self.block_steps, num, num_free)
        gains = self._add_greedily(
            self.problem.take(shortlist), shortlist, self.terms.take(shortlist), num_steps
        )
        self._keep_valid_steps(gains, is_outside, ranked[size:].sort().values)

    def _keep_valid_steps(
        self, chosen_gains: Tensor, is_outside: Tensor, next_best: Tensor
    ) -> None:
        """Applies the valid ones of the last steps to all candidates, and undoes the others.

        Args:
            chosen_gains: The gains of the last steps, ``(steps,)``.
            is_outside: Which candidates were neither in M nor on the shortlist, ``(N,)``.
            next_best: Positions of the best of them, ``(M,)``.
        """
        num_steps = len(chosen_gains)
        num_valid = bait_blocks.apply_valid(
            self.problem,
            self.terms,
            *self.updates.last(num_steps),
            chosen_gains.to(self.terms.p),
            is_outside,
            next_best,
            ERROR_MARGIN * self.unit,
        )
        # Where gains fall fast, a block is cut short, and so is the next one probably.
        self.block_steps = min(BLOCK_STEPS, 2 * num_valid)
        if num_valid < num_steps:
            self.updates.undo(num_steps - num_valid)
            self.is_chosen[self.positions[num_valid - num_steps :]] = False
            del self.positions[num_valid - num_steps :], self.gains[num_valid - num_steps :]
