"""Deep active learning on frozen features.

Importing the package loads nothing heavy; ``dal.experiment``, ``dal.data``, ``dal.heads`` and
``dal.strategies`` hold what a script needs. ``dal.select`` is one selection from arrays.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dal.labeling.arrays import select

__all__ = ["__version__", "select"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name == "select":
        from dal.labeling.arrays import select

        return select
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
