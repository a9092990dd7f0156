"""Deep active learning on frozen features.

Importing the package loads nothing heavy; ``dal.experiment``, ``dal.data``, ``dal.heads`` and
``dal.strategies`` hold what a script needs. ``dal.select`` is one selection from arrays,
``dal.Project`` the labeling of one's own data in rounds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dal.labeling.arrays import select
    from dal.labeling.project import Project

__all__ = ["Project", "__version__", "select"]
__version__ = "0.3.0"

_MODULES = {"Project": "project", "select": "arrays"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"dal.labeling.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
