"""Greedy coverage of a pool by a Gaussian kernel, which is never stored.

Of unit rows x, y the kernel is k(x, y) = exp(−(‖x − y‖ / h)²). A row i is covered to the degree
mᵢ, its highest kernel value with a labeled or chosen row. The gain of a candidate j is
Σᵢ uᵢ max(k(i, j) − mᵢ, 0), and each step takes the candidate of the highest gain.

Gains only fall as rows are chosen, so a gain of an earlier step is an upper bound, and most
candidates need no look in a step [Minoux1978]. In a pool of a million rows too many do; there a
step can look at some drawn candidates only, at little loss [Mirzasoleiman2015]. What is kept here
are upper bounds even of the rounding: the products of a block are in float32, and every kernel
value is raised by what their rounding may have taken from it. The gains that decide are computed in
float64 from the differences of rows. So the choice is that of float64, whatever the chunks and the
number of threads.

References:
    [Bae2024] Bae et al. (2024), "Generalized coverage for more robust low-budget active learning".
    [Bae2025] Bae et al. (2025), "Uncertainty herding: one active learning method for all label
    budgets".
    [Minoux1978] Minoux (1978), "Accelerated greedy algorithms for maximizing submodular set
    functions".
    [Mirzasoleiman2015] Mirzasoleiman et al. (2015), "Lazier than lazy greedy".
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import gaussian, ranking
from dal.functional.rows import size_on

# Of a block of kernel values: a CPU's fits the cache, and a GPU's is work for longer than a launch.
TARGET_ROWS = {"cpu": 1 << 10, "cuda": 1 << 13}
CHUNK_PAIRS = {"cpu": 1 << 12, "cuda": 1 << 17}  # of rows whose differences are formed at once
CANDIDATES = 256  # that are looked at again together
FIRST_CANDIDATES = 1024

# From this share of pairs on, float64 products are cheaper than differences of rows.
DENSE = 1 / 16
FEW = 4

# Gains this close to each other, relatively, are equal: two rows that cover nothing but each other
# have the same gain, and rounding should not decide between them.
TIE = 1e-12


class Selection(NamedTuple):
    """Rows in the order in which they were chosen.

    Attributes:
        positions: ``(B,)``, int64, distinct.
        gains: Of each when it was chosen, ``(B,)``, float64; an estimate if targets were sampled.
    """

    positions: Tensor
    gains: Tensor


def select(
    features: Tensor,
    labeled: Tensor,
    weights: Tensor,
    num: int,
    bandwidth: float,
    targets: Tensor | None = None,
    epsilon: float = 0.0,
    generator: torch.Generator | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Selection:
    """The rows that cover the pool best, one after the other.

    Gains that agree to a relative 1e-12 with the highest are ties, and the lowest row is taken.

    Labeled rows are no targets here although the definition counts them: each is covered to the
    degree k = 1, which no other row exceeds, so that their terms are 0.

    With some targets only, a gain is estimated. The term of the candidate itself is always known,
    and with a small bandwidth it is most of the gain; the sum over the N − 1 others is N − 1 times
    its mean over the targets other than the candidate. The estimate is unbiased for targets that
    are drawn uniformly, and exact for all.

    With ``epsilon`` > 0 each step looks at N/B·ln(1/ε) rows, drawn with replacement, and at up to
    256 of the highest bounds among those seen before. In expectation the batch then covers
    1 − 1/e − ε of what the best one would, where 1 − 1/e is certain with all rows. The time has a
    bound that does not depend on how close gains are.

    Args:
        features: Of the pool, ``(N, D)``, of any length; they are scaled to length 1.
        labeled: Features of the labeled examples, ``(L, D)``, L >= 0.
        weights: u, at least 0, ``(N,)``.
        num: B, how many rows to select, in [1, N].
        bandwidth: h, above 0.
        targets: Distinct rows that the sum is taken over, ``(T,)``, int64 ascending; all if None.
        epsilon: ε, in [0, 1); 0 looks at all candidates in each step.
        generator: Of the candidates that are drawn; on the CPU.
        report: Is told how many rows have their first bound, then how many are chosen, and of all.

    Raises:
        ValueError: If a number is out of range, or there are no targets.

    Memory: a copy of the features in float32, 40 bytes for each row and target, blocks of 4 MiB
    (256 on a GPU), and a copy of the targets if they are some only.

    Example:
        >>> pool = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
        >>> select(pool, torch.empty(0, 2), torch.ones(3), num=2, bandwidth=1.0)
        Selection(positions=tensor([1, 0]), gains=tensor([2.1353, 0.8647], dtype=torch.float64))
    """
    num_rows = len(features)
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    if not bandwidth > 0:
        raise ValueError(f"Expected `bandwidth` above 0, got {bandwidth}.")
    if targets is not None and len(targets) == 0:
        raise ValueError("Expected at least one row in `targets`, got none.")
    if not 0 <= epsilon < 1:
        raise ValueError(f"Expected `epsilon` in [0, 1), got {epsilon}.")
    search = _Search(features, labeled, weights.double(), bandwidth, targets)
    num_drawn = math.ceil(num_rows / num * -math.log(epsilon)) if epsilon else num_rows
    are_drawn = num_drawn < num_rows
    if not are_drawn:
        search.bound_all(report)
    gains = []
    for step in range(num):
        candidates = search.drawn(num_drawn, generator) if are_drawn else None
        gains.append(search.step(candidates))
        if report is not None:
            report(step + 1, num)
    return Selection(torch.tensor(search.chosen, device=features.device), torch.stack(gains))


class _Search:
    """The greedy search: an upper bound of every gain, and how it was computed.

    Attributes:
        chosen: The rows chosen so far.
        bounds: Of the gains, ``(N,)``, float64; ∞ before the first look, −∞ for chosen rows.
        level: How each bound was computed, ``(N,)``: in an earlier step (0), or in this one from
            float32 products (1), float64 products (2), or differences, as a gain (3).
    """

    def __init__(
        self,
        features: Tensor,
        labeled: Tensor,
        weights: Tensor,
        bandwidth: float,
        targets: Tensor | None,
    ) -> None:
        num_rows, device = len(features), features.device
        self.features = features
        self.weights = weights
        self.bandwidth = bandwidth
        self.block_rows = size_on(device, TARGET_ROWS)
        self.chunk_pairs = size_on(device, CHUNK_PAIRS)
        self.all_rows = torch.arange(num_rows, device=device)
        self.are_all = targets is None or len(targets) == num_rows
        self.targets = self.all_rows if targets is None else targets.to(device)
        self.labeled = gaussian.unit_rows(labeled)
        self.overshoot = gaussian.overshoot(features.shape[1], bandwidth)
        self.scaled, self.offsets = gaussian.scaled(features, bandwidth, torch.float32)
        # Of the targets, as bounds need them in float32: covers rounded down, weights up.
        self.target_rows = self.scaled if self.are_all else self.scaled[self.targets]
        self.cover = self._cover_by(self.labeled, self.targets, torch.float64)  # (T,)
        self.low_cover = gaussian.rounded_down(self.cover)
        self.high_weights = gaussian.rounded_up(weights[self.targets])

        # gain = factor · (sum over targets) + own_factor · (term of the candidate itself)
        num_targets, others = len(self.targets), num_rows - 1
        self.factor = torch.full_like(weights, 1.0 if self.are_all else others / num_targets)
        self.own_factor = torch.full_like(weights, 0.0 if self.are_all else 1.0)
        self.own_cover = torch.zeros_like(weights)
        if not self.are_all:
            self.factor[self.targets] = others / (num_targets - 1) if num_targets > 1 else 0.0
            self.own_factor[self.targets] -= self.factor[self.targets]
            self.own_cover = self._cover_by(self.labeled, self.all_rows, torch.float32)
            self.own_cover[self.targets] = self.cover

        self.chosen: list[int] = []
        self.centres = features.new_empty(0, features.shape[1], dtype=torch.float64)  # the chosen
        self.level = torch.zeros(num_rows, dtype=torch.int8, device=device)
        self.bounds = torch.full_like(weights, math.inf)

    def bound_all(self, report: Callable[[int, int], None] | None) -> None:
        """Computes the first bounds of all candidates."""
        self.bounds = self._gains(self.all_rows, self._first_sums(report))
        self.level.fill_(1)

    def drawn(self, num: int, generator: torch.Generator | None) -> Tensor:
        """Rows not chosen yet, ascending: drawn ones, and the highest of those seen before."""
        is_seen = self.bounds < math.inf
        num_best = min(CANDIDATES, num, int(is_seen.sum()))
        best = self.bounds.where(is_seen, -math.inf).topk(num_best).indices
        while True:
            draws = torch.randint(len(self.bounds), (num,), generator=generator)
            rows: Tensor = torch.cat([best, draws.to(best.device)]).unique()
            rows = rows[self.bounds[rows] > -math.inf]
            if len(rows):
                return rows

    def step(self, candidates: Tensor | None) -> Tensor:
        """Chooses a row of some, or of all, and returns its gain, float64."""
        all_rows = self.all_rows if candidates is None else candidates
        if candidates is not None:
            unseen = candidates[self.bounds[candidates] == math.inf]
            for part in unseen.split(FIRST_CANDIDATES):
                self._refresh(part, torch.float32)
        best, gain, is_dense = -1, -math.inf, False
        while True:
            bounds, level = self._of(candidates)
            may_tie = (bounds >= gain * (1 - TIE)) & (all_rows < best)
            may_win = (bounds > gain) | may_tie
            rows = all_rows[may_win & (level < 3)]
            if len(rows) == 0:
                return self._choose(best, candidates is None)
            rows = rows[_highest(self.bounds[rows], min(CANDIDATES, len(rows)))]
            stale = rows[self.level[rows] == 0]
            if len(stale):
                self._refresh(stale, torch.float32)
                continue
            if best < 0:
                rows = rows[:1]
            elif is_dense and len(rows) > FEW and (self.level[rows] < 2).any():
                self._refresh(rows[self.level[rows] < 2], torch.float64)
                continue
            is_dense = self._resolve(rows) > DENSE or is_dense
            gain = max(gain, float(self.bounds[rows].max()))
            bounds, level = self._of(candidates)
            are_best = (level == 3) & (bounds >= gain * (1 - TIE))
            best = int(all_rows[int(are_best.nonzero()[0])])

    def _of(self, candidates: Tensor | None) -> tuple[Tensor, Tensor]:
        """The bounds of some rows, or of all, and how they were computed."""
        if candidates is None:
            return self.bounds, self.level
        return self.bounds[candidates], self.level[candidates]

    def _choose(self, row: int, are_all: bool) -> Tensor:
        gain = self.bounds[row].clone()
        self.chosen.append(row)
        self.centres = torch.cat([self.centres, gaussian.unit_rows(self.features[row : row + 1])])
        self.bounds[row] = -math.inf
        candidate = torch.tensor([row], device=self.bounds.device)
        before = self.cover.clone()
        for first in range(0, len(self.targets), self.block_rows):
            _, rows, kernel = self._pairs(candidate, slice(first, first + self.block_rows))
            self.cover[first + rows] = torch.maximum(self.cover[first + rows], kernel)
        self.low_cover = gaussian.rounded_down(self.cover)
        if not self.are_all:
            self.own_cover[self.targets] = self.cover
        if are_all:
            self._lower_bounds((self.cover > before).nonzero().flatten(), before)
        else:  # the next step looks at others
            self.level.zero_()
        return gain

    def _lower_bounds(self, changed: Tensor, before: Tensor) -> None:
        """Takes from the highest bounds what a choice has taken from the gains, or most of it.

        That is Σ u min(max(k − m, 0), m' − m) over the targets whose cover rose from m to m', which
        are few. As many bounds are lowered as cost what a refresh of 256 would; the others are
        bounds of an earlier step from now on.

        Args:
            changed: Which targets, ``(A,)``.
            before: The cover of all targets before the choice, ``(T,)``.
        """
        num = min(len(self.bounds), CANDIDATES * len(self.targets) // max(1, len(changed)))
        rows = self.bounds.topk(num).indices
        is_present = self.level[rows] > 0
        self.level.zero_()
        self.level[rows] = is_present.to(self.level.dtype)
        candidates = (self.scaled[rows], self.offsets[rows])
        lost = self.bounds.new_zeros(num)
        for part in changed.split(self.block_rows):
            targets = (self.target_rows[part], self.offsets[self.targets[part]])
            kernel = gaussian.kernel_bound(*targets, *candidates, -self.overshoot)
            kernel.sub_(gaussian.rounded_up(before[part])[:, None]).clamp_min_(0)
            rise = gaussian.rounded_down(self.cover[part] - before[part])
            weights = gaussian.rounded_down(self.weights[self.targets[part]])
            lost += weights @ torch.minimum(kernel, rise[:, None], out=kernel)
        loss = self.factor[rows] * lost / gaussian.sum_slack(self.block_rows, torch.float32)
        if not self.are_all:  # a target's own term is in `lost` too
            own_loss = torch.zeros_like(self.bounds)
            own_loss[self.targets] = self.weights[self.targets] * (self.cover - before)
            loss += self.own_factor[rows] * own_loss[rows]
        self.bounds[rows] -= loss

    def _refresh(self, rows: Tensor, dtype: torch.dtype) -> None:
        """Bounds of some candidates as they are now."""
        if not self.are_all and self.chosen:
            present = self._cover_by(self.centres, rows, torch.float32)
            self.own_cover[rows] = torch.maximum(self.own_cover[rows], present)
        bounds = self._gains(rows, self._bounds_of_sums(rows, dtype))
        self.bounds[rows] = self.bounds[rows].minimum(bounds)
        self.level[rows] = 1 if dtype == torch.float32 else 2

    def _resolve(self, rows: Tensor) -> float:
        """Gains of some candidates; returns the share of pairs that had to be looked at."""
        sums, num_pairs = self.cover.new_zeros(len(rows)), 0
        for first in range(0, len(self.targets), self.block_rows):
            block = slice(first, first + self.block_rows)
            cover, weights = self.cover[block], self.weights[self.targets[block]]
            columns, targets, kernel = self._pairs(rows, block)
            terms = cover.new_zeros(len(rows), len(cover))
            terms[columns, targets] = weights[targets] * (kernel - cover[targets]).clamp_min(0)
            sums += terms.sum(1)  # blocks are added in order, whatever the other candidates
            num_pairs += len(kernel)
        if not self.are_all:
            centres = torch.cat([self.labeled, self.centres])
            self.own_cover[rows] = self._cover_by(centres, rows, torch.float64)
        self.bounds[rows] = self._gains(rows, sums)
        self.level[rows] = 3
        return num_pairs / (len(rows) * len(self.targets))

    def _gains(self, rows: Tensor, sums: Tensor) -> Tensor:
        own = self.weights[rows] * (1 - self.own_cover[rows])
        return self.factor[rows] * sums + self.own_factor[rows] * own

    def _cover_by(self, centres: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
        return gaussian.highest_kernel(self.features, rows, centres, self.bandwidth, dtype)

    def _pairs(self, candidates: Tensor, block: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs of a candidate and a target that it may cover better than it is covered.

        Returns:
            Which candidate, which target of the block, and the kernel value from the difference of
            the rows, each ``(P,)``.
        """
        kernel = gaussian.kernel_bound(
            *(self.scaled[candidates], self.offsets[candidates]),
            *(self.target_rows[block], self.offsets[self.targets[block]]),
        )  # (C, R)
        is_pair = kernel > self.low_cover[block]
        pairs = is_pair.nonzero()  # (P, 2)
        own = gaussian.unit_rows(self.features[candidates])
        is_met = is_pair.any(0)
        others = gaussian.unit_rows(self.features[self.targets[block][is_met]])
        place = is_met.cumsum(0) - 1  # of a target of the block in `others`
        squares = [
            (own[part[:, 0]] - others[place[part[:, 1]]]).square().sum(1)
            for part in pairs.split(self.chunk_pairs)
        ]
        return pairs[:, 0], pairs[:, 1], torch.exp(-torch.cat(squares) / self.bandwidth**2)

    def _bounds_of_sums(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Bounds of Σ u max(k − m, 0) over the targets, for some candidates, float64."""
        is_double = dtype == torch.float64
        candidates = (self.scaled[rows], self.offsets[rows])
        if is_double:
            candidates = gaussian.scaled(self.features[rows], self.bandwidth, dtype)
        sums = self.cover.new_zeros(len(rows))
        for first in range(0, len(self.targets), self.block_rows):
            block = slice(first, first + self.block_rows)
            if is_double:
                features = self.features[self.targets[block]]
                kernel = gaussian.kernel_bound(
                    *gaussian.scaled(features, self.bandwidth, dtype), *candidates
                )
                cover, weights = self.cover[block], self.weights[self.targets[block]]
            else:
                targets = (self.target_rows[block], self.offsets[self.targets[block]])
                kernel = gaussian.kernel_bound(*targets, *candidates)
                cover, weights = self.low_cover[block], self.high_weights[block]
            sums += weights @ kernel.sub_(cover[:, None]).clamp_(0, 1)
        return sums * gaussian.sum_slack(self.block_rows, dtype)

    def _first_sums(self, report: Callable[[int, int], None] | None) -> Tensor:
        """The bounds of all candidates; if all rows are targets, each product serves two blocks."""
        sums, num_rows = torch.zeros_like(self.weights), len(self.weights)
        if not self.are_all:
            for first in range(0, num_rows, FIRST_CANDIDATES):
                rows = self.all_rows[first : first + FIRST_CANDIDATES]
                sums[rows] = self._bounds_of_sums(rows, torch.float32)
                if report is not None:
                    report(first + len(rows), num_rows)
            return sums
        rows, offsets, cover, weights = (
            whole.split(self.block_rows)
            for whole in (self.scaled, self.offsets, self.low_cover, self.high_weights)
        )
        blocks = sums.split(self.block_rows)  # views: adding to them adds to the sums
        for i in range(len(blocks)):
            for j in range(i, len(blocks)):
                kernel = gaussian.kernel_bound(rows[i], offsets[i], rows[j], offsets[j])
                if j > i:
                    blocks[i].add_((kernel - cover[j]).clamp_(0, 1) @ weights[j])
                blocks[j].add_(weights[i] @ kernel.sub_(cover[i][:, None]).clamp_(0, 1))
            if report is not None:  # of n blocks the first is in n products, the last in one
                num_left = len(blocks) - 1 - i
                num_pairs = len(blocks) * (len(blocks) + 1) // 2
                report(num_pairs - num_left * (num_left + 1) // 2, num_pairs)
        return sums * gaussian.sum_slack(self.block_rows, torch.float32)


def _highest(bounds: Tensor, num: int) -> Tensor:
    """Positions of the highest bounds, highest first; ties go to the lower position."""
    least = bounds.topk(num).values[-1]
    above = (bounds > least).nonzero().flatten()
    tied = (bounds == least).nonzero().flatten()[: num - len(above)]
    return torch.cat([above[ranking.highest(bounds[above], len(above))], tied])
