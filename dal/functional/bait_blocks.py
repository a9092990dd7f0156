"""A block of steps of BAIT, for all candidates of rank one: its check, and the update of P and Q.

Before step t, P and Q of a candidate are those at the start of the block less Σ x² and 2 Σ x y over
the steps before t. Where no bound of all its gains in the block reaches the lowest gain that was
chosen, the candidate could not have been chosen at any step, and its gains before each of them are
not computed: P is at least what is left of it after the block, and Q at most what it would be if
only the steps with x y < 0 were taken.

The rows are read in chunks that fit the cache. A chunk is read a second time only if a later one
shows that fewer steps are valid than had been taken.
"""

import torch
from torch import Tensor

from dal.functional.bait_objective import CandidateTerms, Problem

# Rows of a chunk: 6 MiB of features at D = 384, and 2 MiB of products of 64 steps.
CHUNK_ROWS = {"cpu": 1 << 12, "cuda": 1 << 18}


def apply_valid(
    problem: Problem,
    terms: CandidateTerms,
    u: Tensor,
    w: Tensor,
    chosen_gains: Tensor,
    is_outside: Tensor,
    margin: float,
) -> int:
    """Updates P and Q for the steps of a block that are valid, and counts these.

    Steps are valid up to the first one at which a candidate might have gained more than the chosen
    one. The first step is always valid.

    Args:
        problem: All candidates.
        terms: Theirs, updated in place.
        u: Directions U of the steps, ``(D, steps)``.
        w: Directions W of the steps, ``(D, steps)``.
        chosen_gains: The gains of the steps, ``(steps,)``.
        is_outside: Which candidates could have been chosen instead, ``(N,)``.
        margin: Share of what P and Q were when computed that allows for their rounding.

    Memory: two numbers per row, and the products of a chunk.

    Example:
        >>> from dal.functional import bait_objective
        >>> h, a = torch.tensor([[1.0], [0.5]]), torch.ones(2, 1, 1)
        >>> problem = bait_objective.problem(h, a, h[:0], a[:0], num=1)
        >>> terms = CandidateTerms(*torch.ones(2, 2, 1, 1), *torch.ones(2, 2))
        >>> u, is_outside = torch.tensor([[0.5]]), torch.tensor([False, True])
        >>> apply_valid(problem, terms, u, u, torch.tensor([0.5]), is_outside, margin=1e-6)
        1
        >>> terms.p.flatten()
        tensor([0.7500, 0.9375])
    """
    num_rows, device = len(problem.features), problem.features.device
    size = CHUNK_ROWS.get(device.type, CHUNK_ROWS["cpu"])
    chunks = [slice(first, min(first + size, num_rows)) for first in range(0, num_rows, size)]
    squares, crosses = terms.first_p.new_empty(2, num_rows)
    num_valid = len(chosen_gains)
    scratch = squares.new_empty(3 * num_valid * min(size, num_rows))
    num_taken = []
    for rows in chunks:
        num_taken.append(num_valid)
        block = _Block(problem, rows, u[:, :num_valid], w[:, :num_valid], scratch)
        squares[rows], crosses[rows] = block.square_sums, block.cross_sums
        num_valid = block.num_valid(terms, chosen_gains[:num_valid], is_outside[rows], margin)
    for rows, num in zip(chunks, num_taken, strict=True):
        if num > num_valid:
            block = _Block(problem, rows, u[:, :num_valid], w[:, :num_valid], scratch)
            squares[rows], crosses[rows] = block.square_sums, block.cross_sums
    terms.p.sub_(squares[:, None, None])
    terms.q.sub_(crosses[:, None, None], alpha=2)
    return num_valid


class _Block:
    """The steps of a block for n candidates.

    Attributes:
        square_sums: Σ x² over all steps, ``(n,)``.
        cross_sums: Σ x y over all steps, ``(n,)``.
    """

    def __init__(
        self, problem: Problem, rows: slice, u: Tensor, w: Tensor, scratch: Tensor
    ) -> None:
        num_rows, num_steps = rows.stop - rows.start, u.shape[1]
        self.rows = rows
        # Into memory that is in use already: new pages for each chunk would take as long as all
        # that follows the product.
        products, crosses = scratch[: 3 * num_rows * num_steps].split(
            [2 * num_rows * num_steps, num_rows * num_steps]
        )
        products = products.view(num_rows, 2 * num_steps)
        torch.mm(problem.features[rows], torch.cat([u, w], 1), out=products)
        # x and y without the factor of the row.
        self.x, self.y = products.split(num_steps, dim=1)
        self.weights = problem.factors[rows, 0, 0].square()  # (n,)
        self.crosses = torch.mul(self.x, self.y, out=crosses.view(num_rows, num_steps))
        # As a product, a sum over few columns is several times faster.
        self.ones = self.x.new_ones(num_steps)
        self.square_sums = torch.linalg.vector_norm(self.x, dim=1).square_() * self.weights
        self.cross_sums = (self.crosses @ self.ones) * self.weights

    def num_valid(
        self, terms: CandidateTerms, chosen_gains: Tensor, is_outside: Tensor, margin: float
    ) -> int:
        """How many steps are valid as far as these candidates are concerned."""
        num_steps = len(chosen_gains)
        p = terms.p[self.rows, 0, 0] - margin * terms.first_p[self.rows]  # (n,)
        q = terms.q[self.rows, 0, 0] + margin * terms.first_q[self.rows]
        absolute_sums = (self.crosses.abs_() @ self.ones).mul_(self.weights)
        highest_q = absolute_sums.sub_(self.cross_sums).add_(q)
        highest = highest_q.div_((p - self.square_sums).clamp_min_(0).add_(1))
        rivals = ((highest > chosen_gains.min()) & is_outside).nonzero().flatten()
        if len(rivals) == 0:
            return num_steps
        x, weights = self.x[rivals], self.weights[rivals, None]
        square = x.square().mul_(weights)  # (rivals, steps)
        cross = x.mul_(self.y[rivals]).mul_(weights)
        p_before = p[rivals, None] - square.cumsum(1).sub_(square)
        q_before = q[rivals, None] - cross.cumsum(1).sub_(cross).mul_(2)
        gains = q_before.div_(p_before.clamp_min_(0).add_(1))
        is_beaten = (gains > chosen_gains).any(0)
        is_beaten[0] = False
        return int(is_beaten.nonzero()[0]) if is_beaten.any() else num_steps
