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

from dal.functional import bait_backward, bait_blocks, bait_inverse, bait_objective, sharding
from dal.functional.bait_blocks import Candidates
from dal.functional.bait_objective import (
    DEFAULT,
    CandidateTerms,
    Hyperparameters,
    Problem,
    Selection,
)
from dal.functional.bait_updates import Updates
from dal.functional.rows import Rows
from dal.functional.sharding import Shares

NUM_CHUNKS = 8  # tensors of the size of a chunk that exist at the same time, at most

# For rank-one candidates a block of steps is chosen from a shortlist, and then checked against all
# rows (see _ForwardPass._add_block).
BLOCK_STEPS = 64
SHORTLIST_ROWS = 1 << 11
SHORTLIST_SHARE = 64  # one row in this many, if that is more
MAX_SHORTLIST_ROWS = 1 << 17  # every process has a copy of them: 0.2 GB at D = 384

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
    shares: Shares = sharding.ALONE,
) -> Selection:
    """The batch that BAIT chooses; of equal candidates the first.

    Args:
        features: Of the pool, ``(N, D)``; read in chunks, several times. Of several processes, each
            has those of its own share: N rows are all of them together.
        factors: Of the pool, ``(N, K, r)``, from :mod:`dal.functional.fisher`.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_factors: ``(L, K, r)``.
        num: Size of the batch B, in [1, N].
        hyperparameters: λ, the oversampling and the reduction.
        report: Is told now and then how many steps of the forward pass are done, and of how many.
        shares: The processes that select together, each with whole chunks of
            :func:`dal.functional.bait_rank_one.chunk_rows` rows. Candidates of a higher rank, or
            no more than fit a shortlist, are copied to all of them.

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
    num_rows, _ = shares.placed(len(features))
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    if shares.num > 1 and not _are_in_blocks(factors, num_rows):
        features, factors = shares.gathered(features[:]), shares.gathered(factors)
        shares = sharding.ALONE
    problem = bait_objective.problem(
        features, factors, labeled_features, labeled_factors, num, hyperparameters, shares
    )
    num_forward = min(hyperparameters.oversample * num, num_rows)
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
    is_kept = bait_backward.survivors(problem.take(positions), inverse, num)
    return Selection(positions[is_kept], gains[is_kept])


def _are_in_blocks(factors: Tensor, num_rows: int) -> bool:
    """Whether blocks of steps are chosen from a shortlist of the rows of all processes."""
    return factors.shape[1:] == (1, 1) and num_rows > SHORTLIST_ROWS


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
        self.num_rows, _ = problem.shares.placed(len(problem.features))
        nobody = torch.tensor([], dtype=torch.long, device=problem.features.device)
        inverse = problem.invert(nobody)
        self.updates = Updates(problem, inverse, num)
        self.positions: list[int] = []
        self.gains: list[float] = []
        self.block_steps = BLOCK_STEPS
        self.max_exact = max(2, NUM_EXACT_COLUMNS // problem.factors.shape[2])
        self._compute_terms(inverse)

    def advance(self, num: int) -> None:
        """Adds between one candidate and ``num``, as many as one reading of all rows serves."""
        if self.is_stale:
            self._compute_terms(self.problem.invert(self._chosen()))
        if _are_in_blocks(self.problem.factors, self.num_rows):
            self._add_block(num)
            return
        everybody = torch.arange(self.num_rows, device=self.problem.features.device)
        self._add_greedily(self.problem, everybody, self.terms, num)

    def _chosen(self) -> Tensor:
        """Positions of the candidates in M, ``(n,)``."""
        return torch.tensor(self.positions, dtype=torch.long, device=self.problem.features.device)

    def _own(self, positions: Tensor) -> Tensor:
        """Those of some positions that this process has, numbered within its candidates."""
        return sharding.local(positions, len(self.problem.features), self.problem.offset)

    def _take(self, positions: Tensor) -> tuple[Problem, CandidateTerms]:
        """Some candidates and their terms, in every process."""
        offset, shares = self.problem.offset, self.problem.shares
        terms = (sharding.taken(term, positions, offset, shares) for term in self.terms)
        return self.problem.take(positions), CandidateTerms(*terms)

    def _best(self, num: int) -> tuple[Tensor, Tensor]:
        """Positions and gains of the best candidates of all processes, ``(num,)`` each."""
        gains = self.terms.gains()
        gains[self._own(self._chosen())] = -torch.inf
        offset, shares = self.problem.offset, self.problem.shares
        positions, lowest = sharding.lowest(gains.neg_(), num, offset, shares)
        return positions, -lowest

    def _compute_terms(self, inverse: bait_inverse.Inverse) -> None:
        """Computes P and Q of all candidates for the present M, and estimates their error."""
        self.terms = bait_objective.candidate_terms(self.problem, inverse)
        self.is_stale = False
        probes, gains = self._best(min(self.max_exact, self.num_rows - len(self.positions)))
        candidates, terms = self._take(probes)
        exact = self.updates.exact_terms(candidates.embeddings(slice(None))).gains
        self.unit = torch.finfo(gains.dtype).eps
        self.first_error = self._error(terms, gains, exact)

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
        is_chosen = torch.isin(positions, self._chosen())
        added: list[float] = []
        for _ in range(num):
            gains = terms.gains().masked_fill_(is_chosen, -torch.inf)
            best = gains.argmax(keepdim=True)
            exact = self.updates.exact_terms(candidates.embeddings(best))
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
                exact = self.updates.exact_terms(candidates.embeddings(best))
                self._error(terms.take(best), gains[best], exact.gains)
                # Of candidates that are equal but for rounding the first.
                highest_gain = exact.gains.max()
                is_best = exact.gains >= highest_gain - 1e-12 * highest_gain.abs()
                row = int(is_best.int().argmax())
            u, w = self.updates.append(exact, row)
            terms.apply(u, w, candidates)
            is_chosen[best[row]] = True
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
        size = max(SHORTLIST_ROWS, self.num_rows // SHORTLIST_SHARE)
        size = min(size, MAX_SHORTLIST_ROWS, self.num_rows)
        ranked, _ = self._best(min(2 * size, self.num_rows))
        # Ascending, so that of equal candidates the first is chosen here too.
        shortlist, next_best = (part.sort().values for part in (ranked[:size], ranked[size:]))
        chosen = self._chosen()
        is_outside = torch.ones(len(self.problem.features), dtype=torch.bool, device=ranked.device)
        is_outside[self._own(torch.cat([chosen, shortlist]))] = False
        num_free = size - int(torch.isin(shortlist, chosen).sum())
        problem, terms = self._take(shortlist)
        num_steps = min(self.block_steps, num, num_free)
        gains = self._add_greedily(problem, shortlist, terms, num_steps)
        everybody = Candidates(self.problem, self.terms, is_outside)
        first = Candidates(*self._take(next_best), ~torch.isin(next_best, chosen))
        num_valid = bait_blocks.apply_valid(
            everybody,
            first,
            *self.updates.last(len(gains)),
            gains.to(self.terms.p),
            ERROR_MARGIN * self.unit,
        )
        # Where gains fall fast, a block is cut short, and so is the next one probably.
        self.block_steps = min(BLOCK_STEPS, 2 * num_valid)
        if num_valid < len(gains):
            self.updates.undo(len(gains) - num_valid)
            del self.positions[num_valid - len(gains) :], self.gains[num_valid - len(gains) :]
