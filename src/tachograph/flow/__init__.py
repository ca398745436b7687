"""How calls travel, not what they are.

`Sink` is the one verb of writing. A sink returns only when it has taken responsibility for every call it was
given: a door may acknowledge as soon as its sink has returned, and not before.
Failures are two: `Refused` (the same input will fail again) and `Busy` (try again after a while).
What it must never know: what a token costs, where calls go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tachograph.call import Call


class Refused(Exception):
    """The same input will fail again: count it under `reason`, tell the sender, drop it.

    `str(error)` is one line for a person: what happened, to what, and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Busy(Exception):
    """Nothing was taken and nothing is wrong with the input: try again after `after_seconds`."""

    def __init__(self, message: str, after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Sink(Protocol):
    """Takes calls for good."""

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Make `calls` durable and return how many were new.

        token: names this batch; a batch written twice under one token counts once.
        Raises Refused or Busy; in both cases nothing of the batch was taken.
        """
        ...
