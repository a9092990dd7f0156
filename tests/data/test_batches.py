import torch
from hypothesis import given
from hypothesis import strategies as st

from dal.data import Chunks, EpochBatches, FeatureRows
from tests import reference


@given(st.integers(1, 70), st.integers(1, 33), st.integers(0, 1000))
def test_every_batch_is_full_and_drawn_as_defined(num_rows: int, size: int, seed: int) -> None:
    features, labels = torch.arange(num_rows).float()[:, None], torch.arange(num_rows)
    batches = EpochBatches(features, labels, size, torch.Generator().manual_seed(seed))
    expected = torch.Generator().manual_seed(seed)
    assert len(batches) == 1
    for _ in range(2):  # two epochs, drawn separately
        ((x, y),) = list(batches)
        assert y.tolist() == reference.epoch_rows(num_rows, size, expected)
        assert x.shape == (*y.shape, 1)
        assert torch.equal(x[..., 0].long(), y)


def test_no_row_is_left_out_of_an_epoch() -> None:
    batches = EpochBatches(torch.zeros(130, 1), torch.arange(130), 128, torch.Generator())
    ((_, labels),) = list(batches)
    assert labels.shape == (2, 128)
    counts = labels.flatten().bincount(minlength=130)
    assert counts.min() >= 1
    assert counts.max() <= 2


@given(st.integers(1, 40), st.integers(1, 50))
def test_chunks_cover_the_rows_in_order(num_rows: int, size: int) -> None:
    features = torch.arange(num_rows, dtype=torch.float16)[:, None]
    chunks = Chunks(features, torch.arange(num_rows), size)
    parts = list(chunks)
    assert len(chunks) == len(parts)
    assert torch.cat([x for x, _ in parts]).dtype == torch.float32
    assert torch.cat([y for _, y in parts]).tolist() == list(range(num_rows))


def test_rows_are_read_in_chunks_and_converted() -> None:
    features = torch.arange(10, dtype=torch.float64)[:, None]
    rows = FeatureRows(features, torch.tensor([3, 1, 7]))
    assert [len(chunk) for chunk in rows.chunks(2)] == [2, 1]
    assert torch.equal(rows.load(), torch.tensor([[3.0], [1.0], [7.0]]))
    assert FeatureRows(features, torch.empty(0, dtype=torch.int64)).load().shape == (0, 1)
