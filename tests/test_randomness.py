import pytest
import torch

from dal import randomness
from dal.errors import ConfigError


def test_a_stream_is_its_name() -> None:
    names = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (2**70, 0, "a")]
    draws = [torch.rand(4, generator=randomness.stream(*name)) for name in names]
    again = [torch.rand(4, generator=randomness.stream(*name)) for name in names]
    assert all(map(torch.equal, draws, again))
    assert len(torch.stack(draws).unique(dim=0)) == len(names)


def test_streams_are_the_same_for_good() -> None:
    """A change here would make every recorded run impossible to resume."""
    assert randomness.derived_seed(0, 0, "initial pool") == 15545391827209225940


def test_the_global_generator_is_put_back() -> None:
    state = torch.get_rng_state()
    with randomness.seeded_globally(0, 0, "head"):
        first = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), state)
    with randomness.seeded_globally(0, 0, "head"):
        assert torch.equal(torch.rand(2), first)


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ConfigError, match="`seed` of at least 0, got -1"):
        randomness.stream(-1, 0, "a")
