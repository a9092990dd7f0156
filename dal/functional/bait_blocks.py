"""A block of steps of BAIT, for all candidates of rank one: its check, and the update of P and Q.

Before step t, P_t and Q_t of a candidate are those at the start of the block less Σ x² and 2 Σ x y
over the steps before t. To know its gains Q_t / (1 + P_t) before each step takes cumulative sums.
Most candidates do not need them. Let g >= 0 be the lowest gain that was chosen in a group of steps.
A gain above g means Q_t > g (1 + P_t), that is Q_t − g P_t > g. A step changes Q − g P by
g x² − 2 x y. So before no step of the group is Q_t − g P_t above

    Q − g P + Σ max(0, g x² − 2 x y),

with P and Q before the group, and the sum over its steps. Where that is in no group above g, the
candidate could not have been chosen instead. The first group is the whole block, which rules out
almost all candidates; if many are left, groups of few steps follow.

The rows are read in chunks. A chunk is read a second time only if a later one shows that fewer
steps are valid than had been taken. To make that rare, the candidates that are the most likely to
show it are looked at first.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import bait_rank_one
from dal.functional.bait_objective import CandidateTerms, Problem

GROUP_STEPS = 8
FEW_RIVALS = 16  # with at most one rival in so many rows, there is no need for small groups


class Candidates(NamedTuple):
    """Some candidates, and what is known of them.

    Attributes:
        problem: The n candidates.
        terms: Theirs.
        is_outside: Which of them could have been chosen instead of one of a block, ``(n,)``.
    """

    problem: Problem
    terms: CandidateTerms
    is_outside: Tensor

    def chunks(self) -> Iterator[tuple[slice, "Candidates"]]:
        """Consecutive ones as they are read together, and their rows among these."""
        problem = self.problem
        for rows in bait_rank_one.chunks(problem.features):
            part = problem._replace(features=problem.features[rows], factors=problem.factors[rows])
            terms = CandidateTerms(*(term[rows] for term in self.terms))
            yield rows, Candidates(part, terms, self.is_outside[rows])


def apply_valid(
    candidates: Candidates,
    first: Candidates,
    u: Tensor,
    w: Tensor,
    chosen_gains: Tensor,
    margin: float,
) -> int:
    """Updates P and Q for the steps of a block that are valid, and counts these.

    Steps are valid up to the first one at which a candidate of any process might have gained more
    than the chosen one. The first step is always valid.

    Args:
        candidates: Those of this process; their terms are updated in place.
        first: Copies of some that are looked at before all; the same in every process.
        u: Directions U of the steps, ``(D, steps)``.
        w: Directions W of the steps, ``(D, steps)``.
        chosen_gains: The gains of the steps, ``(steps,)``.
        margin: Share of what P and Q were when computed that allows for their rounding.

    Memory: two numbers per row, and the products of a chunk.

    Example:
        >>> from dal.functional import bait_objective
        >>> h, a = torch.tensor([[1.0], [0.5]]), torch.ones(2, 1, 1)
        >>> problem = bait_objective.problem(h, a, h[:0], a[:0], num=1)
        >>> terms = CandidateTerms(*torch.ones(2, 2, 1, 1), *torch.ones(2, 2))
        >>> everybody = Candidates(problem, terms, torch.tensor([False, True]))
        >>> u, gains = torch.tensor([[0.5]]), torch.tensor([0.5])
        >>> apply_valid(everybody, everybody, u, u, gains, margin=1e-6)
        1
        >>> terms.p.flatten()
        tensor([0.7500, 0.9375])
    """
    problem, terms, _ = candidates
    squares, crosses = terms.first_p.new_empty(2, len(problem.features))
    num_rows = min(
        max(len(problem.features), len(first.is_outside)),
        bait_rank_one.chunk_rows(len(u), problem.features.device),
    )
    scratch = squares.new_empty(3 * len(chosen_gains) * num_rows)

    def block(part: Candidates, num_steps: int) -> _Block:
        steps = slice(num_steps)
        return _Block(part, u[:, steps], w[:, steps], chosen_gains[steps], scratch)

    num_valid = len(chosen_gains)
    for _, part in first.chunks():
        num_valid = block(part, num_valid).num_valid(margin)
    num_taken = []  # never more than of the chunk before
    for rows, part in candidates.chunks():
        num_taken.append(num_valid)
        of_rows = block(part, num_valid)
        squares[rows], crosses[rows] = of_rows.square_sums, of_rows.cross_sums
        num_valid = of_rows.num_valid(margin)
    num_valid = int(problem.shares.gathered(torch.tensor([num_valid])).min())
    # Computed again, and not corrected: so the digits of the sums do not depend on which process
    # has which chunk.
    num_wrong = sum(num > num_valid for num in num_taken)
    for rows, part in islice(candidates.chunks(), num_wrong):
        of_rows = block(part, num_valid)
        squares[rows], crosses[rows] = of_rows.square_sums, of_rows.cross_sums
    terms.p.sub_(squares[:, None, None])
    terms.q.sub_(crosses[:, None, None])
    return num_valid


class _Block:
    """The steps of a block for n candidates.

    A step with the directions u and w changes Q − g P of a candidate by its *rise*

        g x² − 2 x y = x · hᵀ(g u − 2 w),

    so that a product with u and g u − 2 w is all that it takes.

    Attributes:
        square_sums: Σ x² over all steps, ``(n,)``.
        cross_sums: 2 Σ x y over all steps, ``(n,)``.
    """

    def __init__(
        self, candidates: Candidates, u: Tensor, w: Tensor, chosen_gains: Tensor, scratch: Tensor
    ) -> None:
        features, num_steps = candidates.problem.features[:], u.shape[1]
        num_rows = len(features)
        self.candidates = candidates
        self.chosen_gains = chosen_gains
        self.lowest = chosen_gains.min()  # g
        # Into memory that is in use already: new pages for each chunk would take as long as all
        # that follows the product.
        products, spare = scratch[: 3 * num_rows * num_steps].split(
            [2 * num_rows * num_steps, num_rows * num_steps]
        )
        products = products.view(num_rows, 2 * num_steps)
        torch.mm(features, torch.cat([u, self.lowest * u - 2 * w], 1), out=products)
        x, of_rises = products.split(num_steps, dim=1)  # (n, steps) each
        # Without the weight of the row:
        self.rises, self.squares = of_rises.mul_(x), x.square_()
        self.spare = spare.view(num_rows, num_steps)
        self.weights = candidates.problem.factors[:, 0, 0].square()  # a², (n,)
        # As a product, a sum over few columns is several times faster.
        self.ones = x.new_ones(num_steps)
        self.square_sums = (self.squares @ self.ones).mul_(self.weights)
        rise = (self.rises @ self.ones).mul_(self.weights)
        self.cross_sums = self.lowest * self.square_sums - rise

    def num_valid(self, margin: float) -> int:
        """How many steps are valid as far as these candidates are concerned."""
        num_steps = len(self.chosen_gains)
        _, terms, is_outside = self.candidates
        p = terms.p.flatten() - margin * terms.first_p  # (n,)
        q = terms.q.flatten() + margin * terms.first_q
        rises = torch.clamp_min(self.rises, 0, out=self.spare) @ self.ones
        highest = rises.mul_(self.weights).add_(q).sub_(self.lowest * p)
        is_rival = (highest > self.lowest) & is_outside
        if is_rival.sum() * FEW_RIVALS > len(is_rival):
            is_rival &= self._are_rivals_in_groups(p, q)
        rivals = is_rival.nonzero().flatten()
        if len(rivals) == 0:
            return num_steps
        weights = self.weights[rivals, None]
        square = self.squares[rivals].mul_(weights)  # (rivals, steps)
        cross = self.lowest * square - self.rises[rivals].mul_(weights)  # 2 x y
        p_before = p[rivals, None] - square.cumsum(1).sub_(square)
        q_before = q[rivals, None] - cross.cumsum(1).sub_(cross)
        gains = q_before.div_(p_before.clamp_min_(0).add_(1))
        is_beaten = (gains > self.chosen_gains).any(0)
        is_beaten[0] = False
        return int(is_beaten.nonzero()[0]) if is_beaten.any() else num_steps

    def _are_rivals_in_groups(self, p: Tensor, q: Tensor) -> Tensor:
        """Which candidates might have gained more than a chosen one, as far as groups show."""
        group = torch.arange(len(self.chosen_gains), device=p.device) // GROUP_STEPS
        is_in_group = (group[::GROUP_STEPS, None] == group).to(p.dtype)  # (groups, steps)
        lowest = torch.stack([gains.min() for gains in self.chosen_gains.split(GROUP_STEPS)])

        def of_groups(steps: Tensor) -> Tensor:
            # (groups, n): with the few groups first, the product is twice as fast.
            return (is_in_group @ steps.mT).mul_(self.weights)

        squares, rises = of_groups(self.squares), of_groups(self.rises)
        crosses = self.lowest * squares - rises
        # With the lowest gain of the group of a step, which is higher, a rise is higher too.
        rises = torch.mul(self.squares, (lowest[group] - self.lowest), out=self.spare)
        rises = of_groups(rises.add_(self.rises).clamp_min_(0))
        # Before the group, without the steps in it.
        p_before = squares.cumsum(0).sub_(squares).neg_().add_(p)
        q_before = crosses.cumsum(0).sub_(crosses).neg_().add_(q)
        lowest = lowest[:, None]
        highest = q_before.sub_(p_before.mul_(lowest)).add_(rises)
        return (highest > lowest).any(0)
