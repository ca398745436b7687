"""The sender: between the user's threads, which must not wait, and an outlet, which may be slow or away.

In: calls, offered one by one from any thread, from signal handlers and finalizers too. Out: batches to one outlet, in
order. A bounded queue; one daemon thread, started with the first call; Busy is tried again with full jitter; while
the outlet is away, batches wait on disk where a path is given, and are drained when it is back, in order, also by the
next process. At exit what is left is sent within a bound.
What it must never know: what an outlet does, what a call says.

`offer` takes no lock: it appends to a deque, counts, and rings a `SimpleQueue`, all of which CPython documents or
implements as atomic and reentrant. Everything else happens in the one thread. Always, when nothing moves:
offered = sent + dropped + waiting + spilled.
"""

from __future__ import annotations

import _thread
import atexit
import itertools
import logging
import os
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from tachograph.call import Call
from tachograph.flow import Busy, Refused
from tachograph.forks import follow_forks
from tachograph.outlets import Ahead, Outlet
from tachograph.outlets.processes import close_with_process
from tachograph.outlets.spill import Spill

BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 30.0
TELL_SECONDS = 60.0
AWAY_TRIES = 4  # so many in vain, and it is said
ADOPT_SECONDS = 60.0
_LOOK_SECONDS = 0.005
_NOW = True  # on the bell: do not wait out a pause


