import pytest
import torch

from dal.data import Pool
from dal.errors import DataError


def pool_of_six() -> Pool:
    return Pool(
        torch.arange(12.0).view(6, 2), ids=list("abcdef"), candidates=torch.tensor([0, 1, 3, 4, 5])
    )


def test_labels_become_known_and_classes_appear() -> None:
    pool = pool_of_six()
    assert (pool.num_unlabeled, pool.num_classes, pool.labels.tolist()) == (5, 0, [])
    pool.label(torch.tensor([4, 0]), torch.tensor([1, 0]))
    assert (pool.num_unlabeled, pool.num_classes) == (3, 2)
    pool.label(torch.tensor([1]), torch.tensor([7]))
    assert pool.labeled_indices.tolist() == [4, 0, 1]
    assert pool.labels.tolist() == [1, 0, 7]
    assert pool.num_classes == 8
    assert pool.unlabeled_indices.tolist() == [3, 5]
    pool.forget_labels()
    assert (pool.num_unlabeled, pool.num_classes, pool.labels.tolist()) == (5, 0, [])


def test_rows_are_shown_by_position_and_by_order_of_labels() -> None:
    pool = pool_of_six()
    pool.label(torch.tensor([5, 0]), torch.tensor([0, 0]))
    assert pool.unlabeled_rows().load().tolist() == [[2, 3], [6, 7], [8, 9]]
    assert pool.labeled_rows().load().tolist() == [[10, 11], [0, 1]]


def test_ids_name_rows_for_good() -> None:
    pool = pool_of_six()
    assert pool.ids(torch.tensor([5, 2])) == ["f", "c"]
    assert pool.indices(["c", "a"]).tolist() == [2, 0]
    unnamed = Pool(torch.zeros(12, 1))
    assert unnamed.ids(torch.tensor([11])) == ["11"]
    assert unnamed.indices(["11", "0"]).tolist() == [11, 0]
    with pytest.raises(DataError, match="Unknown id 'aa': no row of the pool has it. Did you mean"):
        pool.indices(["aa"])


@pytest.mark.parametrize(
    ("indices", "labels", "message"),
    [
        ([2], [0], r"indices of unlabeled rows, got \[2\]"),
        ([6], [0], "unlabeled rows"),
        ([-1], [0], "unlabeled rows"),
        ([0, 0], [0, 0], "distinct"),
        ([0, 1], [0, -1], r"labels of at least 0, got \[0, -1\]"),
        ([0, 1], [0], "a label for each of 2 rows, got 1"),
    ],
)
def test_what_cannot_be_labeled_changes_nothing(
    indices: list[int], labels: list[int], message: str
) -> None:
    pool = pool_of_six()
    with pytest.raises(DataError, match=message):
        pool.label(torch.tensor(indices), torch.tensor(labels))
    assert pool.num_unlabeled == 5
    assert len(pool.labels) == 0


def test_a_message_names_a_few_rows_only() -> None:
    pool = Pool(torch.zeros(100, 1), candidates=torch.empty(0, dtype=torch.int64))
    with pytest.raises(DataError, match=r"got \[0, 1, 2, 3, 4, and 95 more\]"):
        pool.label(torch.arange(100), torch.zeros(100).long())
