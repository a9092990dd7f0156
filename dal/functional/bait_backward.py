"""The backward pass of BAIT: candidates are removed from M again, in float64.

It concerns n chosen candidates only, and is done in their n·r dimensions. With their embeddings V
side by side, A = Vᵀ M₀⁻¹ V and S = I + A,

    N = S⁻¹ = I − Vᵀ M⁻¹ V,      R = Vᵀ T V = (M₀⁻¹ V N)ᵀ F (M₀⁻¹ V N),

where M contains all of them. Removing candidate j raises tr(M⁻¹F) by its *loss*

    tr( Nⱼⱼ⁻¹ Rⱼⱼ ),

of r × r blocks on the diagonals. Forming I − P instead, where P is almost I, would lose the digits
that decide. When j is removed, N and R change by

    N ← N − X Xᵀ,                  X = N_{·j} G,    G Gᵀ = Nⱼⱼ⁻¹,
    R ← R − (X Yᵀ + Y Xᵀ),         Y = R_{·j} G − ½ X Gᵀ Rⱼⱼ G.

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings",
    algorithm 1.
"""

import torch
from torch import Tensor

from dal.functional import bait_inverse, fisher
from dal.functional.bait_objective import Problem

PENDING_STEPS = 32  # removals after which N and R are updated
EQUAL = 1e-9  # relative difference of losses up to which it is rounding


def survivors(problem: Problem, inverse: bait_inverse.Inverse, num: int) -> Tensor:
    """Which candidates are left when those that the objective misses least have been removed.

    Args:
        problem: The n candidates in M, and the objective.
        inverse: M₀⁻¹, without any of the candidates.
        num: How many should be left, at most n.

    Returns:
        A mask ``(n,)``; of equal losses, the first is removed.

    Memory: 4·n²·r² and 3·KD·n·r entries, in float64.

    Example:
        >>> from dal.functional.bait_objective import problem
        >>> h, a = torch.tensor([[0.0, 1.0], [0.0, 3.0]]), torch.full((2, 1, 1), 0.5)
        >>> start = problem(h, a, h[:0], a[:0], num=1)
        >>> inverse = start.invert(torch.tensor([], dtype=torch.long))
        >>> survivors(start.take(torch.tensor([1, 0])), inverse, num=1)
        tensor([ True, False])
    """
    num_chosen, _, rank = problem.factors.shape
    if num == num_chosen:
        return torch.ones(num, dtype=torch.bool, device=problem.factors.device)
    return last_of(*_start(problem, inverse), rank, num)


