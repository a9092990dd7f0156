"""Examples that a script holds in memory, in any form."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dal.data import Tensors
from dal.errors import ConfigError, DataError

FEATURES = np.random.default_rng(0).normal(size=(6, 2))
LABELS = np.array([0, 1, 2, 1, 0, 2])
NAMES = np.array(["bee", "cat", "dog"])[LABELS]


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (FEATURES, LABELS),
        (FEATURES.tolist(), LABELS.tolist()),
        (torch.tensor(FEATURES), torch.tensor(LABELS)),
        (pd.DataFrame(FEATURES, index=range(6, 0, -1)), pd.Series(LABELS, index=range(6, 0, -1))),
        (FEATURES, NAMES),
        (FEATURES, list(NAMES)),
        (pd.DataFrame(FEATURES, columns=["a", "b"]), pd.Series(NAMES)),
        (FEATURES, pd.Series(NAMES, dtype="category")),
    ],
)
def test_all_forms_are_the_same_examples(features: Any, labels: Any) -> None:
    train, test = Tensors(features, labels, features[:4], labels[:4]).load()
    assert test is not None
    assert train.labels is not None
    assert test.labels is not None
    np.testing.assert_allclose(train.features, FEATURES, rtol=1e-6)
    assert train.labels.tolist() == LABELS.tolist()
    assert test.labels.tolist() == LABELS[:4].tolist()
    are_names = isinstance(np.asarray(labels)[0], str)
    assert train.class_names == (["bee", "cat", "dog"] if are_names else None)


def test_names_of_classes() -> None:
    labels = ["dog", None, "cat", "dog"]
    train, _ = Tensors(FEATURES[:4], labels).load()  # type: ignore[arg-type]
    assert train.labels is not None
    assert (train.labels.tolist(), train.class_names) == ([1, -1, 0, 1], ["cat", "dog"])
    train, _ = Tensors(FEATURES[:4], labels, class_names=["dog", "cat"]).load()  # type: ignore[arg-type]
    assert train.labels is not None
    assert train.labels.tolist() == [0, -1, 1, 0]
    with pytest.raises(DataError, match="`test_labels`, got 1 that train does not have"):
        Tensors(FEATURES[:4], labels, FEATURES[:1], ["emu"])  # type: ignore[arg-type]


@pytest.mark.parametrize("features", [pd.DataFrame({"a": ["x"]}), [["x"]], [[1.0], [1.0, 2.0]]])
def test_features_that_are_no_numbers(features: Any) -> None:
    with pytest.raises(ConfigError, match="Expected numbers for `train_features`"):
        Tensors(features)
