"""Versions of Python and of libraries, as they are recorded beside a result."""

import importlib
import platform


def installed(*names: str) -> dict[str, str]:
    """Versions by name: Python's own, and those of some packages, which are imported.

    Example:
        >>> list(installed("dal", "numpy"))
        ['python', 'dal', 'numpy']
    """
    versions = {name: str(importlib.import_module(name).__version__) for name in names}
    return {"python": platform.python_version(), **versions}