def last_of(n: Tensor, r: Tensor, rank: int, num: int) -> Tensor:
    """The same, from N and R while M contains all n candidates.

    Args:
        n: N, ``(n·r, n·r)``, float64; updated in place.
        r: R, ``(n·r, n·r)``, float64; updated in place.
        rank: r of a candidate.
        num: How many should be left, at most n.

    Memory: 2·PENDING_STEPS·n·r² entries beside N and R.

    Example:
        Of three candidates that know nothing of each other, the one with the most is kept.

        >>> n = torch.diag(torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64))
        >>> r = torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64))
        >>> last_of(n, r, rank=1, num=1)
        tensor([False,  True, False])
    """
    size = len(n)
    num_chosen = size // rank
    is_kept = torch.ones(num_chosen, dtype=torch.bool, device=n.device)
    n_diagonal, r_diagonal = diagonal_blocks(n, rank), diagonal_blocks(r, rank)  # (n, r, r)
    x, y = n.new_empty(2, size, PENDING_STEPS * rank)
    for step in range(num_chosen - num):
        num_pending = step % PENDING_STEPS
        if step and not num_pending:
            # A product serves all steps since the last one; each by itself would read N and R, or
            # all earlier steps, again.
            n.addmm_(x, x.mT, alpha=-1)
            r.addmm_(x, y.mT, alpha=-1).addmm_(y, x.mT, alpha=-1)
        # At scales that no digits resolve a loss may be NaN or negative.
        losses = _losses(n_diagonal, r_diagonal).nan_to_num_(nan=torch.inf, posinf=torch.inf)
        lowest = losses[is_kept].min()
        # Of losses that are equal but for rounding the first.
        are_least = is_kept & (losses <= lowest + EQUAL * lowest.abs())
        least = int(are_least.int().argmax())
        rows, done = slice(least * rank, (least + 1) * rank), slice(0, num_pending * rank)
        # The present columns of the candidate, (n·r, r).
        n_columns = n[:, rows] - x[:, done] @ x[rows, done].mT
        r_columns = r[:, rows] - x[:, done] @ y[rows, done].mT - y[:, done] @ x[rows, done].mT
        g = bait_inverse.inverse_root(n_columns[rows])  # (r, r)
        new = slice(num_pending * rank, (num_pending + 1) * rank)
        x[:, new] = n_columns @ g
        y[:, new] = r_columns @ g - x[:, new] @ (g.mT @ r_columns[rows] @ g) / 2
        by_row = (num_chosen, rank, rank)
        x_blocks, y_blocks = x[:, new].reshape(by_row), y[:, new].reshape(by_row)
        cross = x_blocks @ y_blocks.mT
        n_diagonal -= x_blocks @ x_blocks.mT
        r_diagonal -= cross + cross.mT
        is_kept[least] = False
    return is_kept


def _start(problem: Problem, inverse: bait_inverse.Inverse) -> tuple[Tensor, Tensor]:
    """N and R while M contains all candidates, ``(n·r, n·r)`` each."""
    features, factors = problem.features[:].double(), problem.factors.double()
    f = problem.mean_information
    v = fisher.embeddings(features, factors)  # (n, KD, r)
    u = inverse.times(v.transpose(0, 1).flatten(1))  # M₀⁻¹ V, (KD, n·r)
    del v
    s = fisher.projections(features, factors, u).flatten(0, 1)  # A
    n = complement(s)
    u = u @ n  # M⁻¹ V
    return n, (u.to(f.dtype).mT @ f).double() @ u


def complement(a: Tensor) -> Tensor:
    """N = (I + A)⁻¹ for A ``(n·r, n·r)``, symmetric but for its rounding.

    Example:
        >>> complement(torch.diag(torch.tensor([1.0, 3.0]))).diagonal()
        tensor([0.5000, 0.2500])
    """
    s = (a + a.mT) / 2
    s.diagonal().add_(1)
    return torch.cholesky_inverse(bait_inverse.positive_cholesky(s))


def diagonal_blocks(matrix: Tensor, rank: int) -> Tensor:
    """A copy of the r × r blocks on the diagonal, ``(n, r, r)``.

    Example:
        >>> diagonal_blocks(torch.arange(16).view(4, 4), rank=2).tolist()
        [[[0, 1], [4, 5]], [[10, 11], [14, 15]]]
    """
    num = len(matrix) // rank
    blocks = matrix.view(num, rank, num, rank)
    return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1).clone()  # (r, r, n) -> (n, r, r)


def _losses(n: Tensor, r: Tensor) -> Tensor:
    """tr( N⁻¹ R ) of each candidate, ``(n,)``.

    N of a candidate is I less what all others leave of its information. Where rounding makes it
    indefinite, M has this information from no other candidate: removing it would cost most.
    """
    if n.shape[-1] == 1:
        return torch.where(n > 0, r / n, torch.inf).flatten()
    cholesky, info = torch.linalg.cholesky_ex(n)
    is_lost = (info > 0)[:, None, None]
    cholesky = torch.where(is_lost, torch.eye(n.shape[-1]).to(n), cholesky)
    losses = (torch.cholesky_inverse(cholesky) * r).sum((-2, -1))  # (n, r, r) -> (n,)
    return losses.masked_fill_(is_lost.flatten(), torch.inf)
