import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.extraction.texts.pooling import POOLINGS, pooled


def naive(name: str, tokens: list[list[float]]) -> list[float]:
    num, columns = len(tokens), list(zip(*tokens, strict=True))
    if name == "cls":
        return tokens[0]
    if name == "lasttoken":
        return tokens[-1]
    if name == "max":
        return [max(column) for column in columns]
    if name == "mean":
        return [sum(column) / num for column in columns]
    if name == "mean_sqrt_len_tokens":
        return [sum(column) / math.sqrt(num) for column in columns]
    assert name == "weightedmean"
    total = sum(range(1, num + 1))
    return [sum(w * x for w, x in enumerate(column, 1)) / total for column in columns]


@pytest.mark.parametrize("name", POOLINGS)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_tokens_behind_the_end_do_not_count(name: str, lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(len(lengths), max(lengths), 3, generator=generator, dtype=torch.float64)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    expected = [
        naive(name, vectors[:num].tolist()) for vectors, num in zip(hidden, lengths, strict=True)
    ]
    hidden[mask == 0] = 1e6
    torch.testing.assert_close(
        pooled(name, hidden, mask), torch.tensor(expected, dtype=torch.float64)
    )
