"""Provenance of a run: the data, the device and the versions that it was made from and with."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from dal.data import ALDataModule
from dal.errors import RecordError
from dal.runtime import devices, versions


def describe(datamodule: ALDataModule, device: torch.device) -> dict[str, Any]:
    """What a run is made from and with, in plain values.

    Args:
        datamodule: Set up, nothing labeled.
        device: Where heads are fitted.
    """
    return {
        "data": {
            "pool": datamodule.pool.num_unlabeled,
            "test": 0 if datamodule.test is None else len(datamodule.test),
            "dev": len(datamodule.dev_indices),
            "num_features": datamodule.num_features,
            "num_classes": datamodule.num_classes,
            "fingerprint": datamodule.fingerprint(),
        },
        "scaling": {"mean_norm": datamodule.mean_norm, "factor": datamodule.pool.scale},
        "device": devices.name(device),
        "versions": versions.installed("dal", "torch", "lightning", "numpy"),
    }


def check(stored: Mapping[str, Any], current: Mapping[str, Any], where: object) -> None:
    """Checks that a run can be resumed with what there is now; warns of other versions.

    Args:
        stored: What the run began with; empty if that is not known.
        current: What it would continue with.
        where: The run directory, for messages.

    Raises:
        RecordError: If the data are others.
    """
    if stored.get("data", current["data"]) != current["data"]:
        raise RecordError(
            f"The data are not those with which the run in {where} began: then "
            f"{stored['data']}, now {current['data']}. Bring them back, or start from scratch with "
            "overwrite=true."
        )
    for key in ("versions", "device"):
        if stored.get(key, current[key]) != current[key]:
            warnings.warn(
                f"The run began with {key} {stored[key]} and continues with {current[key]}: its "
                "curve may differ in the last digits from an uninterrupted one.",
                stacklevel=2,
            )
