"""The one way into the store of a process that serves: rows and the counters that tell of them move together.

In: calls from any door. Out: durable rows, counted once in the metrics of the traffic; a snapshot of all counters, from
which the next process goes on, and what was stored after it is counted again from the rows.
What it must never know: where calls come from, SQL.

`received_at` is given here, and never twice: it says which rows a snapshot has counted. After a write that failed
nobody knows whether its rows are there: they are looked for, and counted, before anything else is. What a page has
shown is saved before it leaves: a counter that went back, even by one, would be read as one that began anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import EPOCH, Call
from tachograph.flow import Busy
from tachograph.flow.batch import to_batch
from tachograph.health import Health
from tachograph.series import Series
from tachograph.store import SpanLinks, Stats, Store, StoreError
from tachograph.store.questions import Place

SNAPSHOT = "counters"
SNAPSHOT_SECONDS = 30.0
RELEASE_SECONDS = 1.0
SHOWN_SECONDS_MAX = 1.0  # how long a page waits for a write before it leaves without having been saved
_STEP = timedelta(microseconds=1)

Page = Callable[[str | None], tuple[bytes, str]]  # told the `Accept` of the request


class Counted(Protocol):
    """What counts newly stored calls."""

    def observe(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `flow.batch.SCHEMA`."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Every counter, JSON-ready."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from there."""
        ...


class Keeping:
    """A store whose writes are counted. Safe to share between threads; reads go straight through."""

    def __init__(self, store: Store, counted: Counted, health: Health, now: Callable[[], datetime]) -> None:
        self.store = store
        self._counted, self._health, self._now = counted, health, now
        self._turn = threading.Lock()
        self._latest = EPOCH
        self._worked = False
        self._doubtful_since: datetime | None = None

    def recall(self) -> int:
        """Take up the counters of the process before; how many items were stored after its last snapshot."""
        text = self.store.snapshot(SNAPSHOT)
        told = json.loads(text) if text else {}
        since = datetime.fromisoformat(told["through"]) if told else EPOCH
        if told:
            self._counted.restore(told["counters"])
        self._latest = since
        return self._recount(self.store.received_after(since), since)

    def remember(self) -> None:
        """Make the counters durable, together with how far they have counted."""
        with self._turn:
            self._remember()

    def shown(self, page: Page, accept: str | None) -> tuple[bytes, str]:
        """A page of the counters, which the next process will not fall behind, unless the store is busy or broken."""
        made = page(accept)
        if self._turn.acquire(timeout=SHOWN_SECONDS_MAX):
            try:
                self._remember()
            except (Busy, StoreError) as failure:
                logging.getLogger("tachograph").warning("the counters are shown but not saved: %s", failure)
            finally:
                self._turn.release()
        return made

    def write_batch(
        self,
        batch: pa.RecordBatch,
        token: str,
        links: SpanLinks | None = None,
        told: Callable[[pa.RecordBatch], None] = lambda _new: None,
    ) -> pa.RecordBatch:
        """See `Store.write_batch`. told: counts the new calls, so that no snapshot falls between them and the rows."""
        with self._turn, self._doubting() as moment:
            place = batch.schema.get_field_index("received_at")
            field = batch.schema.field(place)
            stamped = batch.set_column(place, field, pa.repeat(pa.scalar(moment, field.type), batch.num_rows))
            self._worked = True
            took_over: set[bytes] = set()
            new = self.store.write_batch(stamped, token, links, took_over)
            if new.num_rows:
                self._counted.observe(_without(new, took_over))
            told(new)
            return new

    def write(self, calls: Sequence[Call], token: str) -> int:
        """See `Store.write`."""
        return int(self.write_batch(to_batch(calls), token).num_rows) if calls else 0

    def release_memory(self) -> None:
        """Where something was stored since the last time, give back what that took."""
        if self._worked:
            self._worked = False
            self.store.release_memory()

    def write_points(self, rows: Sequence[dict[str, Any]], told: Callable[[int], None] = lambda _new: None) -> int:
        """See `Store.write_points`; told: as of `write_batch`."""
        with self._turn, self._doubting() as moment:
            new = self.store.write_points([{**row, "received_at": moment} for row in rows])
            told(new)
            return new

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[datetime]:
        """The moment of a write; where it fails, what it may have left behind is counted before the next."""
        self._settle()
        before, self._latest = self._latest, max(self._now(), self._latest + _STEP)
        try:
            yield self._latest
        except BaseException:
            self._doubtful_since = before
            raise

    def _settle(self) -> None:
        if self._doubtful_since is not None:
            # Read whole before any of it is counted: where reading fails, it is read again.
            self._recount(list(self.store.received_after(self._doubtful_since)), self._doubtful_since)
            self._doubtful_since = None

    def _recount(self, batches: Iterable[pa.RecordBatch], since: datetime) -> int:
        """Count what was stored after that moment; how many items."""
        found, latest = self.store.points_after(since)
        for batch in batches:
            self._counted.observe(batch)
            found += batch.num_rows
            latest = max(latest, pc.max(batch.column("received_at")).as_py())
        self._latest = max(self._latest, latest)
        if found:
            self._health.change(("items_accepted_total", found, "recalled"), ("items_stored_total", found, ""))
        return found

    def _remember(self) -> None:
        self._settle()
        told = {"through": self._latest.isoformat(), "counters": self._counted.snapshot()}
        self.store.save_snapshot(SNAPSHOT, json.dumps(told, separators=(",", ":")))

    def ask(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> Series:
        """See `Store.ask`."""
        return self.store.ask(measures, by, where, since=since, until=until, step=step, limit=limit, order=order)

    def call(self, call_id: str) -> Call | None:
        """See `Store.call`."""
        return self.store.call(call_id)

    def calls(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: Place | None = None,
    ) -> list[Call]:
        """See `Store.calls`."""
        return self.store.calls(where, since=since, until=until, limit=limit, after=after)

    def sightings(self, call_id: str) -> list[Call]:
        """See `Store.sightings`."""
        return self.store.sightings(call_id)

    def stats(self) -> Stats:
        """See `Store.stats`."""
        return self.store.stats()


def _without(batch: pa.RecordBatch, ids: set[bytes]) -> pa.RecordBatch:
    """The calls of the batch but these: a counter that has counted a call by another sighting cannot take it back."""
    if not ids:
        return batch
    return batch.filter(pa.array([call_id not in ids for call_id in batch.column("call_id").to_pylist()]))
