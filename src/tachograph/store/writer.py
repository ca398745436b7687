"""The sink that keeps: calls become durable rows, each counted once.

In: calls and the token of their batch. Out: which of them were new, when all of them are on the disk.
What it must never know: where calls come from, what they cost.

Why a call counts once, however often and in whatever batches it comes: before a batch is written its ids are looked
up in the raw table (ids are its sorting key, so this reads a few marks), and only new ones go in. Of a folder that
is ours alone we know what was stored lately, and only ask for what was perhaps among it. Several sightings of one call
are linked (`linking`); which of them counts may change with each new one, and the roll-ups with it.

Raw rows and roll-ups are written by one INSERT, yet they are several tables: if anything fails half way, the days it
touched are reconciled before anything else is written. On a server that several writers share, the engine's own
deduplication by token, which covers the views as well, closes the gap between look-up and insert.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tachograph.call import Call
from tachograph.flow import Refused
from tachograph.flow.batch import to_batch
from tachograph.store.engine import Engine
from tachograph.store.linking import HOUR_MS, Changes, Linker, SpanLinks
from tachograph.store.recent import Recent, of_bytes
from tachograph.store.rollups import CELLS, filling, grouping, reconcile, taking_back

BATCH_CALLS_MAX = 500_000  # one block of the engine, so that a batch is one part per week
_LOOKUP_IDS = 20_000
_RECALLED_HOURS = 2  # of what an earlier process stored: an hour for late sightings, and one to spare
_NO_LINKS = SpanLinks()
_THESE = "call_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))"


class Writer:
    """A `flow.Sink` into the raw table and its roll-ups. Writes of several threads queue up."""

    def __init__(self, engine: Engine, kept_days: Mapping[str, int | None]) -> None:
        """`kept_days`: how long each table keeps its rows, in days; None: for ever."""
        self._engine = engine
        self._kept_days = dict(kept_days)
        self._turn = threading.Lock()
        self._unsettled = False
        self._linker = Linker(engine)
        self._ids = Recent()
        self._ids_since_ms = self._recall()

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Make `calls` durable; the number of those that were not there yet. See `write_batch`."""
        if len(calls) > BATCH_CALLS_MAX:
            raise _too_large(len(calls))
        return int(self.write_batch(to_batch(calls), token).num_rows)

    def write_batch(self, batch: pa.RecordBatch, token: str, links: SpanLinks = _NO_LINKS) -> pa.RecordBatch:
        """Make the calls of `batch` durable; those that were not there yet, as they were stored.

        links: spans that are no calls, over which the way from one sighting to another may lead.
        Raises Refused where a value cannot be stored or the batch is over BATCH_CALLS_MAX calls, Busy where the disk
        is full or the server does not answer, StoreError where a person must act. Then no call was acknowledged; the
        same batch may be written again.
        """
        if batch.num_rows > BATCH_CALLS_MAX:
            raise _too_large(batch.num_rows)
        batch = _distinct(batch)
        with self._turn:
            self.settle()
            new = self._unknown(batch)
            if not new.num_rows and not len(links):
                return new
            changes = self._linker.changes(new, links)
            self._insert_links(links)
            self._unsettled = True
            self._change(changes)
            if new.num_rows:
                new = _marked(new, changes.same_as)
                # Before they are stored: where that fails half way, the store must be asked when they come again.
                self._remember(new)
                self._insert(new, token)
            self._unsettled = False
            return new

    def settle(self, *, force: bool = False) -> dict[str, list[str]]:
        """Reconcile roll-ups with the raw table if a write failed (or `force`); the days rebuilt, by table."""
        if not (self._unsettled or force):
            return {}
        self._engine.command(_FREE_ORPHANS)
        rebuilt = reconcile(self._engine, self._kept_days)
        self._unsettled = False
        return rebuilt

    def _recall(self) -> int:
        """Remember what was stored lately; since when (in milliseconds) nothing is missing."""
        ((now,),) = self._engine.query("SELECT toUnixTimestamp(now())")
        since = (int(now) - _RECALLED_HOURS * 3600) * 1000
        low = since.to_bytes(6, "big") + bytes(10)
        rows = self._engine.arrow(
            "SELECT call_id, trace_id, span_id, parent_span_id, response_id, started_at FROM calls"
            " WHERE call_id >= toFixedString(unhex({low:String}), 16)",
            {"low": low.hex()},
        )
        for batch in rows.combine_chunks().to_batches():
            self._remember(batch)
        links = self._engine.arrow("SELECT trace_id, span_id, parent_span_id FROM span_links")
        self._linker.remember_links(SpanLinks(*(_matrix(links.column(name)) for name in links.column_names)))
        return since

    def _remember(self, batch: pa.RecordBatch) -> None:
        self._ids.add(of_bytes(batch.column("call_id"), 16), int(_milliseconds(batch).max(initial=0)))
        self._linker.remember(batch)

    def _unknown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The calls that are not stored yet."""
        asked = batch.column("call_id")
        if self._engine.embedded:
            since = max(self._ids_since_ms, self._ids.forgotten_until)
            doubtful = self._ids.perhaps(of_bytes(asked, 16)) | (_milliseconds(batch) <= since)
            asked = asked.filter(pa.array(doubtful))
        known = self._known(asked.to_pylist())
        if not known:
            return batch
        return batch.filter(pa.array([call_id not in known for call_id in batch.column("call_id").to_pylist()]))

    def _known(self, ids: Sequence[bytes]) -> set[bytes]:
        known: set[bytes] = set()
        for start in range(0, len(ids), _LOOKUP_IDS):
            asked = {"ids": [call_id.hex() for call_id in ids[start : start + _LOOKUP_IDS]]}
            known.update(
                call_id for (call_id,) in self._engine.query(f"SELECT call_id FROM calls WHERE {_THESE}", asked)
            )
        return known

    def _change(self, changes: Changes) -> None:
        """Link stored calls anew: first what is so, then what is counted. Cut short, `settle` puts it right."""
        if not changes.linked and not changes.freed:
            return
        for call_id, target in changes.linked.items():
            self._engine.command(
                f"UPDATE calls SET same_as = toFixedString(unhex({{target:String}}), 16) WHERE {_THESE}",
                {"target": target.hex(), "ids": [call_id.hex()]},
            )
        if changes.counted:
            self._engine.command(taking_back(f"calls.{_THESE}"), {"ids": [one.hex() for one in changes.counted]})
        if changes.freed:
            freed = {"ids": [one.hex() for one in changes.freed]}
            self._engine.command(f"UPDATE calls SET same_as = NULL WHERE {_THESE}", freed)
            self._engine.command(
                f"INSERT INTO {CELLS.table} {filling(CELLS)} AND calls.{_THESE} {grouping(CELLS)}", freed
            )

    def _insert_links(self, links: SpanLinks) -> None:
        if not len(links):
            return
        columns = [_fixed(links.traces, 16), _fixed(links.spans, 8), _fixed(links.parents, 8)]
        batch = pa.RecordBatch.from_arrays(columns, names=["trace_id", "span_id", "parent_span_id"])
        # The engine stamps them: `seen_at` is when they came, which is what their keeping depends on.
        self._engine.insert("span_links", batch)
        self._linker.remember_links(links)

    def _insert(self, batch: pa.RecordBatch, token: str) -> None:
        settings = {
            "insert_deduplication_token": _block_token(batch, token),
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "max_partitions_per_insert_block": 10_000,
        }
        self._engine.insert("calls", batch, **settings)


# A sighting that was linked to a call which then was never stored, as its writer died: it counts again.
_FREE_ORPHANS = f"""
UPDATE calls SET same_as = NULL WHERE same_as IS NOT NULL AND started_at > now() - toIntervalDay(2)
AND same_as NOT IN (
    SELECT call_id FROM calls WHERE started_at > now() - toIntervalDay(2) - toIntervalSecond({HOUR_MS // 1000}))
"""


def _too_large(calls: int) -> Refused:
    return Refused("batch_too_large", f"{calls} calls in one batch: send at most {BATCH_CALLS_MAX}")


def _milliseconds(batch: pa.RecordBatch) -> Any:
    return np.asarray(batch.column("started_at").cast(pa.int64())) // 1000


def _matrix(column: pa.ChunkedArray) -> Any:
    width = column.type.byte_width
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, width)


def _fixed(matrix: Any, width: int) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(width), len(matrix), [None, pa.py_buffer(np.ascontiguousarray(matrix))])


def _distinct(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Of calls with one id the last."""
    ids = batch.column("call_id").to_pylist()
    last = {call_id: row for row, call_id in enumerate(ids)}
    return batch if len(last) == len(ids) else batch.take(pa.array(sorted(last.values())))


def _marked(batch: pa.RecordBatch, same_as: Mapping[bytes, bytes]) -> pa.RecordBatch:
    if not same_as:
        return batch
    place = batch.schema.get_field_index("same_as")
    told = batch.column("same_as").to_pylist()
    values = [same_as.get(one, before) for one, before in zip(batch.column("call_id").to_pylist(), told, strict=True)]
    return batch.set_column(place, batch.schema.field(place), pa.array(values, pa.binary(16)))


def _block_token(batch: pa.RecordBatch, token: str) -> str:
    """The token together with the ids it stands for: two different sets of calls never pass for one."""
    ids = b"".join(sorted(batch.column("call_id").to_pylist()))
    return hashlib.sha256(token.encode(errors="replace") + b"\0" + ids).hexdigest()