class Sender:
    """Sends to one outlet.

    name: what the log calls it. queue_calls_max: calls that wait in memory; what comes on top is dropped.
    flush_seconds: how long a call waits for others to share its batch. spill: path of the files on disk, see `Spill`.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        name: str,
        queue_calls_max: int = 10_000,
        batch_calls_max: int = 512,
        flush_seconds: float = 1.0,
        exit_seconds_max: float = 3.0,
        spill: str | os.PathLike[str] | None = None,
        spill_bytes_max: int = 64 << 20,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._outlet, self.name = outlet, name
        self._queue_calls_max, self._batch_calls_max = queue_calls_max, batch_calls_max
        self._ring_at = min(batch_calls_max, queue_calls_max) - 1
        self._flush_seconds, self._exit_seconds_max = flush_seconds, exit_seconds_max
        self._spill = None if spill is None else Spill(spill, spill_bytes_max)
        self._clock, self._sleep, self._random = clock, sleep, random
        self._begin()
        follow_forks(self.forked)
        atexit.register(self.close)
        close_with_process(self)

    def _begin(self) -> None:
        """Empty, with a thread still to be started: at first, and in the child of a fork."""
        self._queue: deque[Call | Ahead] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._unstarted: list[None] = [None]  # whoever pops it starts the thread
        self._started = self._closed = self._working = False
        self._hand: list[Call] = []  # the batch that is being sent, while it is not on disk
        self._token = ""
        self._work_lock = threading.Lock()  # held while a batch moves; never by `offer`
        self._offered, self._overflowed, self._late = _Tally(), _Tally(), _Tally()
        self._sent = self._retried = self._adopted = self._unfolded = 0
        self._dropped: dict[str, int] = {}
        self._tries, self._again_at, self._adopt_at = 0, 0.0, 0.0
        self._told_at, self._told = self._clock() - TELL_SECONDS, 0
        self._why, self._told_away = "", False

    def offer(self, call: Call | Ahead) -> bool:
        """Take a call to be sent, or what stands for it; False where there is no room. Never waits, never raises."""
        waiting = len(self._queue)
        self._offered.add()
        if waiting >= self._queue_calls_max:
            self._overflowed.add()
            return False
        if self._closed:
            self._late.add()
            return False
        self._queue.append(call)
        if waiting == self._ring_at:
            self._bell.put(False)
        elif self._unstarted:
            self._start()
        return True

    @property
    def counts(self) -> dict[str, Any]:
        """offered = sent + dropped + waiting + spilled, whenever nothing moves. dropped: by reason. adopted: those of
        the offered that a process which is gone left on disk.
        """
        return {
            "offered": self._offered.read() + self._adopted + self._unfolded,
            "adopted": self._adopted,
            "sent": self._sent,
            "dropped": self._drops,
            "waiting": len(self._queue) + len(self._hand),
            "spilled": self._spill.calls if self._spill else 0,
            "retried": self._retried,
        }

    @property
    def _drops(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        dropped = {"queue_full": self._overflowed.read(), "closed": self._late.read(), **self._dropped}
        return {reason: count for reason, count in dropped.items() if count}

    def flush(self, seconds: float) -> bool:
        """Whether all that was offered has left, after so long at most. What lies on disk has not."""
        return self._settle(seconds, lambda: not self._waits and not (self._spill and self._spill.calls))

    def close(self) -> None:
        """Send what is left within `exit_seconds_max`, or put it on disk, or drop it and say so. Runs at exit."""
        if self._closed:
            return
        self._settle(self._exit_seconds_max, lambda: not self._waits)
        self._closed = True
        self._bell.put(_NOW)
        # Where the outlet hangs, its thread holds the lock: what it has in hand is put on disk all the same.
        held = self._work_lock.acquire(timeout=0.05)
        try:
            self._leave()
            if held:
                self._outlet.close()
        finally:
            if held:
                self._work_lock.release()
        atexit.unregister(self.close)

    def _settle(self, seconds: float, settled: Callable[[], bool]) -> bool:
        end = self._clock() + seconds
        if self._started or self._waits:
            self._bell.put(_NOW)
        while not settled():
            if self._unstarted:
                self._start()
            if not self._started:
                self._turn(urgent=True)
            left = end - self._clock()
            if left <= 0:
                return False
            self._sleep(min(_LOOK_SECONDS, left))
        return True

    @property
    def _waits(self) -> bool:
        return bool(self._queue or self._working or self._hand)

    def _start(self) -> None:
        """A thread without the locks of `threading`: this may run inside one of them, in a finalizer."""
        with suppress(IndexError):
            self._unstarted.pop()
            try:
                _thread.start_new_thread(_run, (self, self._bell))
                self._started = True
            except RuntimeError:  # too late: the interpreter is going, see `_settle`
                self._unstarted.append(None)

    # in the thread

    def _turn(self, urgent: bool) -> float:
        """Move what can be moved; how long to wait before the next turn."""
        with self._work_lock:
            self._working = True
            try:
                if urgent:
                    self._again_at = 0.0
                self._adopt()
                while not self._closed and self._move():
                    pass
            finally:
                self._working = False
            self._tell()
            pause = self._again_at - self._clock()
            return min(pause, self._flush_seconds) if pause > 0 else self._flush_seconds

    def _move(self) -> bool:
        """One batch on its way: to the outlet, or to disk. False: nothing to do, or it must wait."""
        if self._clock() < self._again_at:
            return self._lay_down()
        if self._spill and self._spill.calls:
            if len(self._queue) > self._batch_calls_max:
                self._lay_down()
            return self._send_spilled()
        if not self._hand and not self._take():
            return False
        return self._send_hand()

    def _take(self) -> bool:
        """A batch off the queue into the hand."""
        if not self._queue:
            return False
        self._token = secrets.token_hex(8)
        while len(self._hand) < self._batch_calls_max:
            try:
                offered = self._queue.popleft()
            except IndexError:
                break
            if isinstance(offered, Call):
                self._hand.append(offered)
            else:
                calls = offered.calls()
                self._hand += calls
                self._unfolded += len(calls) - 1
        return bool(self._hand)

    def _send_hand(self) -> bool:
        taken = self._try(self._hand, self._token)
        if self._closed:  # in the meantime: what was in hand is accounted for
            return False
        if taken is None:
            self._lay_down()
            return True
        self._sent += taken
        self._hand = []
        return True

    def _send_spilled(self) -> bool:
        assert self._spill is not None
        batch = self._spill.first(self._batch_calls_max)
        if batch is None:
            return True
        taken = self._try(batch.calls, batch.token) if batch.calls else 0
        if taken is None or self._closed:
            return not self._closed
        self._sent += taken
        self._drop("spill_damaged", batch.damaged)
        self._spill.done()
        return True

    def _try(self, calls: Sequence[Call], token: str) -> int | None:
        """How many the outlet took, the rest being dropped; None: it is away."""
        if self._tries:
            self._retried += 1
        try:
            taken = self._outlet.write(calls, token)
            if taken < len(calls):
                self._drop("rejected", len(calls) - taken)
        except Busy as busy:
            self._tries += 1
            longest = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** min(self._tries, 16))
            self._again_at = self._clock() + max(busy.after_seconds, self._random() * longest)
            self._why = str(busy)
            return None
        except Refused as refused:
            self._why = str(refused)
            self._drop(refused.reason, len(calls))
            taken = 0
        except Exception as error:  # the one guard of this thread: an outlet's mistake must not end it
            if len(calls) > 1:
                return self._try_halves(calls, token)
            self._failed(error, 1)
            taken = 0
        self._tries, self._again_at, self._told_away = 0, 0.0, False
        return taken

    def _try_halves(self, calls: Sequence[Call], token: str) -> int | None:
        """Something in it cannot be sent: whatever it is, the others can."""
        middle = len(calls) // 2
        first = self._try(calls[:middle], f"{token}.0")
        second = None if first is None else self._try(calls[middle:], f"{token}.1")
        return None if first is None or second is None else first + second

    def _failed(self, error: Exception, count: int) -> None:
        self._why = f"{type(error).__name__}: {error}"
        self._drop("failure", count)

    def _lay_down(self) -> bool:
        """Put what waits in memory on disk, as far as it fits. Whether something was."""
        if self._spill is None or not (self._hand or self._take()):
            return False
        try:
            if not self._spill.append(self._hand):
                self._why = self._spill.failure
                return False
        except (TypeError, ValueError, AttributeError) as error:  # a call that is none
            self._failed(error, len(self._hand))
        self._hand = []
        return True

    def _leave(self) -> None:
        """At the end: to disk what can be; the rest is dropped."""
        while self._lay_down():
            pass
        self._drop("exit", len(self._hand))
        self._hand = []
        while self._take():
            self._drop("exit", len(self._hand))
            self._hand = []
        if self._spill:
            self._spill.close()
        self._told_at = self._clock() - TELL_SECONDS
        self._tell()

    def _adopt(self) -> None:
        if self._spill and self._clock() >= self._adopt_at:
            self._adopt_at = self._clock() + ADOPT_SECONDS
            self._adopted += self._spill.adopt()

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self._dropped[reason] = self._dropped.get(reason, 0) + count

    def _tell(self) -> None:
        """That the outlet is away, once; what was dropped since it was last told, at most once a minute."""
        if self._tries == AWAY_TRIES and not self._told_away:
            self._told_away = True
            waiting = len(self._queue) + len(self._hand) + (self._spill.calls if self._spill else 0)
            logging.getLogger("tachograph").warning(
                "outlet %s is away, %d calls wait: %s", self.name, waiting, self._why
            )
        counts = self._drops
        total = sum(counts.values())
        if total == self._told or self._clock() < self._told_at + TELL_SECONDS:
            return
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
        why = f": {self._why}" if self._why else ""
        logging.getLogger("tachograph").warning(
            "outlet %s dropped %d calls (in all: %s)%s", self.name, total - self._told, reasons, why
        )
        self._told_at, self._told = self._clock(), total

    def forked(self) -> None:
        """In the child: what waited is the parent's to send."""
        if self._spill:
            self._spill.forked()
        closed = self._closed
        self._begin()
        self._closed = closed
        close_with_process(self)


def _run(sender: Sender, bell: SimpleQueue[bool]) -> None:
    """The thread: turns, until the sender is closed."""
    wait, urgent = 0.0, False
    while not sender._closed:
        with suppress(Empty):
            urgent = bell.get(timeout=wait)
            while not bell.empty():
                urgent = bell.get_nowait() or urgent
        wait, urgent = sender._turn(urgent), False


class _Tally:
    """A counter that any thread raises without a lock: one step of an iterator is one instruction."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self.add = self._count.__next__
        self._reads, self._lock = 0, threading.Lock()

    def read(self) -> int:
        """How often `add` was called; reading takes a step itself."""
        with self._lock:
            self._reads += 1
            return self.add() - self._reads + 1
