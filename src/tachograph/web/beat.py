"""That something was stored, for screens that will ask again: no call, no batch, twice a second at most.

In: that calls were stored, that somebody annotated, from any thread. Out: the same to all who listen, at the same
moment. What it must never know: HTTP, what was stored.
Why beside the stream of calls: a screen of sums needs to know when, not what, and there are more screens than streams.
All are told at once so that they ask at once, and are given one answer (`sharing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tachograph.flow import Busy

PULSE_SECONDS = 0.5
LISTENERS_MAX = 200


class Beat:
    """Any thread may tell it something; those who listen belong to one event loop.

    count: how often something was stored. told: `count` when the listeners were last told, so that an answer which
    was begun before that moment does not show everything that they know of.
    """

    def __init__(self, seconds: float = PULSE_SECONDS, listeners_max: int = LISTENERS_MAX) -> None:
        self.count = 0
        self.told = 0
        self._seconds, self._listeners_max = seconds, listeners_max
        self._lock = threading.Lock()
        self._listeners: tuple[Ear, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = False
        self._last = -seconds
        self._news: set[str] = set()
        self._closed = False

    def stored(self) -> None:
        """Calls were stored."""
        with self._lock:
            self.count += 1
        self._happened("stored")

    def annotated(self) -> None:
        """An annotation was made or forgotten."""
        self._happened("annotated")

    def _happened(self, word: str) -> None:
        if not self._listeners:
            return
        with self._lock:
            self._news.add(word)
            loop, due, self._due = self._loop, self._due, True
        if not due and loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to tell
                loop.call_soon_threadsafe(self._soon, loop)

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(max(0.0, self._last + self._seconds - loop.time()), self._tell, loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            news, self._news = self._news, set()
            self._due, self._last, self.told = False, loop.time(), self.count
        for listener in self._listeners:
            listener.hear(news)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Ear]:
        """From now until the end of the block, on the running event loop. Busy where too many do."""
        ear, loop = Ear(), asyncio.get_running_loop()
        with self._lock:
            if self._closed or len(self._listeners) >= self._listeners_max:
                raise Busy(f"{len(self._listeners)} screens are open: close one, or try again later", 5.0)
            if self._loop is not loop:
                self._loop, self._due, self._last = loop, False, loop.time() - self._seconds
            self._listeners = (*self._listeners, ear)
            self.told = self.count
        try:
            yield ear
        finally:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not ear)

    def close(self) -> None:
        """End every stream. Safe to call twice."""
        with self._lock:
            self._closed = True
            loop, listeners = self._loop, self._listeners
        for listener in listeners:
            listener.ended = True
            with contextlib.suppress(RuntimeError):
                assert loop is not None
                loop.call_soon_threadsafe(listener.awake.set)


class Ear:
    """What one listener has heard and not yet taken."""

    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self.ended = False
        self._news: set[str] = set()

    def hear(self, news: set[str]) -> None:
        """In the loop of the listener."""
        self._news |= news
        self.awake.set()

    async def wait(self, seconds: float) -> set[str]:
        """What happened since the last time; nothing where nothing did for so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.awake.wait(), seconds)
        self.awake.clear()
        news, self._news = self._news, set()
        return news
