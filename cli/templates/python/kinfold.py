"""Kinfold's contract with plugins, for Python: what `merge` in plugin.py gets and gives.

`merge(context, siblings)` folds siblings into one value; None merges to a delete. There are at least two siblings, sorted
by their bytes (a delete first), no two with equal bytes. The answer has to depend on the arguments alone, so never on the
order of a set; ties go by bytes, never by position. A fresh instance runs every merge: there is no clock, no randomness,
no file, and `print` ends the merge.
"""

import enum
from dataclasses import dataclass

try:
    from wit_world.imports import log as _host
except ImportError:
    # Outside of a component, as in tests of the plugin.
    _host = None


@dataclass
class Sibling:
    """One of the versions to be merged."""

    value: bytes | None
    """The bytes; None: a delete, which only a plugin with `tombstones = "pass"` is shown."""
    time: int
    """When it was written: microseconds since 1970, below 2^53."""


@dataclass
class Context:
    """What is being merged: equal on every node that merges the same siblings."""

    bucket: str = ""
    key: bytes = b""
    config: bytes = b""
    """What the operator set on the bucket for its plugin."""


class InvalidSibling(Exception):
    """Raised for a sibling that is not a value of the kind that this plugin merges."""

    def __init__(self, position: int, reason: str):
        super().__init__(reason)
        self.position = position


class KeepSiblings(Exception):
    """Raised for siblings that are fine, but a person or an application has to choose; and why."""


# Any other exception is a fault of the plugin itself and becomes `internal` with its words.


class Level(enum.Enum):
    """How much a message matters."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


def log(level: Level, message: str) -> None:
    """Says something to the operator."""
    if _host is not None:
        _host.write(_host.Level(level.value), message)
