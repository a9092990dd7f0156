"""Errors that a user can fix.

A command shows the message of such an error without a traceback and ends with a status that is
not 0. Every other exception is a bug of this package and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class DalError(Exception):
    """A user's input or machine is not as expected; the message says what to do about it."""


class DataError(DalError, ValueError):
    """Features, labels or a pool that cannot be learned from."""


class ConfigError(DalError, ValueError):
    """An argument, or a key of the configuration, that is unknown or out of range."""


class RecordError(DalError):
    """A run directory that cannot be written, or that does not belong to this run."""


class ReportError(DalError):
    """Run directories that cannot be reported on, or a report that cannot be written."""


class StrategyError(DalError):
    """A strategy that did not return distinct positions of the pool it was shown."""


class ResourceError(DalError):
    """A computation that the machine has too little memory for."""


class ProcessError(DalError):
    """Another process of the run has failed, and has said why."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known name closest to ``name``, or else lists all of them.

    Example:
        >>> did_you_mean("marign", ["entropy", "margin"])
        "Did you mean 'margin'?"
        >>> did_you_mean("xyz", ["entropy", "margin"])
        'Known: entropy, margin.'
    """
    known = sorted(known)
    # An abbreviation's last part is what people misspell: compare whole names, then last parts.
    close = difflib.get_close_matches(name, known, n=1)
    if not close:
        last_parts = {key.rpartition(".")[2]: key for key in known}
        close = [
            last_parts[part]
            for part in difflib.get_close_matches(name.rpartition(".")[2], last_parts, n=1)
        ]
    return f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(known)}."
