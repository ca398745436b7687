"""From the gateway's log to where calls are kept: each line read, made a Call, handed over, and accounted for.

In: the logs of the Envoys that run or ran (`capture.gateway.following`), what makes an exchange of a line, a place to
put calls. Out: calls in the store or at a collector; the position of each log moves when they are there.
What it must never know: a field path, SQL, how Envoy is run.

The log is the queue: where the place is busy or away, nothing moves, and the same lines are read again later; past its
bound the oldest are given up and counted. A line that cannot be read is counted and skipped, never read for ever. The
ledger takes a line up when its fate is decided, so that trying again counts nothing.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Protocol

import pyarrow as pa

from tachograph import wire
from tachograph.call import Call, derive_id
from tachograph.capture.gateway.following import Batch, Log, LogLimits
from tachograph.capture.gateway.lines import Seen
from tachograph.capture.gateway.running import Run
from tachograph.flow import Busy, Refused, Sink
from tachograph.flow.batch import to_batch
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.normalise import Circumstances, complete
from tachograph.pricing import PriceBook
from tachograph.store.errors import StoreError
from tachograph.version import VERSION

DOOR = "gateway"
SOURCE = f"gateway {VERSION}"
LOST = "log_full"
POLL_SECONDS = 0.05
GATHER_SECONDS = 0.5  # between two batches: storing one costs the same for few lines as for many
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 0.5, 15.0
REOPEN_SECONDS = 1.0  # until Envoy is told once more
FULL_LINES = 1_000  # of a batch that is not waited for
SENT_CALLS_MAX = 512
_WRONG_KEY = ("http_401", "http_403", "http_404")  # for a person to put right: nothing is lost meanwhile
_LOG = logging.getLogger("tachograph.gateway")
_TOLD_MAX = 10  # lines that could not be read are told one by one

Fate = tuple[str, str]  # (refused or ignored, reason)


@dataclass(slots=True)
class Told:
    """What lines came to: calls, and what became of the lines that are none."""

    calls: list[Call] = field(default_factory=list)
    fates: Counter[Fate] = field(default_factory=Counter)


class Place(Protocol):
    """Where calls go for good, with what is to be counted with them."""

    def put(self, told: Told) -> None:
        """Raises Busy where nothing was taken."""
        ...


class Kept:
    """A store in this process."""

    def __init__(
        self,
        keeping: Keeping,
        book: PriceBook,
        health: Health,
        attribution: Mapping[str, str],
        now: Callable[[], datetime],
        publish: Callable[[pa.RecordBatch], None],
    ) -> None:
        self._keeping, self._book, self._health = keeping, book, health
        self._attribution, self._now, self._publish = attribution, now, publish

    def put(self, told: Told) -> None:
        """See `Place.put`."""
        circumstances = Circumstances(self._now(), SOURCE, DOOR, self._attribution)
        started = time.perf_counter()
        try:
            self._write(complete(told.calls, self._book, circumstances, seed=b""))
        except StoreError as failure:
            _LOG.error("%s", failure)
            raise Busy(str(failure), AGAIN_SECONDS_MAX) from failure
        finally:
            self._health.change(("batches_total", 1, ""), ("batch_seconds_total", time.perf_counter() - started, ""))
        _count(self._health, told.fates)

    def _write(self, calls: Sequence[Call]) -> None:
        """Halves are tried until what the store refuses is alone."""
        if not calls:
            return
        count = len(calls)

        def counted(new: pa.RecordBatch) -> None:
            ids = set(new.column("call_id").to_pylist())
            fresh = [call for call in calls if bytes.fromhex(call.call_id) in ids]
            self._health.took(DOOR, fresh, len(fresh))
            known = count - len(fresh)
            self._health.change(("items_accepted_total", known, DOOR), ("items_deduplicated_total", known, ""))

        try:
            new = self._keeping.write_batch(to_batch(calls), secrets.token_hex(8), None, counted)
        except Refused as refused:
            if count == 1:
                _LOG.warning("a call was refused by the store: %s", refused)
                _count(self._health, {("refused", refused.reason): 1})
            else:
                self._write(calls[: count // 2])
                self._write(calls[count // 2 :])
            return
        if new.num_rows:
            self._publish(new)


class Sent:
    """A collector, by any outlet that answers when it has the calls. It prices them: it has the contract's prices."""

    def __init__(self, outlet: Sink, health: Health, attribution: Mapping[str, str]) -> None:
        self._outlet, self._health, self._attribution = outlet, health, attribution

    def put(self, told: Told) -> None:
        """See `Place.put`. What was sent before it failed is sent again: its spans are known by their ids."""
        for call in told.calls:
            call.source = call.source or SOURCE
            for name, value in self._attribution.items():
                if not getattr(call, name):
                    setattr(call, name, value)
        for start in range(0, len(told.calls), SENT_CALLS_MAX):
            self._send(told.calls[start : start + SENT_CALLS_MAX])
        _count(self._health, told.fates)

    def _send(self, calls: Sequence[Call]) -> None:
        try:
            taken = self._outlet.write(calls, secrets.token_hex(8))
        except Refused as refused:
            if refused.reason in _WRONG_KEY:
                raise Busy(f"{refused}: set TACHOGRAPH_COLLECTOR_KEY", AGAIN_SECONDS_MAX) from refused
            _LOG.warning("%d calls were refused: %s", len(calls), refused)
            _count(self._health, {("refused", refused.reason): len(calls)})
            return
        self._health.took(DOOR, calls[:taken], taken)
        _count(self._health, {("refused", "rejected"): len(calls) - taken})


