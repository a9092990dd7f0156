"""BAIT in its dual form: all products of the examples with each other, and no (KD × KD) matrix.

Let the columns of V be the embeddings of all n examples side by side, those of the pool and then
the labeled ones, which are Z, all scaled as a candidate is. In the terms of
:mod:`dal.functional.bait_objective` M₀ = λI + ω Z Zᵀ, where ω is the weight of a labeled example by
that of a candidate, and F = δ V Vᵀ, where δ is 1/n by the weight of a candidate. The search needs
of M its *covariances* alone, C = Vᵀ M⁻¹ V, of (n·r)² entries:

    Vᵀ T V = Vᵀ M⁻¹ (δ V Vᵀ) M⁻¹ V = δ C²,

so that P and Q are the r × r blocks on the diagonals of C and δ C². By Woodbury's identity,
M₀⁻¹ = λ⁻¹ (I − Z S⁻¹ Zᵀ) with S = (λ/ω) I + ZᵀZ. So at the start

    C = λ⁻¹ (VᵀV − VᵀZ S⁻¹ ZᵀV),   of its labeled columns   VᵀM⁻¹Z = λ⁻¹ VᵀZ S⁻¹ (S − ZᵀZ)
                                                                   = ω⁻¹ VᵀZ S⁻¹.

Multiplying the directions U = M⁻¹Vⱼ G and W = TVⱼ G − ½ U Gᵀ Qⱼ G of a step by Vᵀ gives its X and Y
for all examples from the columns of candidate j in both matrices,

    X = C_{·j} G,   Y = δ (C²)_{·j} G − ½ X Gᵀ Qⱼ G,   C ← C − X Xᵀ,   δ C² ← δ C² − (X Yᵀ + Y Xᵀ).

Columns of the labeled examples enter C² only; none of them is ever asked for. Everything is
computed in float64, but for columns of C².

References:
    [Ash2021] Ash et al. (2021), "Gone Fishing: Neural Active Learning with Fisher Embeddings".
    [Huseljic2024] Huseljic et al. (2024), "Fast Fishing", equation 4.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import bait_backward, bait_inverse, bait_objective, fisher
from dal.functional.bait_objective import DEFAULT, CandidateTerms, Hyperparameters, Selection
from dal.functional.rows import Rows

BLOCK_COLUMNS = 512  # columns of V for which covariances are computed at a time
HISTORY_COLUMNS = 512  # of X, before it is subtracted from the covariances
BATCH_COLUMNS = 32  # of C² that are computed at a time

# Candidates whose gains differ by less than their rounding are compared by exact gains.
MAX_RIVAL_COLUMNS = 64
ERROR_MARGIN = 4
ERROR_LIMIT = 1e-3  # relative error of the best gain, above which all gains are computed again


class Problem(NamedTuple):
    """Candidates and labeled examples, scaled as a candidate is; in float64.

    Attributes:
        features: h of the pool and then of the labeled examples, ``(n, D)``.
        factors: Their A, ``(n, K, r)``.
        num_pool: N.
        lmbda: λ.
        labeled_weight: ω.
        density: δ.
    """

    features: Tensor
    factors: Tensor
    num_pool: int
    lmbda: float
    labeled_weight: float
    density: float

    @property
    def rank(self) -> int:
        """Columns of an embedding, r."""
        return self.factors.shape[-1]

    def restricted_to(self, chosen: Tensor) -> "Problem":
        """The same objective, with only some of the candidates.

        Args:
            chosen: Their positions, ``(m,)``.
        """
        labeled = torch.arange(self.num_pool, len(self.features), device=chosen.device)
        rows = torch.cat([chosen, labeled])
        return self._replace(
            features=self.features[rows], factors=self.factors[rows], num_pool=len(chosen)
        )


def select(
    features: Rows,
    factors: Tensor,
    labeled_features: Tensor,
    labeled_factors: Tensor,
    num: int,
    hyperparameters: Hyperparameters = DEFAULT,
    report: Callable[[int, int], None] | None = None,
) -> Selection:
    """What :func:`dal.functional.bait.select` selects, at a cost that hardly depends on K and D.

    Args:
        features: Of the pool, ``(N, D)``; all are read into memory.
        factors: Of the pool, ``(N, K, r)``, from :mod:`dal.functional.fisher`.
        labeled_features: ``(L, D)``; L may be 0.
        labeled_factors: ``(L, K, r)``.
        num: Size of the batch B, in [1, N].
        hyperparameters: λ, the oversampling and the reduction.
        report: As in :func:`dal.functional.bait.select`.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: see :func:`dal.functional.bait_cost.dual_bytes`.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> factors = fisher.binary_factors(torch.full((3, 2), 0.5))
        >>> select(features, factors, features[:0], factors[:0], num=1)
        Selection(positions=tensor([2]), gains=tensor([0.5769]))
    """
    if not 1 <= num <= len(features):
        raise ValueError(f"Expected `num` in [1, {len(features)}], got {num}.")
    num_labeled = len(labeled_features)
    weight = num / (num_labeled + num)  # of a candidate's information in M
    problem = Problem(
        torch.cat([features[:], labeled_features]).double(),
        torch.cat([factors, labeled_factors]).double().mul_(weight**0.5),
        num_pool=len(features),
        lmbda=hyperparameters.lmbda,
        labeled_weight=hyperparameters.labeled_weight(num_labeled, num) / weight,
        density=1 / ((len(features) + num_labeled) * weight),
    )
    num_forward = min(hyperparameters.oversample * num, len(features))
    search = _ForwardPass(problem, num_forward, features.dtype)
    for step in range(num_forward):
        search.add()
        if report is not None:
            report(step + 1, num_forward)
    positions = torch.tensor(search.positions, device=features.device)
    gains = torch.tensor(search.gains).to(features.device, features.dtype)
    if num < num_forward:
        u = search.columns(positions).mT  # VᵀM⁻¹ of the chosen, (n·r, m·r)
        del search
        r = problem.density * (u.mT @ u)
        of_chosen = covariances(problem.restricted_to(positions))[: len(r)]
        n = bait_backward.complement(of_chosen)
        is_kept = bait_backward.last_of(n, r, problem.rank, num)
        positions, gains = positions[is_kept], gains[is_kept]
    return Selection(positions, gains)


def covariances(problem: Problem) -> Tensor:
    """C = VᵀM₀⁻¹V, but for its labeled columns, ``(n·r, N·r)``: about (n·r)²·(L·r + D + K) flops.

    Memory: that, two matrices ``(L·r, N·r)``, and the scratch of a block.

    Example:
        >>> h, a = torch.tensor([[2.0], [3.0]]).double(), torch.ones(2, 1, 1).double()
        >>> covariances(Problem(h, a, 1, lmbda=1.0, labeled_weight=1.0, density=0.5))
        tensor([[0.4000],
                [0.6000]], dtype=torch.float64)
    """
    rank, num_pool, num_rows = problem.rank, problem.num_pool, len(problem.features)
    size = num_pool * rank  # N·r

    def examples(start: int, stop: int) -> tuple[Tensor, Tensor]:
        return problem.features[start:stop], problem.factors[start:stop]

    c = problem.features.new_empty(num_rows * rank, size)
    root = c.new_empty(0, size)  # E with EᵀE = λ⁻¹ VᵀZ S⁻¹ ZᵀV
    if num_pool < num_rows:
        s = fisher.gram(*examples(num_pool, num_rows))
        s.diagonal().add_(problem.lmbda / problem.labeled_weight)
        cholesky = bait_inverse.positive_cholesky(s)
        cross = fisher.cross_gram(examples(num_pool, num_rows), examples(0, num_pool))
        root = torch.linalg.solve_triangular(cholesky, cross, upper=False)  # (L·r, N·r)
        del cross
        c[size:] = torch.linalg.solve_triangular(cholesky.mT, root, upper=True)
        c[size:] /= problem.labeled_weight
        root /= problem.lmbda**0.5
    for start, stop in _blocks(num_pool, rank):
        first, last = start * rank, stop * rank
        block = fisher.cross_gram(examples(start, stop), examples(start, num_pool))
        block /= problem.lmbda
        block.addmm_(root[:, first:last].mT, root[:, first:], alpha=-1)
        c[first:last, first:] = block
        c[last:size, first:last] = block[:, last - first :].mT
    return c


class ExactTerms(NamedTuple):
    """P and Q of some candidates from their columns of C.

    Attributes:
        p: ``(m, r, r)``.
        q: ``(m, r, r)``.
        gains: ``(m,)``.
        columns: Transposed, ``(m, r, n·r)``.
    """

    p: Tensor
    q: Tensor
    gains: Tensor
    columns: Tensor


class _ForwardPass:
    """Adds the candidate that lowers tr(M⁻¹F) most, again and again.

    P and Q of all candidates are updated and lose digits, which ``unit`` estimates as in
    :mod:`dal.functional.bait`. So they only propose candidates; P and Q from the columns of these
    decide.

    Attributes:
        positions: Of the candidates added, in that order.
        gains: What each lowered the objective by.
    """

    unit: float

    def __init__(self, problem: Problem, num: int, dtype: torch.dtype) -> None:
        self.rank, self.density = problem.rank, problem.density
        self.size = problem.num_pool * problem.rank  # N·r
        self.positions: list[int] = []
        self.gains: list[float] = []
        self.covariances = covariances(problem)  # without the steps in x
        history = min(num, max(1, HISTORY_COLUMNS // self.rank)) * self.rank
        self.x = self.covariances.new_empty(history, len(self.covariances))  # Xᵀ of the steps
        self.y = self.covariances.new_empty(history, self.size)  # Yᵀ, of the pool alone
        self.is_chosen = torch.zeros(problem.num_pool, dtype=torch.bool, device=self.x.device)
        self.rounded = self.covariances.to(dtype)
        self._compute_terms()

    def add(self) -> None:
        """Adds one candidate."""
        if self.num_columns == len(self.x):
            self._absorb_steps()
        gains = self._gains()
        rivals = gains.argmax(keepdim=True)
        exact = self._exact_terms(rivals)
        if self._error(rivals, gains, exact) > ERROR_LIMIT and self.num_columns:
            self._absorb_steps()
            gains = self._gains()
            rivals = gains.argmax(keepdim=True)
            exact = self._exact_terms(rivals)
            self._error(rivals, gains, exact)
        row = 0
        rounding = self.terms.rounding(gains.clamp_min(0))
        highest = gains + ERROR_MARGIN * self.unit * rounding
        is_rival = (highest >= exact.gains) & ~self.is_chosen
        if is_rival.sum() > 1:
            rivals = is_rival.nonzero().flatten()
            max_rivals = max(1, MAX_RIVAL_COLUMNS // self.rank)
            if len(rivals) > max_rivals:
                rivals = rivals[highest[rivals].topk(max_rivals).indices.sort().values]
            exact = self._exact_terms(rivals)
            self._error(rivals, gains, exact)
            # Of candidates that are equal but for rounding the first.
            best = exact.gains.max()
            row = int((exact.gains >= best - 1e-12 * best.abs()).int().argmax())
        position = int(rivals[row])
        self._update(position, exact, row, gains)
        self.is_chosen[position] = True
        self.positions.append(position)
        self.gains.append(float(exact.gains[row]))

    def _gains(self) -> Tensor:
        """Of all candidates that may be added, from the updated terms, ``(N,)``."""
        return self.terms.gains().masked_fill_(self.is_chosen, -torch.inf)

    def _exact_terms(self, positions: Tensor) -> ExactTerms:
        """The terms of some candidates from their columns, for the present M."""
        columns = self.columns(positions).unflatten(0, (-1, self.rank))  # (m, r, n·r)
        p = torch.stack([c[:, self._own(i)] for c, i in zip(columns, positions, strict=True)])
        q = self.density * (columns @ columns.mT)  # (m, r, r)
        return ExactTerms(p, q, bait_objective.gains(p, q), columns)

    def _error(self, positions: Tensor, gains: Tensor, exact: ExactTerms) -> float:
        """The largest relative error of the gains of some candidates; ``unit`` learns from it."""
        error = (gains[positions] - exact.gains).abs()
        tiny = torch.finfo(error.dtype).tiny
        rounding = self.terms.take(positions).rounding(exact.gains.clamp_min(0))
        self.unit = max(self.unit, float((error / rounding.clamp_min(tiny)).max()))
        return float((error / exact.gains.clamp_min(tiny)).max())

    def columns(self, positions: Tensor) -> Tensor:
        """(C_{·i})ᵀ of some candidates for the present M, ``(m·r, n·r)``."""
        own = (positions[:, None] * self.rank + torch.arange(self.rank).to(positions)).flatten()
        # Of the pool, C is symmetric: its rows are next to each other in memory.
        columns = torch.cat([self.covariances[own], self.covariances[self.size :, own].mT], 1)
        x = self.x[: self.num_columns]
        return columns.addmm_(x[:, own].mT, x, alpha=-1)

    def _own(self, position: Tensor | int) -> slice:
        """The columns of a candidate."""
        return slice(int(position) * self.rank, (int(position) + 1) * self.rank)

    def _compute_terms(self) -> None:
        """Computes P and Q of all candidates from the covariances."""
        c, rank = self.covariances, self.rank
        p = bait_backward.diagonal_blocks(c[: self.size], rank)  # (N, r, r)
        q = torch.zeros_like(p)
        for rows in fisher.chunks(c, self.size):
            by_candidate = c[rows].unflatten(1, (-1, rank)).transpose(0, 1)  # (N, b, r)
            q.baddbmm_(by_candidate.mT, by_candidate, alpha=self.density)
        self.terms = CandidateTerms(p, q, *(t.diagonal(dim1=1, dim2=2).sum(-1) for t in (p, q)))
        self.unit = torch.finfo(p.dtype).eps
        self.num_columns = 0
        self.batch: list[int] = []  # candidates whose columns of δ C² are in `squares`

    def _absorb_steps(self) -> None:
        """Subtracts the steps from the covariances, and computes the terms again."""
        x = self.x[: self.num_columns]
        for first in range(0, len(self.covariances), BLOCK_COLUMNS):
            rows = slice(first, first + BLOCK_COLUMNS)
            self.covariances[rows].addmm_(x[:, rows].mT, x[:, : self.size], alpha=-1)
            self.rounded[rows] = self.covariances[rows]
        self._compute_terms()

    def _update(self, position: int, exact: ExactTerms, row: int, gains: Tensor) -> None:
        """Updates P and Q of all candidates for a step.

        Args:
            position: Of the candidate that is added.
            exact: Its terms, among others.
            row: Its row in them.
            gains: Of all candidates before the step.
        """
        p, q, columns = exact.p[row], exact.q[row], exact.columns[row]
        g = bait_inverse.inverse_root(torch.eye(self.rank).to(p) + p)  # (r, r)
        own, done = self._own(position), slice(0, self.num_columns)
        new = slice(self.num_columns, self.num_columns + self.rank)
        square = self._square(position, gains)  # (r, N·r)
        square -= self.y[done, own].mT @ self.x[done, : self.size]
        square -= self.x[done, own].mT @ self.y[done]
        x = torch.mm(g.mT, columns, out=self.x[new])[:, : self.size]
        y = torch.mm(g.mT, square, out=self.y[new])
        y -= (g.mT @ q @ g / 2) @ x
        self.num_columns += self.rank
        x, y = (t.unflatten(1, (-1, self.rank)).permute(1, 2, 0) for t in (x, y))  # (N, r, r)
        cross = x @ y.mT
        self.terms.p.sub_(x @ x.mT)
        self.terms.q.sub_(cross + cross.mT)

    def _square(self, position: int, gains: Tensor) -> Tensor:
        """The candidate's columns of δ C², transposed, without the steps in x, ``(r, N·r)``.

        Reading C takes most of the time. So they are computed together with those of the
        candidates that are best now, one of which is likely to be added next; and in the dtype of
        the features, since they only propose candidates.
        """
        if position not in self.batch:
            num = max(1, BATCH_COLUMNS // self.rank)
            best = gains.topk(min(num, len(gains))).indices.tolist()
            self.batch = [position, *(i for i in best if i != position)][:num]
            num_columns, self.num_columns = self.num_columns, 0
            columns = self.columns(torch.tensor(self.batch, device=gains.device))
            self.num_columns = num_columns
            scale = columns.abs().max()  # products of float32 that cannot overflow
            products = (columns / scale).to(self.rounded) @ self.rounded  # (m·r, N·r)
            self.squares = products.double().mul_(scale * self.density)
        return self.squares[self._own(self.batch.index(position))].clone()


def _blocks(num_rows: int, rank: int) -> Iterator[tuple[int, int]]:
    """Starts and ends of consecutive rows with about BLOCK_COLUMNS columns."""
    size = max(1, BLOCK_COLUMNS // rank)
    for start in range(0, num_rows, size):
        yield start, min(start + size, num_rows)
