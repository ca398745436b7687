"""The one way into the store of a process that serves: rows and the counters that tell of them move together.

In: calls from any door. Out: durable rows, counted once in the metrics of the traffic; a snapshot of all counters, from
which the next process goes on, and what was stored after it is counted again from the rows.
What it must never know: where calls come from, SQL.

`received_at` is given here, and never twice: it says which rows a snapshot has counted.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import EPOCH, Call
from tachograph.flow.batch import to_batch
from tachograph.health import Health
from tachograph.series import Series
from tachograph.store import SpanLinks, Stats, Store
from tachograph.store.questions import Place

SNAPSHOT = "counters"
SNAPSHOT_SECONDS = 30.0
_STEP = timedelta(microseconds=1)


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

    def recall(self) -> int:
        """Take up the counters of the process before; how many calls were stored after its last snapshot."""
        text = self.store.snapshot(SNAPSHOT)
        told = json.loads(text) if text else {}
        since = datetime.fromisoformat(told["through"]) if told else EPOCH
        if told:
            self._counted.restore(told["counters"])
        replayed = 0
        for batch in self.store.received_after(since):
            self._counted.observe(batch)
            replayed += batch.num_rows
            latest: datetime = pc.max(batch.column("received_at")).as_py()
            self._latest = max(self._latest, latest)
        if replayed:
            self._health.change(("items_accepted_total", replayed, "recalled"), ("items_stored_total", replayed, ""))
        self._latest = max(self._latest, since)
        return replayed

    def remember(self) -> None:
        """Make the counters durable, together with how far they have counted."""
        with self._turn:
            told = {"through": self._latest.isoformat(), "counters": self._counted.snapshot()}
            self.store.save_snapshot(SNAPSHOT, json.dumps(told, separators=(",", ":")))

    def write_batch(self, batch: pa.RecordBatch, token: str, links: SpanLinks | None = None) -> pa.RecordBatch:
        """See `Store.write_batch`."""
        with self._turn:
            moment = self._moment()
            place = batch.schema.get_field_index("received_at")
            field = batch.schema.field(place)
            stamped = batch.set_column(place, field, pa.repeat(pa.scalar(moment, field.type), batch.num_rows))
            new = self.store.write_batch(stamped, token, links)
            if new.num_rows:
                self._counted.observe(new)
            return new

    def write(self, calls: Sequence[Call], token: str) -> int:
        """See `Store.write`."""
        return int(self.write_batch(to_batch(calls), token).num_rows) if calls else 0

    def write_points(self, rows: Sequence[dict[str, Any]]) -> int:
        """See `Store.write_points`."""
        return self.store.write_points(rows)

    def _moment(self) -> datetime:
        self._latest = max(self._now(), self._latest + _STEP)
        return self._latest

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
