"""An attempt that has ended, read by whoever sends it: once, however many do, and never in the caller's way.

In: a `Watch` that has kept what it saw. Out: its Calls. Where nobody has room for it, it is gone with its bytes.
What it must never know: where Calls go.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.watching import Unread, Watch


class Later:
    """Takes the place of a Call in a queue."""

    __slots__ = ("_calls", "_guard", "_lock", "_unread", "_waiting_bytes", "_watch")

    def __init__(self, watch: Watch, guard: Guard) -> None:
        self._unread: Unread | None = None  # of one that was never finished nothing is counted
        self._watch: Watch | None = watch
        self._guard, self._waiting_bytes = guard, watch.waiting_bytes
        self._unread = watch.unread
        self._lock = threading.Lock()
        self._calls: Sequence[Call] = ()

    def calls(self) -> Sequence[Call]:
        """What it was; nothing where reading failed, which the guard has counted."""
        with self._lock:
            watch, self._watch = self._watch, None
            if watch is not None:
                self._calls = self._guard.or_else([], watch.calls)
        return self._calls

    def __del__(self) -> None:
        if self._unread is not None:
            self._guard(self._unread.read, self._waiting_bytes)