class Gating:
    """Follows the logs of `runs` and puts what is in them to its place. `follow` is for one thread."""

    def __init__(
        self,
        runs: Callable[[], Sequence[Run]],
        reopen: Callable[[Run], None],
        forget: Callable[[Run], None],
        seen: Callable[[bytes], Seen | None],
        opening: bytes,
        place: Place,
        health: Health,
        limits: LogLimits,
    ) -> None:
        """reopen: has an Envoy open its log anew. forget: takes a run away whose log is done with. seen: reads a line;
        None for a request that asks no model, Refused for what is no line. opening: with what every line begins, and
        what stands nowhere else in one.
        """
        self._runs, self._reopen, self._forget = runs, reopen, forget
        self._seen, self._opening, self._place = seen, opening, place
        self._health, self._limits = health, limits
        self._logs: dict[Run, Log] = {}
        self._again_at = self._tend_at = 0.0
        self._tries = self._odd = 0

    def follow(self, stopping: threading.Event) -> None:
        """Until `stopping`; then what is left, as long as its place takes it."""
        while True:
            last = stopping.is_set()
            began = time.monotonic()
            self._tend(began)
            lines = 0 if began < self._again_at and not last else self._move()
            if last and (not lines or self._tries):
                break
            if not lines:
                stopping.wait(POLL_SECONDS)
            elif lines < FULL_LINES and not last:
                stopping.wait(max(0.0, began + GATHER_SECONDS - time.monotonic()))
        self._tend(float("inf"))
        for log in self._logs.values():
            log.close()

    def _move(self) -> int:
        """Put there what can be read now; how many lines."""
        moved = 0
        for run in self._runs():
            log = self._log(run)
            batch = log.read()
            try:
                if batch.lines or batch.skipped:
                    self._place.put(self._told(batch))
            except Busy as busy:
                self._wait(busy)
                return moved
            except Exception as error:  # not one of the two typed failures: a bug; the lines stay where they are
                _LOG.exception("lines of the gateway's log could not be put to their place: report this")
                self._wait(Busy(str(error), AGAIN_SECONDS_MAX))
                return moved
            log.done(batch)
            moved += len(batch.lines) + batch.skipped.total()
        if moved:
            self._tries = 0
        return moved

    def _wait(self, busy: Busy) -> None:
        self._tries += 1
        longest = min(AGAIN_SECONDS_MAX, AGAIN_SECONDS * 2 ** min(self._tries, 10))
        self._again_at = time.monotonic() + max(busy.after_seconds, random.uniform(0.1, 1.0) * longest)
        if self._tries in (1, 10) or self._tries % 100 == 0:
            _LOG.warning("the gateway's log waits: %s", busy)

    def _log(self, run: Run) -> Log:
        if run not in self._logs:
            self._logs[run] = Log(run.folder, self._limits, run.alive, _LOG.warning)
        return self._logs[run]

    def _tend(self, now: float) -> None:
        """Rotate, give up what is over the bound, forget what is done."""
        if now < self._tend_at:
            return
        self._tend_at = now + REOPEN_SECONDS
        unread = 0
        for run in self._runs():
            log = self._log(run)
            log.rotate()
            if log.reopening:
                self._reopen(run)
            if self._tries and (lost := log.give_up()):
                _LOG.error("the gateway's log is over its bound: %d lines were given up unread", lost)
                self._health.add("gateway_lines_lost_total", lost, LOST)
            unread += log.unread_bytes
            if log.finished:
                log.close()
                del self._logs[run]
                self._forget(run)
        self._health.set("gateway_unread_bytes", unread)

    # a line

    def _told(self, batch: Batch) -> Told:
        told = Told(fates=Counter({("refused", reason): count for reason, count in batch.skipped.items()}))
        for line in batch.lines:
            try:
                calls = self._calls(line)
            except Refused as refused:
                told.fates["refused", refused.reason] += 1
                self._tell(str(refused))
                continue
            except Exception as error:  # the one guard: a line that we cannot read must not be read for ever
                told.fates["refused", "internal_error"] += 1
                self._tell(f"{type(error).__name__}: {error}: report this", error)
                continue
            told.calls += calls
            told.fates["ignored", "not_a_model_call"] += not calls
        return told

    def _calls(self, line: bytes) -> list[Call]:
        """The calls of a line; of one that was glued to half of another, where the disk was full, the last is whole."""
        try:
            return self._read(line)
        except Refused:
            whole = line.rfind(self._opening)
            if whole <= 0:
                raise
        calls = self._read(line[whole:])
        self._tell("half a line stood before a whole one: was the disk full?")
        return calls

    def _read(self, line: bytes) -> list[Call]:
        seen = self._seen(line)
        return calls_of(seen) if seen is not None else []

    def _tell(self, what: str, error: Exception | None = None) -> None:
        self._odd += 1
        if self._odd <= _TOLD_MAX or self._odd % 1000 == 0:
            _LOG.warning("line %d of the gateway's log that is odd: %s", self._odd, what, exc_info=error)


