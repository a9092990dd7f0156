"""An experiment: fit, select, evaluate, record, label; repeat.

Its names are loaded when they are first asked for: a report reads run directories without loading
Lightning.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dal.experiment.curve import CycleResult, LearningCurve
    from dal.experiment.loop import ALLoop
    from dal.experiment.record import RunDirectory
    from dal.experiment.tracking import LightningTracker, Tracker
    from dal.experiment.weights_and_biases import WeightsAndBiases

__all__ = [
    "ALLoop",
    "CycleResult",
    "LearningCurve",
    "LightningTracker",
    "RunDirectory",
    "Tracker",
    "WeightsAndBiases",
]

_MODULES = {
    "ALLoop": "loop",
    "CycleResult": "curve",
    "LearningCurve": "curve",
    "LightningTracker": "tracking",
    "RunDirectory": "record",
    "Tracker": "tracking",
    "WeightsAndBiases": "weights_and_biases",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
