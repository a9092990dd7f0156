import copy
from typing import Any

from dal.experiment import identity
from dal.experiment.identity import IGNORED_ON_RESUME

NOW = {
    "seed": 0,
    "data": {
        "_target_": "dal.data.Arrays",
        "path": "d",
        "splits": {"train": "train", "test": "test"},
        "ids": None,
        "batch_size": 128,
        "dev_fraction": 0.1,
        "test_fraction": 0.2,
        "split_seed": 0,
        "scale": "none",
    },
    "extraction": {},
    "head": {"_target_": "dal.heads.LinearHead", "optimizer": {"_target_": "torch.optim.RAdam"}},
    "run_dir": "here",
}
# The same run as version 0.1 wrote it.
BEFORE = {
    "seed": 0,
    "data": {
        "_target_": "dal.data.Features",
        "path": "d",
        "batch_size": 128,
        "dev_fraction": 0.1,
        "split_seed": 0,
    },
    "features": {},
    "head": {"_target_": "dal.head.LinearHead", "optimizer": {"_target_": "torch.optim.RAdam"}},
    "run_dir": "there",
}


def differences(stored: dict[str, Any], current: dict[str, Any]) -> list[str]:
    return identity.differences(stored, current, IGNORED_ON_RESUME)


def test_a_moved_class_and_a_renamed_key_are_the_same_run() -> None:
    assert differences(BEFORE, NOW) == []
    moved = copy.deepcopy(NOW)
    moved["head"]["_target_"] = "dal.elsewhere.LinearHead"  # type: ignore[index]
    assert differences(NOW, moved) == []


def test_a_key_that_was_added_since_has_its_default() -> None:
    before = {**NOW, "strategy": {"_target_": "dal.strategies.TypiClust", "normalize": True}}
    now = copy.deepcopy(before)
    now["strategy"]["max_clusters"] = 500  # type: ignore[index]
    assert differences(before, now) == []
    now["strategy"]["max_clusters"] = 2000  # type: ignore[index]
    assert differences(before, now) == ["strategy.max_clusters: 500 → 2000"]


def test_another_class_or_value_is_another_run() -> None:
    other = copy.deepcopy(NOW)
    other["head"]["_target_"] = "dal.heads.Head"  # type: ignore[index]
    other["data"]["dev_fraction"] = 0.2  # type: ignore[index]
    assert differences(BEFORE, other) == [
        "data.dev_fraction: 0.1 → 0.2",
        "head._target_: 'LinearHead' → 'Head'",
    ]


def test_keys_that_no_result_depends_on_are_ignored_with_all_below() -> None:
    other = {**NOW, "logger": {"mode": "offline"}, "trainer": {"devices": 2}}
    assert differences(NOW, other) == []
    assert differences(NOW, {**NOW, "loggers": 1}) == ["loggers: (not set) → 1"]
