"""What the labels of unlabeled examples would say about the weights: their mutual information.

Under S samples of the weights ω, an example x has the probabilities p_s(y) and

    I(y; ω) = H(mean_s p_s) − mean_s H(p_s).

For a batch the labels are independent under each sample, so that their joint probability is
mean_s Π_i p_s(y_i). Let a *configuration* c be labels of the batch so far, with the probability
q(c) = mean_s p_s(c). Given c, the samples have the weights w_s(c) = p_s(c) / Σ_t p_t(c), a further
example has the probabilities Σ_s w_s(c) p_s(y), and the chain rule gives what it adds:

    I(y; ω | batch) = Σ_c q(c) H(Σ_s w_s(c) p_s) − mean_s H(p_s).

So a batch is nothing but a list of weighted configurations, of which those of one example more
follow in a line: the weights of (c, y) are ∝ w_s(c) p_s(y), and its probability is
q(c) Σ_s w_s(c) p_s(y).

References:
    [Houlsby2011] Houlsby et al. (2011), "Bayesian active learning for classification and preference
    learning".
    [Kirsch2019] Kirsch et al. (2019), "BatchBALD: efficient and diverse batch acquisition for deep
    Bayesian active learning", sections 3 and 4.
    [Kirsch2021] Kirsch et al. (2021), "A simple baseline for batch active learning with stochastic
    acquisition functions".
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dal.functional import sampling, sharding
from dal.functional.sharding import Shares

CHUNK_ENTRIES = 1 << 19  # of the probabilities of rows under configurations: near the cache

# Gains that differ by less are the same but for the rounding of float32 probabilities.
TIE = 1e-6
# A bound is computed in float32: what it can lack of a gain that it should not be below.
BOUND_ERROR = 1e-4
NUM_FIRST_ROWS = 256  # evaluated first, those of the highest bounds
NUM_GROUPS = 64  # of configurations, in the second bound


def mutual_information(logits: Tensor) -> Tensor:
    """I(y; ω) of each row in nats, from its logits under S samples of the weights; at least 0.

    [Houlsby2011], equation 2. With g the logits less their maximum, the entropy of a sample is
    log Σ e^g − Σ p g, two terms of the same sign: nothing cancels, and there is no logarithm for
    each probability.

    Args:
        logits: ``(S, N, K)``.

    Returns:
        ``(N,)``, in the dtype of ``logits``.

    Memory: 3·S·N·K entries.

    Example:
        Two samples that are sure, of the same class, and of different ones:

        >>> first, second = [[99.0, 0.0], [99.0, 0.0]], [[99.0, 0.0], [0.0, 99.0]]
        >>> mutual_information(torch.tensor([first, second]))
        tensor([0.0000, 0.6931])
    """
    shifted = logits - logits.amax(-1, keepdim=True)
    exponentials = shifted.exp()
    totals = exponentials.sum(-1, keepdim=True)  # (S, N, 1)
    probs = exponentials.div_(totals)
    entropies = totals.squeeze(-1).log() - shifted.mul_(probs).sum(-1)  # (S, N)
    # Rounding can push the difference of equal entropies below zero.
    return (_entropies(probs.mean(0), 1) - entropies.mean(0)).clamp_(min=0)


def perturbed_logarithms(
    scores: Tensor, generator: torch.Generator, shares: Shares = sharding.ALONE
) -> Tensor:
    """Scores log s + Gumbel(0, 1), whose order is that of draws ∝ s without replacement.

    [Kirsch2021], section 3, with β = 1. Rows of score 0 come last, in random order.

    Args:
        scores: At least 0, ``(N,)``. Of several processes, each has those of its own share.
        generator: The randomness; on the CPU. Takes N float64.
        shares: The processes, each with whole chunks of CHUNK_ROWS rows.

    Returns:
        ``(N,)``, float64.

    Memory: one float64 for each row of all processes, of which each draws all.

    Example:
        >>> perturbed = perturbed_logarithms(torch.tensor([0.0, 1.0, 0.0]), torch.Generator())
        >>> perturbed.argmax()
        tensor(1)
    """
    # −log of an exponential variable is a Gumbel variable. It is between −4 and 750, and the
    # logarithm of `tiny` is −708: a score of 0 is below each that float32 can hold.
    tiny = torch.finfo(torch.float64).tiny
    num_rows, offset = shares.placed(len(scores))
    noise = torch.empty(num_rows, dtype=torch.float64).exponential_(generator=generator)
    noise = noise[offset : offset + len(scores)].clamp_(min=tiny)
    perturbed = scores.double().clamp(min=tiny)
    # In chunks, since the last digit of a logarithm depends on the place.
    for own, part in zip(*(x.split(sharding.CHUNK_ROWS) for x in (noise, perturbed)), strict=True):
        part.log_().sub_(own.log_().to(part.device))
    return perturbed


class Configurations(NamedTuple):
    """Labels that a batch may turn out to have.

    Attributes:
        weights: Of the samples given each configuration, ``(C, S)``, float64; rows sum to 1.
        probs: Of the configurations, ``(C,)``, float64; they sum to 1.
        are_all: Whether there are no others.
    """

    weights: Tensor
    probs: Tensor
    are_all: bool = True

    def grouped(self, num: int) -> "Configurations":
        """Neighboring configurations as one, at most ``num`` of them: what is known is coarser."""
        group = torch.arange(len(self.probs), device=self.probs.device)
        group = group * min(num, len(self.probs)) // len(self.probs)  # (C,)
        probs = self.probs.new_zeros(int(group[-1]) + 1).index_add_(0, group, self.probs)
        weights = self.weights.new_zeros(len(probs), self.weights.shape[1])
        weights.index_add_(0, group, self.weights * self.probs[:, None])
        return Configurations(weights / probs[:, None], probs, self.are_all)


class Selection(NamedTuple):
    """A batch in the order in which it was chosen.

    Attributes:
        positions: Rows, ``(B,)``, int64, distinct.
        gains: What each added to the mutual information of the batch in nats, ``(B,)``, float64;
            NaN for those drawn uniformly.
        num_uniform: How many were drawn uniformly, the last ones.
        num_sampled: How many were chosen by sampled configurations and not by all.
    """

    positions: Tensor
    gains: Tensor
    num_uniform: int
    num_sampled: int


def no_labels(probs: Tensor) -> Configurations:
    """The one configuration of an empty batch.

    Args:
        probs: Of some rows under S samples, ``(N, K, S)``: says S and the device.

    Example:
        >>> no_labels(torch.full((1, 2, 2), 0.5)).weights
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    num_samples = probs.shape[2]
    ones = probs.new_ones(1, num_samples, dtype=torch.float64)
    return Configurations(ones / num_samples, ones[0, :1])


