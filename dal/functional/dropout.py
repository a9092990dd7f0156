"""Predictions that change when features are dropped.

References:
    [Gupte2024] Gupte et al. (2024), "Revisiting active learning in the era of vision foundation
    models", algorithm 1, and their code.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dal.functional import sharding
from dal.functional.sharding import Shares

BLOCK_ROWS = 1 << 11  # 3 MiB of float32 at D = 384: near the cache between masks and logits
NUM_LEVELS = 256  # probabilities are multiples of 1/256, so that one random byte decides
WORD_BYTES = 8
MIN_CANDIDATES_PER_PICK = 25  # of fewer, k-means would return almost any; not in [Gupte2024]


def num_kept_levels(dropout: float) -> int:
    """Of the 256 values of a random byte, those that keep an entry.

    Args:
        dropout: Probability that an entry is dropped; rounded to a multiple of 1/256.

    Raises:
        ValueError: If no entry would be dropped, or all.

    Example:
        >>> num_kept_levels(0.75)
        64
    """
    num_kept = round((1 - dropout) * NUM_LEVELS)
    if not 1 <= num_kept < NUM_LEVELS:
        raise ValueError(
            f"Expected `dropout` in [1/{NUM_LEVELS}, 1 - 1/{NUM_LEVELS}], got {dropout}."
        )
    return num_kept


def random_bytes(num_rows: int, num_bytes: int, generator: torch.Generator) -> Tensor:
    """Independent uniform bytes, drawn row by row.

    A row takes the same numbers from the generator whether it is drawn alone or with others, so
    that what follows does not depend on the sizes of chunks.

    Args:
        num_rows: N.
        num_bytes: How many for each row.
        generator: The randomness, of which a row takes ⌈num_bytes / 8⌉ int64; on the CPU.

    Returns:
        ``(N, num_bytes)``, uint8, on the CPU.

    Example:
        >>> random_bytes(2, 3, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    words = torch.empty(num_rows, -(-num_bytes // WORD_BYTES), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)  # all 64 bits
    return words.view(torch.uint8)[:, :num_bytes]


def skip(num_rows: int, num_bytes: int, generator: torch.Generator) -> None:
    """Takes from the generator what :func:`random_bytes` would, and drops it.

    Args:
        num_rows: N.
        num_bytes: How many for each row.
        generator: The randomness.

    Example:
        >>> skipped, drawn = (torch.Generator().manual_seed(0) for _ in range(2))
        >>> skip(4, 3, skipped)
        >>> torch.equal(random_bytes(6, 3, drawn)[4:], random_bytes(2, 3, skipped))
        True
    """
    for first in range(0, num_rows, BLOCK_ROWS):
        random_bytes(min(BLOCK_ROWS, num_rows - first), num_bytes, generator)


def passes(
    features: Tensor, num_passes: int, dropout: float, generator: torch.Generator
) -> Iterator[Tensor]:
    """Features of which each entry is dropped by chance, once for each pass.

    An entry is kept with probability q = 1 − ``dropout`` and divided by q, so that its expectation
    stays.

    Args:
        features: ``(N, D)``.
        num_passes: P.
        dropout: As in :func:`num_kept_levels`.
        generator: The randomness, of which a row takes P·D bytes; on the CPU.

    Yields:
        ``(N, D)``, P times.

    Memory: N·P·D bytes, and three tensors as large as the features.

    Example:
        >>> drawn = list(passes(torch.ones(1, 6), 2, 0.75, torch.Generator().manual_seed(1)))
        >>> torch.cat(drawn).unique()
        tensor([0., 4.])
    """
    num_rows, num_features = features.shape
    num_kept = num_kept_levels(dropout)
    drawn = random_bytes(num_rows, num_passes * num_features, generator).to(features.device)
    for bytes_ in drawn.split(num_features, dim=1):  # (N, D)
        yield features * (NUM_LEVELS / num_kept) * (bytes_ < num_kept)


def num_mismatches(
    features: Tensor,
    logits: Callable[[Tensor], Tensor],
    num_passes: int,
    dropout: float,
    generator: torch.Generator,
) -> Tensor:
    """In how many passes with dropped features the most probable class is another one.

    Args:
        features: ``(N, D)``.
        logits: Maps features ``(M, D)`` to logits ``(M, K)`` without mixing rows.
        num_passes: As in :func:`passes`.
        dropout: As in :func:`passes`.
        generator: As in :func:`passes`.

    Returns:
        ``(N,)``, int64, in [0, P].

    Memory: as :func:`passes` for a block of 2048 rows.

    Example:
        The sum of 3 and −2 is negative if only the 3 is dropped, that of 1 and 1 never:

        >>> features = torch.tensor([[1.0, 1.0], [3.0, -2.0], [3.0, -2.0]])
        >>> generator = torch.Generator().manual_seed(0)
        >>> logits = lambda x: torch.stack([x.sum(1), torch.full_like(x[:, 0], -0.5)], 1)
        >>> num_mismatches(features, logits, 8, 0.5, generator)
        tensor([0, 2, 0])
    """
    counts = []
    for rows in features.split(BLOCK_ROWS):
        predicted = logits(rows).argmax(1)  # (M,)
        changed = [
            logits(other).argmax(1) != predicted
            for other in passes(rows, num_passes, dropout, generator)
        ]
        counts.append(torch.stack(changed).sum(0))
    return torch.cat(counts)


def candidates(
    num_mismatches: Tensor, num_passes: int, num: int, shares: Shares = sharding.ALONE
) -> tuple[Tensor, int]:
    """Rows whose prediction changes in more than half of the passes, or at all if these are few.

    Args:
        num_mismatches: In how many passes the prediction of a row changed, ``(N,)``. Of several
            processes, each has those of its own share.
        num_passes: P.
        num: How many rows are to be selected from them.
        shares: The processes.

    Returns:
        Rows, ``(C,)``, int64, ascending; and the least number of changes among which they are: one
        if fewer than 25 rows for each that is to be selected changed in more than half of the
        passes.

    Example:
        >>> candidates(torch.tensor([0, 2, 1]), 3, 1)
        (tensor([1, 2]), 1)
    """
    least = num_passes // 2 + 1
    num_changed, _ = shares.placed(int((num_mismatches >= least).sum()))
    if num_changed < MIN_CANDIDATES_PER_PICK * num:
        least = 1
    _, offset = shares.placed(len(num_mismatches))
    return shares.gathered((num_mismatches >= least).nonzero().flatten() + offset), least
