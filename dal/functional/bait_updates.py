"""The steps of M since the start of BAIT's search, and the exact terms of candidates after them.

Both are in float64. What a step changes in M⁻¹ and T are its directions U and W
(:mod:`dal.functional.bait_objective`); the inverse itself is updated only where it is small.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import bait_inverse, bait_objective
from dal.functional.bait_objective import Problem

DENSE_SIZE = 512  # KD up to which updating M⁻¹ as a matrix is faster than going through the steps
MAX_SPLIT_SIZE = 1 << 13  # KD up to which a product with F is made of one for each class
PENDING_STEPS = 32  # that the matrix is updated for at once


class ExactTerms(NamedTuple):
    """P and Q of some candidates in float64, and the products that they come from.

    Attributes:
        p: ``(n, r, r)``.
        q: ``(n, r, r)``.
        gains: ``(n,)``.
        u: M⁻¹ V, ``(n, KD, r)``.
        fu: F M⁻¹ V, ``(n, KD, r)``.
    """

    p: Tensor
    q: Tensor
    gains: Tensor
    u: Tensor
    fu: Tensor


class Updates:
    """All steps of M since the start, in float64; the exact terms of a candidate follow from them.

    Args:
        problem: The start.
        inverse: M₀⁻¹.
        max_steps: How many steps there may be.

    Memory: KD·r entries per step, and as many in float64.
    """

    def __init__(self, problem: Problem, inverse: bait_inverse.Inverse, max_steps: int) -> None:
        self.problem = problem
        self.inverse = inverse
        self.rank = problem.factors.shape[-1]
        self.num_steps = 0
        size = len(problem.mean_information)
        # As rows: products with few columns take half the time.
        self._w = problem.mean_information.new_empty(max_steps * self.rank, size)
        self._u = torch.empty_like(self._w, dtype=torch.float64)
        # M⁻¹ after the first `_num_dense` steps, as a matrix.
        self._dense = inverse.dense() if size <= DENSE_SIZE else None
        self._num_dense = 0

    def times(self, v: Tensor) -> Tensor:
        """M⁻¹ V, ``(KD, s)``, of V in float64, for the present M."""
        u = self._u[self._num_dense * self.rank : self.num_steps * self.rank]
        before = self.inverse.times(v) if self._dense is None else self._dense @ v
        return before - ((v.mT.contiguous() @ u.mT) @ u).mT

    def exact_terms(self, v: Tensor) -> ExactTerms:
        """The terms of some candidates for the present M.

        Args:
            v: Their V, ``(n, KD, r)``, float64.
        """
        num, size, rank = v.shape
        columns = self.times(v.transpose(0, 1).reshape(size, num * rank))
        f = self.problem.mean_information
        # As a sum over parts of F, which is symmetric: two thirds of the time of a whole product.
        num_parts = self.problem.factors.shape[1] if size <= MAX_SPLIT_SIZE else 1
        by_part = columns.to(f.dtype).view(num_parts, size // num_parts, -1)
        weighted = torch.bmm(by_part.mT, f.view(num_parts, -1, size)).sum(0).mT.double()
        u, fu = (c.view(size, num, rank).transpose(0, 1) for c in (columns, weighted))
        p, q = torch.bmm(v.mT, u), torch.bmm(u.mT, fu)  # (n, r, r)
        q = (q + q.mT) / 2
        return ExactTerms(p, q, bait_objective.gains(p, q), u, fu)

    def append(self, terms: ExactTerms, row: int) -> tuple[Tensor, Tensor]:
        """Adds a candidate to M.

        Args:
            terms: Exact terms for the present M.
            row: The candidate's row in them.

        Returns:
            U and W of the step, ``(KD, r)`` each.
        """
        identity = torch.eye(self.rank, dtype=terms.p.dtype, device=terms.p.device)
        g = bait_inverse.inverse_root(identity + terms.p[row])  # (r, r)
        u = terms.u[row] @ g
        w = self.times(terms.fu[row]) @ g - u @ (g.mT @ terms.q[row] @ g) / 2
        rows = slice(self.num_steps * self.rank, (self.num_steps + 1) * self.rank)
        self._u[rows], self._w[rows] = u.mT, w.mT
        self.num_steps += 1
        if self._dense is not None and self.num_steps - self._num_dense == PENDING_STEPS:
            self._include(self.num_steps)
        return u, w

    def last(self, num: int) -> tuple[Tensor, Tensor]:
        """U and W of the last ``num`` steps, ``(KD, num·r)`` each, in the dtype of the features."""
        rows = slice((self.num_steps - num) * self.rank, self.num_steps * self.rank)
        return self._u[rows].mT.to(self._w.dtype), self._w[rows].mT

    def undo(self, num: int) -> None:
        """Takes the last ``num`` steps back."""
        self.num_steps -= num
        if self._num_dense > self.num_steps:
            self._include(self.num_steps)

    def _include(self, num_steps: int) -> None:
        """Makes the matrix that of M⁻¹ after so many steps."""
        assert self._dense is not None
        first, last = sorted((self._num_dense, num_steps))
        u = self._u[first * self.rank : last * self.rank]
        self._dense.addmm_(u.mT, u, alpha=-1 if num_steps == last else 1)
        self._num_dense = num_steps
