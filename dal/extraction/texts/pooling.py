"""One vector for each text, from the vectors of its tokens."""

from collections.abc import Callable

import torch
from torch import Tensor


def first(hidden: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG001
    """The first token, which is the class token of BERT."""
    return hidden[:, 0]


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last token."""
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]


def maximum(hidden: Tensor, mask: Tensor) -> Tensor:
    """The maximum over the tokens, of each feature."""
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(1)


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens."""
    return _sum(hidden, mask) / mask.sum(1, keepdim=True)


def mean_by_root(hidden: Tensor, mask: Tensor) -> Tensor:
    """The sum over the tokens, divided by the square root of their number."""
    return _sum(hidden, mask) / mask.sum(1, keepdim=True).sqrt()


def weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens, weighted with 1, 2, 3, ..."""
    weights = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return _sum(hidden, weights) / weights.sum(1, keepdim=True)


def _sum(hidden: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("ntd,nt->nd", hidden, weights.to(hidden.dtype))


# By the names that sentence-transformers gives them, in the order in which it joins several.
POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": first,
    "max": maximum,
    "mean": mean,
    "mean_sqrt_len_tokens": mean_by_root,
    "weightedmean": weighted_mean,
    "lasttoken": last,
}


def pooled(name: str, hidden: Tensor, mask: Tensor) -> Tensor:
    """A vector for each text, ``(N, D)``.

    Args:
        name: A key of ``POOLINGS``.
        hidden: The vectors of the tokens, ``(N, T, D)``; those behind the end of a text may be
            anything finite.
        mask: ``(N, T)``, integers: 1 for each token of a text, at least one, then 0.

    References:
        Reimers & Gurevych (2019), "Sentence-BERT: sentence embeddings using Siamese BERT-networks",
        section 3.

    Example:
        >>> hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
        >>> pooled("mean", hidden, torch.tensor([[1, 1, 0]]))
        tensor([[2.]])
    """
    return POOLINGS[name](hidden, mask)
