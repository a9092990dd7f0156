"""Mutual information of labels and weights, of single rows and of batches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dal.functional import information
from tests import reference


def drawn_logits(
    num_samples: int, num_rows: int, num_classes: int, seed: int, scale: float = 2.0
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(num_samples, 3, num_classes, generator=generator)
    return scale * torch.randn(num_rows, 3, generator=generator) @ weights


def by_row(logits: Tensor) -> Tensor:
    """Probabilities (N, K, S) of logits (S, N, K)."""
    return logits.softmax(-1).permute(1, 2, 0).contiguous()


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(2, 5),
    st.integers(0, 500),
    st.sampled_from([0.0, 1e-3, 2.0, 1e3]),
)
def test_mutual_information_is_that_of_the_definition(
    num_samples: int, num_rows: int, num_classes: int, seed: int, scale: float
) -> None:
    logits = drawn_logits(num_samples, num_rows, num_classes, seed, scale)
    before = logits.clone()
    expected = torch.tensor(reference.mutual_information(logits.double().softmax(-1)))
    found = information.mutual_information(logits)
    assert torch.equal(logits, before)
    assert found.dtype == torch.float32
    assert (found >= 0).all()
    torch.testing.assert_close(found, expected.clamp(min=0).float(), rtol=1e-5, atol=2e-6)
    exact = information.mutual_information(logits.double())
    torch.testing.assert_close(exact, expected.double(), rtol=1e-9, atol=1e-6)


def test_perturbed_logarithms_draw_in_proportion() -> None:
    scores = torch.tensor([0.0, 1.0, 2.0, 5.0])
    generator = torch.Generator().manual_seed(0)
    orders = torch.stack(
        [information.perturbed_logarithms(scores, generator).argsort() for _ in range(8000)]
    )
    shares = (orders[:, -1:] == torch.arange(4)).double().mean(0)
    torch.testing.assert_close(shares, scores.double() / 8, atol=0.02, rtol=0)
    # Of the two that are left after row 3, row 2 is drawn twice as often.
    second = orders[orders[:, -1] == 3][:, -2]
    assert abs((second == 2).double().mean() - 2 / 3) < 0.03
    assert (orders[:, 0] == 0).all()


def test_rows_of_score_zero_come_last_in_random_order() -> None:
    scores = torch.zeros(3)
    generator = torch.Generator().manual_seed(0)
    first = [int(information.perturbed_logarithms(scores, generator).argmax()) for _ in range(3000)]
    assert all(abs(first.count(row) - 1000) < 130 for row in range(3))
    smallest = torch.tensor([0.0, torch.finfo(torch.float32).smallest_normal])
    for _ in range(1000):
        assert information.perturbed_logarithms(smallest, generator).argmax() == 1


problems = st.tuples(
    st.integers(2, 6),  # samples
    st.integers(1, 9),  # rows
    st.integers(2, 4),  # classes
    st.integers(0, 10**6),  # seed
    st.sampled_from([0.1, 2.0, 300.0]),
)


@given(problems, st.booleans(), st.data())
def test_batch_bald_picks_what_its_definition_picks(
    problem: tuple[int, int, int, int, float], has_copies: bool, data: st.DataObject
) -> None:
    logits = drawn_logits(*problem[:4], scale=problem[4])
    if has_copies:
        logits = torch.cat([logits, logits], 1)
    num = data.draw(st.integers(1, min(4, logits.shape[1])))
    probs = by_row(logits)
    expected = reference.batch_bald(probs.permute(2, 0, 1).double(), num)
    selected = information.batch_bald(probs, num, torch.Generator().manual_seed(0))
    assert selected.num_uniform == num - len(expected)
    assert selected.num_sampled == 0
    assert selected.positions[: len(expected)].tolist() == list(expected)
    torch.testing.assert_close(
        selected.gains[: len(expected)],
        torch.tensor(list(expected.values()), dtype=torch.float64),
        rtol=1e-6,
        atol=1e-6,
    )
    assert selected.gains[len(expected) :].isnan().all()
    assert len(selected.positions.unique()) == num


def test_bounds_and_chunks_change_no_pick(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(8):
        probs = by_row(drawn_logits(8, 700, 3, seed))

        def picks(probs: Tensor = probs) -> list[int]:
            generator = torch.Generator().manual_seed(1)
            return information.batch_bald(probs, 6, generator, 50).positions.tolist()

        with monkeypatch.context() as patched:
            patched.setattr(information, "NUM_FIRST_ROWS", 700)  # all, without a bound
            expected = picks()
        assert picks() == expected
        with monkeypatch.context() as patched:
            patched.setattr(information, "NUM_FIRST_ROWS", 2)
            patched.setattr(information, "NUM_GROUPS", 3)
            patched.setattr(information, "CHUNK_ENTRIES", 100)
            assert picks() == expected


def test_bounds_save_most_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = by_row(drawn_logits(8, 5000, 3, 0))
    num_evaluated = 0
    original = information.expected_entropies

    def counted(probs: Tensor, configurations: information.Configurations) -> Tensor:
        nonlocal num_evaluated
        num_evaluated += len(probs) * (probs.dtype == torch.float64)
        return original(probs, configurations)

    monkeypatch.setattr(information, "expected_entropies", counted)
    information.batch_bald(probs, 4, torch.Generator())
    assert num_evaluated < 4 * 1000


@given(st.integers(0, 1000), st.integers(2, 4), st.integers(1, 20))
def test_grouping_never_lowers_an_entropy(seed: int, num_classes: int, num_groups: int) -> None:
    probs = by_row(drawn_logits(4, 9, num_classes, seed))
    configurations = information.no_labels(probs)
    for row in range(3):
        configurations = information.extended(configurations, probs[row], 10**6, torch.Generator())
    exact = information.expected_entropies(probs.double(), configurations)
    grouped = configurations.grouped(num_groups)
    assert len(grouped.probs) <= num_groups
    assert float(grouped.probs.sum()) == pytest.approx(1)
    bound = information.expected_entropies(probs.double(), grouped)
    assert (bound >= exact - 1e-12).all()


def test_sampled_configurations_are_unbiased() -> None:
    probs = by_row(drawn_logits(5, 12, 3, 3, scale=1.0))
    whole, means = information.no_labels(probs), []
    for row in range(4):
        whole = information.extended(whole, probs[row], 10**6, torch.Generator())
    assert whole.are_all
    assert len(whole.probs) == 3**4
    expected = information.expected_entropies(probs.double(), whole)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        sampled = information.no_labels(probs)
        for row in range(4):
            sampled = information.extended(sampled, probs[row], 10, generator)
        assert not sampled.are_all
        assert len(sampled.probs) <= 10
        means.append(information.expected_entropies(probs.double(), sampled))
    error = torch.stack(means).mean(0) - expected
    assert error.abs().max() < 5 * float(torch.stack(means).std(0).max()) / math.sqrt(2000)


def test_sampling_is_said() -> None:
    probs = by_row(drawn_logits(8, 40, 3, 1))
    selected = information.batch_bald(probs, 5, torch.Generator().manual_seed(0), 9)
    assert (selected.num_sampled, selected.num_uniform) == (2, 0)  # after 3 and 9 configurations


def test_samples_that_agree_say_nothing() -> None:
    probs = by_row(drawn_logits(1, 6, 3, 0).expand(4, -1, -1))
    selected = information.batch_bald(probs, 3, torch.Generator().manual_seed(0))
    assert selected.num_uniform == 3
    assert selected.gains.isnan().all()


def test_a_batch_is_of_rows_that_exist() -> None:
    with pytest.raises(ValueError, match=r"`num` in \[1, 6\], got 7"):
        information.batch_bald(by_row(drawn_logits(2, 6, 3, 0)), 7, torch.Generator())
