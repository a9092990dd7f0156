"""``dal.select``: arrays in, positions or ids out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import dal
from dal.data import FeatureRows
from dal.errors import ConfigError, DalError, DataError
from dal.strategies import BY_NAME, BaitBinary, Margin, Query, by_name

SIZE, NUM_CLASSES = 120, 3


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, classes and probabilities."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, NUM_CLASSES, SIZE)
    embeddings = rng.normal(size=(SIZE, 8)).astype(np.float32)
    embeddings[:, :NUM_CLASSES] += 3 * np.eye(NUM_CLASSES)[classes]
    return embeddings, classes, rng.dirichlet(np.ones(NUM_CLASSES), SIZE).astype(np.float32)


def some_labels(classes: np.ndarray, num: int = 12) -> list[Any]:
    return [f"class {c}" if row < num else None for row, c in enumerate(classes.tolist())]


def test_probabilities_are_those_of_a_head_that_would_give_them() -> None:
    embeddings, _, _ = draw()
    head = torch.nn.Linear(8, NUM_CLASSES).requires_grad_(False)
    features = torch.from_numpy(embeddings)
    probs = head(features).softmax(-1)
    for strategy in (BaitBinary(), Margin()):
        query = Query(
            FeatureRows(features[9:]),
            FeatureRows(features[:9]),
            head(features[:9]).argmax(1),
            head,
            num=6,
            generator=torch.Generator().manual_seed(0),
        )
        picked = dal.select(
            embeddings, probs=probs, labeled=range(9), num=6, strategy=strategy, scale="none"
        )
        assert (picked - 9).tolist() == strategy(query).positions.tolist()


def test_a_head_is_fitted_to_labels() -> None:
    embeddings, classes, _ = draw()
    labels = some_labels(classes)
    picked = dal.select(embeddings, labels=labels, num=5)
    assert isinstance(picked, np.ndarray)
    assert len(set(picked.tolist())) == 5
    assert min(picked) >= 12
    assert picked.tolist() == dal.select(embeddings, labels=labels, num=5).tolist()
    assert picked.tolist() != dal.select(embeddings, labels=labels, num=5, seed=1).tolist()
    for none in (float("nan"), -1, pd.NA):
        others = [none if label is None else label for label in labels]
        assert dal.select(embeddings, labels=others, num=5).tolist() == picked.tolist()


def test_what_comes_in_comes_out() -> None:
    embeddings, classes, probs = draw()
    ids = [f"item {row}" for row in range(SIZE)]
    as_array = dal.select(embeddings, labels=some_labels(classes), num=4)
    as_tensor = dal.select(torch.from_numpy(embeddings), labels=some_labels(classes), num=4)
    assert isinstance(as_tensor, Tensor)
    assert as_tensor.tolist() == as_array.tolist()
    as_ids = dal.select(embeddings, labels=some_labels(classes), num=4, ids=ids)
    assert as_ids == [ids[row] for row in as_array]
    marked = np.zeros(SIZE, bool)
    marked[[3, 5]] = True
    chosen = [
        dal.select(embeddings, probs=probs, labeled=labeled, num=4, ids=ids)
        for labeled in (marked, [3, 5], ["item 3", "item 5"], np.array([3, 5]))
    ]
    assert all(those == chosen[0] for those in chosen)


def test_nothing_labeled_is_a_start() -> None:
    embeddings, _, _ = draw()
    assert len(set(dal.select(embeddings, num=7).tolist())) == 7
    assert sorted(dal.select(embeddings, num=10 * SIZE, strategy="random")) == list(range(SIZE))


def test_one_class_is_no_head() -> None:
    embeddings, _, _ = draw()
    labels = ["a", *[None] * (SIZE - 1)]
    assert len(dal.select(embeddings, labels=labels, num=3)) == 3
    with pytest.raises(ConfigError, match="Margin needs a fitted head"):
        dal.select(embeddings, labels=labels, num=3, strategy="margin")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num": 0}, ConfigError, "`num` of at least 1, got 0"),
        ({"strategy": "margn"}, ConfigError, "Did you mean 'margin'"),
        ({"probs": draw()[2]}, ConfigError, "`labeled` or `labels` beside `probs`"),
        ({"labeled": [1]}, ConfigError, "`probs` or `labels` beside `labeled`"),
        ({"probs": 2 * draw()[2], "labeled": [1]}, DataError, "sum to 1.*first at row 0"),
        ({"probs": draw()[2][:5], "labeled": [1]}, DataError, "`probs` of shape"),
        ({"probs": draw()[2], "labeled": [SIZE]}, DataError, "positions in"),
        ({"probs": draw()[2], "labeled": [1, 1]}, DataError, "distinct"),
        ({"probs": draw()[2], "labeled": ["a"]}, DataError, "some of `ids`, got a"),
        ({"probs": draw()[2], "labeled": [True]}, DataError, "mask of 120 rows"),
        ({"labels": ["a"]}, DataError, "for each of 120 rows, got 1"),
        ({"labels": ["a", "b"] * 60}, DataError, "a row without a label"),
        ({"labels": [*"ab", *[None] * 118], "labeled": [5]}, ConfigError, "Leave `labeled` out"),
        ({"embeddings": np.full((9, 4), np.nan)}, DataError, "NaN"),
        ({"embeddings": "pictures"}, DataError, "`embeddings` to be an array"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], error: type[DalError], message: str) -> None:
    given = {"embeddings": draw()[0], "num": 3, **arguments}
    with pytest.raises(error, match=message):
        dal.select(given.pop("embeddings"), **given)


MORE = ("alfa_mix", "drop_query", "bald", "batch_bald", "uherding", "refine")


@pytest.mark.parametrize("name", BY_NAME)
def test_probabilities_are_enough_or_refused(name: str) -> None:
    embeddings, _, probs = draw()
    strategy = by_name(name)
    strategy.subset_size = 60

    def pick() -> list[int]:
        picked = dal.select(embeddings, probs=probs, labeled=range(9), num=5, strategy=strategy)
        return list(picked.tolist())

    if name in MORE:
        with pytest.raises(ConfigError, match=r"more of the network|the query has none"):
            pick()
    else:
        assert len(set(pick())) == 5
        assert min(pick()) >= 9


def test_every_strategy_has_a_name() -> None:
    from dal.cli import config

    files = {file.stem for file in (config.folder() / "strategy").glob("*.yaml")}
    assert set(BY_NAME) == files
