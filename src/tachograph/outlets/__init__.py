"""Calls that leave the process: to a file, to a collector, to the user's own OpenTelemetry SDK, to a function.

In: Calls. Out: what each outlet makes of them. Every outlet is a `flow.Sink` with `close()`; `sending.Sender` stands
before one and decides when it is called.
What it must never know: how a call was captured, the store, prices, anything beyond the standard library: this room
is loaded into the user's process. What is third-party (OpenTelemetry) is looked up where the user already has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tachograph.call import Call


class Ahead(Protocol):
    """Stands for Calls that nobody has read yet; whoever sends them does, in a thread of its own."""

    def calls(self) -> Sequence[Call]:
        """The Calls: one as a rule, none where it turns out that there was none."""
        ...


class Outlet(Protocol):
    """A way out. One thread at a time calls it; after a fork the child goes on with the same object."""

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Hand the calls over and return how many were taken. Raises Busy or Refused, see `flow.Sink`."""
        ...

    def close(self) -> None:
        """Let go of files and connections. The outlet may be written to again."""
        ...
