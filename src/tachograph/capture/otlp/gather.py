"""Many requests become one batch: the engine's fixed cost is paid once for all that wait.

In: bodies in protobuf from both doors. Out: to each what became of it, once `Intake.take` has returned. One thread
stores, one batch at a time: while it stores, the next batch gathers, so batches grow by themselves under load. Below
that, where several send, what storing takes decides how long the next batch gathers.
A sender that has gone is dropped while it waits; once its body is being stored it is stored.
What it must never know: HTTP, gRPC, what is inside a body.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tachograph.capture.otlp import SIGNALS, Intake, Taken
from tachograph.capture.otlp.limits import DoorLimits, InFlight
from tachograph.flow import Busy, Refused

LOG = logging.getLogger("tachograph.otlp")
RESTS = 3  # times as long as storing took, gathering may take: a quarter of a core at most goes to small batches
Outcome = Taken | Refused


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request. since: when it came, by the loop's clock."""

    body: bytes
    since: float
    outcome: asyncio.Future[Taken]


class _Queue:
    """The requests of one signal that nobody stores yet, and their bytes."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.bytes = 0

    def append(self, waiting: _Waiting) -> None:
        self.waiting.append(waiting)
        self.bytes += len(waiting.body)

    def forget(self, waiting: _Waiting) -> None:
        """Drop a request whose sender has gone; one that is being stored is not here any more."""
        if waiting in self.waiting:
            self.waiting.remove(waiting)
            self.bytes -= len(waiting.body)

    def batch(self, limits: DoorLimits) -> list[_Waiting]:
        """The first ones, as many as one batch may hold, and at least one."""
        batch: list[_Waiting] = []
        room = limits.batch_bytes_max
        while self.waiting and len(batch) < limits.batch_requests_max:
            size = len(self.waiting[0].body)
            if batch and size > room:
                break
            room -= size
            self.bytes -= size
            batch.append(self.waiting.popleft())
        return batch

    def full(self, limits: DoorLimits) -> bool:
        """Whether nothing more would fit into the next batch."""
        return len(self.waiting) >= limits.batch_requests_max or self.bytes >= limits.batch_bytes_max


class Gatherer:
    """Gathers per signal and stores. Use as `async with Gatherer(...) as gatherer`."""

    def __init__(self, intake: Intake, limits: DoorLimits) -> None:
        self._intake, self._limits = intake, limits
        self._queues = {signal: _Queue() for signal in SIGNALS}
        self._arrived = asyncio.Event()
        self._stopping = False
        self._storing: list[float] = []
        self._gather_seconds = limits.gather_seconds  # as long as the next batch gathers
        self._thread = ThreadPoolExecutor(1, "otlp-store")
        self._pump: asyncio.Task[None] | None = None
        self.held = InFlight(limits)

    async def __aenter__(self) -> Gatherer:
        self._pump = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_failure: object) -> None:
        """Store what waits, then end; the doors are closed before this. A store that hangs is not waited for."""
        self._stopping = True
        self._arrived.set()
        if self._pump is not None:
            _done, hanging = await asyncio.wait({self._pump}, timeout=self._limits.stop_seconds_max)
            for pump in hanging:
                pump.cancel()
                LOG.error(
                    "the store did not answer within %s s: nobody was told success", self._limits.stop_seconds_max
                )
        self._thread.shutdown(wait=False)

    def in_flight(self) -> tuple[int, int]:
        """(requests, bytes) that are read, waiting or being stored."""
        return self.held.requests, self.held.bytes

    def lag_seconds(self) -> float:
        """How long the oldest request that is not answered yet has been here; 0 where there is none."""
        waiting = [queue.waiting[0].since for queue in self._queues.values() if queue.waiting]
        oldest = min([*waiting, *self._storing], default=None)
        return 0.0 if oldest is None else max(0.0, _clock() - oldest)

    async def submit(self, signal: str, body: bytes) -> Taken:
        """What became of `body`, once that is durable. Raises its Refused, or Busy where it may come again."""
        if self._stopping:
            raise Busy("stopping: try again later")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(body, loop.time(), loop.create_future())
        self._queues[signal].append(waiting)
        self._arrived.set()
        try:
            return await waiting.outcome
        except asyncio.CancelledError:
            self._queues[signal].forget(waiting)
            raise

    async def _run(self) -> None:
        while (signal := await self._ripe()) is not None:
            await self._store(signal, self._queues[signal].batch(self._limits))

    async def _ripe(self) -> str | None:
        """The signal to store now: the one that waited longest, once that is long enough; None at the end."""
        while True:
            self._arrived.clear()
            oldest = min((signal for signal in SIGNALS if self._queues[signal].waiting), key=self._since, default=None)
            if oldest is None and self._stopping:
                return None
            left = None if oldest is None else self._since(oldest) + self._gather_seconds - _clock()
            if left is not None and (left <= 0 or self._stopping):
                return oldest
            for signal in SIGNALS:
                if self._queues[signal].full(self._limits):
                    return signal
            await self._arrival(left)

    def _since(self, signal: str) -> float:
        return self._queues[signal].waiting[0].since

    async def _arrival(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def _store(self, signal: str, batch: list[_Waiting]) -> None:
        """Store one batch and tell everybody in it; whatever goes wrong, nobody is told success without it."""
        bodies = [waiting.body for waiting in batch]
        loop = asyncio.get_running_loop()
        self._storing, began = [waiting.since for waiting in batch], _clock()
        try:
            outcomes = _matching(await loop.run_in_executor(self._thread, self._intake.take, signal, bodies), batch)
        except Busy as busy:
            _tell(batch, [Busy(str(busy), busy.after_seconds) for _ in batch])
        except Exception:
            # Not one of the two typed failures: a bug. The senders keep what they have and come again.
            LOG.exception("%s of %d requests could not be stored: report this", signal, len(batch))
            _tell(batch, [Busy("an internal error: the log of the collector has it") for _ in batch])
        else:
            _tell(batch, outcomes)
        finally:
            self._storing = []
            # Where nobody came meanwhile, whoever sends was in the batch, and would only wait for themselves.
            least, others = self._limits.gather_seconds, any(queue.waiting for queue in self._queues.values())
            self._gather_seconds = min(max(least, RESTS * (_clock() - began)), RESTS * least) if others else least


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _matching(outcomes: Sequence[Outcome], batch: Sequence[_Waiting]) -> Sequence[Outcome]:
    if len(outcomes) != len(batch):
        raise ValueError(f"{len(outcomes)} outcomes for {len(batch)} requests")
    return outcomes


def _tell(batch: Sequence[_Waiting], outcomes: Sequence[Outcome | Busy]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if waiting.outcome.done():  # the sender has gone
            continue
        if isinstance(outcome, Taken):
            waiting.outcome.set_result(outcome)
        else:
            waiting.outcome.set_exception(outcome)