def extended(
    configurations: Configurations, probs: Tensor, max_num: int, generator: torch.Generator
) -> Configurations:
    """The configurations of a batch with one example more.

    If there are more than ``max_num``, as many are drawn with their probabilities, by systematic
    sampling: the expected number of draws of each is right, so that means over them are unbiased,
    and there is less noise than in independent draws.

    Args:
        configurations: C of the batch so far.
        probs: Of the example under each sample, ``(K, S)``.
        max_num: The most configurations to return.
        generator: The randomness; on the CPU. Takes one float64 if configurations are drawn.

    Returns:
        At most C·K, in the order of their labels. Those of probability 0 are left out.

    Example:
        >>> probs = torch.eye(2)  # each of the two samples is sure of another class
        >>> start = no_labels(probs[None])
        >>> extended(start, probs, 10, torch.Generator()).weights
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    num_samples = configurations.weights.shape[1]
    products = configurations.weights[:, None] * probs.double()  # (C, K, S)
    products = products.reshape(-1, num_samples)  # (C K, S)
    totals = products.sum(1)  # (C K,)
    joint = (configurations.probs[:, None] * totals.reshape(len(configurations.probs), -1)).ravel()
    kept = joint.nonzero().ravel()
    are_all = configurations.are_all and len(kept) <= max_num
    if len(kept) > max_num:
        start = torch.rand((), generator=generator, dtype=torch.float64).to(joint.device)
        marks = (torch.arange(max_num, device=joint.device) + start) / max_num  # (M,), in [0, 1)
        cumulative = joint.cumsum(0)
        drawn = torch.searchsorted(cumulative, marks * cumulative[-1], right=True)
        kept, counts = drawn.unique_consecutive(return_counts=True)
        joint = torch.zeros_like(joint).index_put_((kept,), counts.double())
    joint = joint[kept]
    return Configurations(products[kept] / totals[kept, None], joint / joint.sum(), are_all)


def expected_entropies(probs: Tensor, configurations: Configurations) -> Tensor:
    """Σ_c q(c) H(Σ_s w_s(c) p_s) of each row: its entropy once the labels of a batch are known.

    Args:
        probs: Under each sample, ``(N, K, S)``.
        configurations: Of the batch.

    Returns:
        ``(N,)``, float64. What is summed over samples has the dtype of ``probs``.

    Example:
        >>> probs = torch.stack([torch.eye(2), torch.full((2, 2), 0.5)])
        >>> known = extended(no_labels(probs), probs[0], 10, torch.Generator())
        >>> expected_entropies(probs, known)
        tensor([0.0000, 0.6931], dtype=torch.float64)
    """
    weights = configurations.weights.mT.to(probs.dtype)  # (S, C)
    return _entropies(probs @ weights, 1).double() @ configurations.probs  # (N, C) @ (C,)


def batch_bald(
    probs: Tensor,
    num: int,
    generator: torch.Generator,
    max_configurations: int = 1000,
    shares: Shares = sharding.ALONE,
) -> Selection:
    """The batch that greedily maximizes I(y_1, …, y_B; ω) [Kirsch2019].

    All configurations of the batch are enumerated as long as they are at most
    ``max_configurations``; then as many are drawn (see :func:`extended`). A row is evaluated only
    if a bound allows it to be the best one: to know less, namely only into which group a
    configuration falls, never lowers an expected entropy, since entropy is concave. So the bounds
    of a step come from all configurations taken as one, then as 64, then from each, and are
    computed in float32. The gains of what is left are computed in float64.

    When no row adds anything, the rest is drawn uniformly. Ties go to the lower position.

    Args:
        probs: Class probabilities of N rows under S samples that share their weights across rows,
            ``(N, K, S)``, float32 or float64. Of several processes, each has those of its own
            share.
        num: How many rows to choose, in [1, N].
        generator: The randomness; on the CPU.
        max_configurations: The most configurations to take into account, M.
        shares: The processes that select together.

    Raises:
        ValueError: If ``num`` is out of range.

    Memory: that of ``probs``, M·K·S float64, and chunks.

    Example:
        Rows 0 and 1 ask the same question, row 2 a smaller one of its own:

        >>> p = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0.9, 0.1, 0.9, 0.1]])
        >>> probs = torch.stack([p, 1 - p], 1)
        >>> batch_bald(probs, 2, torch.Generator()).positions
        tensor([0, 2])
    """
    num_rows, offset = shares.placed(len(probs))
    if not 1 <= num <= num_rows:
        raise ValueError(f"Expected `num` in [1, {num_rows}], got {num}.")
    rows_each = max(1, CHUNK_ENTRIES // probs.shape[1:].numel())
    conditional = probs.new_empty(len(probs), dtype=torch.float64)  # mean_s H(p_s)
    for part, found in zip(probs.split(rows_each), conditional.split(rows_each), strict=True):
        found.copy_(_entropies(part.double(), 1).mean(-1))
    configurations = no_labels(probs)
    chosen: list[int] = []
    gains = torch.full((num,), torch.nan, dtype=torch.float64, device=probs.device)
    num_sampled = 0
    while len(chosen) < num:
        row = _best(probs, conditional, configurations, chosen, offset, shares)
        found = sharding.taken(probs, torch.tensor([row]), offset, shares)  # (1, K, S)
        # By itself, since the last digit depends on the rows that are computed together.
        exact = found.double()
        gain = expected_entropies(exact, configurations) - _entropies(exact, 1).mean(-1)
        if gain <= TIE:
            break
        gains[len(chosen)] = gain
        chosen.append(row)
        num_sampled += not configurations.are_all
        configurations = extended(configurations, found[0], max_configurations, generator)
    positions = sampling.fill_uniformly(chosen, num, num_rows, generator)
    return Selection(positions.to(probs.device), gains, num - len(chosen), num_sampled)


def _best(
    probs: Tensor,
    conditional: Tensor,
    configurations: Configurations,
    chosen: list[int],
    offset: int,
    shares: Shares,
) -> int:
    """The row that adds most to the batch, among all; the lowest of those that tie."""

    def gains_of(rows: Tensor, known: Configurations, dtype: torch.dtype) -> Tensor:
        rows_each = max(1, CHUNK_ENTRIES // (probs.shape[1] * max(known.weights.shape)))
        gains = torch.empty_like(conditional[rows])
        for part, found in zip(rows.split(rows_each), gains.split(rows_each), strict=True):
            found.copy_(expected_entropies(probs[part].to(dtype), known) - conditional[part])
        return gains

    def bounds_of(rows: Tensor, num_groups: int) -> Tensor:
        return gains_of(rows, configurations.grouped(num_groups), torch.float32) + BOUND_ERROR

    is_left = torch.ones_like(conditional, dtype=torch.bool)
    is_left[[row - offset for row in chosen if 0 <= row - offset < len(probs)]] = False
    left = is_left.nonzero().ravel()
    bounds = bounds_of(left, 1)
    first = bounds.topk(min(NUM_FIRST_ROWS, len(left))).indices
    gains = torch.full_like(bounds, -torch.inf)
    gains[first] = gains_of(left[first], configurations, torch.float64)
    bounds[first] = -torch.inf
    least = _highest(gains, shares) - TIE
    able = (bounds >= least).nonzero().ravel()
    for num_groups in (NUM_GROUPS, len(configurations.probs)):
        able = able[bounds_of(left[able], num_groups) >= least]
    gains[able] = gains_of(left[able], configurations, torch.float64)
    best = left[gains >= _highest(gains, shares) - TIE] + offset
    return int(shares.gathered(best[:1]).amin())


def _highest(gains: Tensor, shares: Shares) -> Tensor:
    """The highest of all processes; one may have none."""
    highest = gains.amax(0, keepdim=True) if len(gains) else gains
    return shares.gathered(highest).amax()


def _entropies(probs: Tensor, dim: int) -> Tensor:
    """Entropies along one dimension; ``torch.special.entr`` takes several times as long."""
    tiny = torch.finfo(probs.dtype).tiny
    return -(probs.clamp(min=tiny).log_().mul_(probs)).sum(dim)
