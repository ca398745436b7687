"""Calls as they are stored, for whoever listens at this moment.

In: batches of stored calls, from any thread. Out: to each listener those that it wants, in the order in which they
were stored. What it must never know: HTTP, SQL.

Memory is bounded and the publisher never waits: a listener that reads more slowly than calls are stored, or would be
sent more of them a second than is allowed, loses the newest and is told how many. With nobody listening, publishing
costs one look at an empty tuple.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from tachograph.call import Call
from tachograph.flow import Busy
from tachograph.flow.batch import to_batch
from tachograph.web.beat import Beat

STREAM_CALLS_MAX = 2000  # waiting for one listener
# Writing a call as JSON costs 0.1 ms of the interpreter that also takes calls in: a reader shall not slow that down.
STREAM_CALLS_PER_SECOND_MAX = 1000
LISTENERS_MAX = 20
HEARTBEAT_SECONDS = 15.0

Matching = Callable[[pa.RecordBatch], pa.Array]  # the places of the rows that a listener wants


class Live:
    """Where stored calls are published. Any thread may publish; listeners belong to an event loop."""

    def __init__(
        self,
        stream_calls_max: int = STREAM_CALLS_MAX,
        listeners_max: int = LISTENERS_MAX,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stream_calls_per_second_max: int = STREAM_CALLS_PER_SECOND_MAX,
    ) -> None:
        self.stream_calls_max = stream_calls_max
        self.stream_calls_per_second_max = stream_calls_per_second_max
        self.heartbeat_seconds = heartbeat_seconds
        self.beat = Beat()
        self._listeners_max = listeners_max
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._closed = False

    def publish(self, calls: pa.RecordBatch | Sequence[Call]) -> None:
        """Offer stored calls to all who listen. Never waits; a listener that cannot read a batch is ended."""
        self.beat.stored()
        listeners = self._listeners
        if not listeners:
            return
        batch = calls if isinstance(calls, pa.RecordBatch) else to_batch(calls)
        for listener in listeners:
            try:
                listener.offer(batch)
            except pa.ArrowException:  # what is stored is stored: its door must not fail for a listener's sake
                listener.end()

    @contextlib.contextmanager
    def listening(self, matching: Matching) -> Iterator[Listener]:
        """A listener on the running event loop, from now until the end of the block. Busy where there are too many."""
        listener = Listener(matching, self.stream_calls_max, asyncio.get_running_loop())
        with self._lock:
            if self._closed or len(self._listeners) >= self._listeners_max:
                raise Busy(f"{len(self._listeners)} streams are open: close one, or try again later", 5.0)
            self._listeners = (*self._listeners, listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

    def close(self) -> None:
        """End every stream, so that a server which stops need not wait for its listeners. Safe to call twice."""
        self.beat.close()
        with self._lock:
            self._closed = True
            listeners = self._listeners
        for listener in listeners:
            listener.end()


class Listener:
    """What waits for one reader: at most `calls_max` calls, and the number of those that found no room."""

    def __init__(self, matching: Matching, calls_max: int, loop: asyncio.AbstractEventLoop) -> None:
        self._matching = matching
        self._calls_max = calls_max
        self._loop = loop
        self._lock = threading.Lock()
        self._batches: list[pa.RecordBatch] = []
        self._waiting = 0
        self._dropped = 0
        self._awake = asyncio.Event()
        self.ended = False

    def offer(self, batch: pa.RecordBatch) -> None:
        """Keep what matches, as far as there is room. From any thread."""
        wanted = self._matching(batch)
        if not len(wanted):
            return
        with self._lock:
            kept = wanted.slice(0, self._calls_max - self._waiting)
            if len(kept):
                self._batches.append(batch.take(kept))  # a copy: what waits keeps no larger batch alive
            self._waiting += len(kept)
            self._dropped += len(wanted) - len(kept)
        self._wake()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        if not self._awake.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to wake
                self._loop.call_soon_threadsafe(self._awake.set)

    async def wait(self, seconds: float) -> bool:
        """Until there is something, at most so long: is there?"""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), seconds)
        return self._awake.is_set()

    def take(self) -> tuple[list[pa.RecordBatch], int]:
        """All that waits, and how many calls were dropped since the last time."""
        self._awake.clear()
        with self._lock:
            batches, self._batches = self._batches, []
            dropped, self._dropped, self._waiting = self._dropped, 0, 0
        return batches, dropped