def calls_of(seen: Seen) -> list[Call]:
    """The calls of what was seen, with ids that depend on nothing else, so that a line read again is the same calls."""
    calls = wire.read(seen.exchange)
    for index, call in enumerate(calls):
        call.vantage = DOOR
        if seen.cuts:  # the tap failed, or its bounds were too narrow for this exchange
            call.flag("tap_fault" if "fault" in seen.cuts else "tap_cut")
        call.trace_id, call.parent_span_id = seen.trace_id, seen.parent_span_id
        call.span_id = seen.span_id if not index else _further(seen, index)
        call.call_id = derive_id(call.started_at, bytes.fromhex(call.trace_id + call.span_id))
        for name, value in seen.attribution.items():
            if name == "tags":
                call.tags = {**call.tags, **value}
            elif value:
                setattr(call, name, value)
    return calls


def _further(seen: Seen, index: int) -> str:
    """The span of a further call of one exchange."""
    return blake2b(f"{seen.trace_id}{seen.span_id}{index}".encode(), digest_size=8).hexdigest()


def _count(health: Health, fates: Mapping[Fate, int]) -> None:
    """Lines and calls whose fate is no row."""
    for (kind, reason), count in fates.items():
        if count:
            health.change(("items_accepted_total", count, DOOR), (f"items_{kind}_total", count, reason))
