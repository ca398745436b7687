"""The sink that keeps: calls become durable rows, each counted once.

In: calls and the token of their batch. Out: which of them were new, when all of them are on the disk.
What it must never know: where calls come from, what they cost.

Why a call counts once, however often and in whatever batches it comes: before a batch is written its ids are looked
up in the raw table (ids are its sorting key, so this reads a few marks), and only new ones go in. Of a folder that
is ours alone we know what was stored lately, and only ask for what was perhaps among it. Several sightings of one call
are linked (`linking`); which of them counts may change with each new one, and the roll-ups with it.

Raw rows and roll-ups are written by one INSERT, yet they are several tables: if anything fails half way, what was
linked anew is finished or undone (`relinking`), and the days it touched are reconciled, before anything else is
written. On a server that several writers share, the engine's own deduplication by token, which covers the views as
well, closes the gap between look-up and insert.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from tachograph.call import Call
from tachograph.flow import Refused
from tachograph.flow.batch import to_batch
from tachograph.store.engine import Engine
from tachograph.store.linking import Linker
from tachograph.store.recalling import matrix, recent_calls, recent_links
from tachograph.store.recent import Recent, of_bytes
from tachograph.store.relinking import Relinker
from tachograph.store.rollups import reconcile
from tachograph.store.suspects import SpanLinks, Suspects, ahead, fixed, milliseconds, newest, repeated
from tachograph.store.wholeness import Wholeness

BATCH_CALLS_MAX = 500_000  # one block of the engine, so that a batch is one part per week
_LOOKUP_IDS = 20_000
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
        self.whole = Wholeness(engine)
        self._settled_at = self.whole.restored
        self._session = secrets.token_hex(8)
        self._ids, self._suspects = Recent(), Suspects()
        self._since_ms = self._suspects.since_ms = self._recall()
        self._linker, self._relinker = Linker(engine, self._suspects), Relinker(engine, self.whole.check)

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Make `calls` durable; the number of those that were not there yet. See `write_batch`."""
        if len(calls) > BATCH_CALLS_MAX:
            raise _too_large(len(calls))
        return int(self.write_batch(to_batch(calls), token).num_rows)

    def write_batch(
        self, batch: pa.RecordBatch, token: str, links: SpanLinks = _NO_LINKS, took_over: set[bytes] | None = None
    ) -> pa.RecordBatch:
        """Make the calls of `batch` durable; those that were not there yet, as they were stored.

        links: spans that are no calls, over which the way from one sighting to another may lead. took_over: is given
        the new calls that are counted in place of stored sightings of theirs, for whoever counted those already.
        Raises Refused where a value cannot be stored or the batch is over BATCH_CALLS_MAX calls, Busy where the disk
        is full or the server does not answer, StoreError where a person must act. Then no call was acknowledged; the
        same batch may be written again.
        """
        if batch.num_rows > BATCH_CALLS_MAX:
            raise _too_large(batch.num_rows)
        batch = _distinct(batch)
        with self._turn, self.whole.guarded():
            self.settle()
            new = self._unknown(batch)
            if not new.num_rows and not len(links):
                return new
            changes = self._linker.changes(new, links)
            if took_over is not None:
                took_over |= changes.took_over
            self._insert_links(links)
            self._unsettled = True
            self._relinker.apply(changes)
            if new.num_rows:
                new = _marked(new, changes.same_as)
                # Before they are stored: where that fails half way, the store must be asked when they come again.
                self._remember(new)
                self._insert(new, token)
            self._unsettled = False
            return new

    def settle(self, *, force: bool = False) -> dict[str, list[str]]:
        """Make whole what a failed write left half done (or look, if `force`); the days that were rebuilt, by table."""
        restored = self.whole.restored
        if not (self._unsettled or force or restored != self._settled_at):
            return {}
        touched = self._relinker.heal(all_notes=force)
        rebuilt = reconcile(self._engine, self._kept_days, touched)
        self._unsettled, self._settled_at = False, restored
        return rebuilt

    def _recall(self) -> int | None:
        """Remember what was stored lately; since when (in milliseconds) nothing is missing, None where others write."""
        if not self._engine.embedded:
            return None
        since, calls = recent_calls(self._engine)
        for batch in calls:
            self._remember(batch)
        for links in recent_links(self._engine):
            self._suspects.remember_links(links)
        return since

    def _remember(self, batch: pa.RecordBatch) -> None:
        self._ids.add(of_bytes(batch.column("call_id"), 16), newest(batch))
        self._suspects.remember(batch)

    def _unknown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The calls that are not stored yet."""
        asked = batch.column("call_id")
        if self._since_ms is not None:
            since = max(self._since_ms, self._ids.forgotten_until)
            old = (milliseconds(batch, "started_at") <= since) | ahead(batch)
            asked = asked.filter(pa.array(self._ids.perhaps(of_bytes(asked, 16)) | old))
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

    def _insert_links(self, links: SpanLinks) -> None:
        if not len(links):
            return
        columns = [fixed(links.traces), fixed(links.spans), fixed(links.parents)]
        batch = pa.RecordBatch.from_arrays(columns, names=["trace_id", "span_id", "parent_span_id"])
        # The engine stamps them: `seen_at` is when they came, which is what their keeping depends on.
        self._engine.insert("span_links", batch)
        self._suspects.remember_links(links)

    def _insert(self, batch: pa.RecordBatch, token: str) -> None:
        # The engine remembers the blocks of parts that were set aside as not whole: in a folder of ours, where the
        # look-up is enough, their tokens must never come again.
        own = f"{self._session} {self.whole.restored} " if self._engine.embedded else ""
        settings = {
            "insert_deduplication_token": _block_token(batch, own + token),
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "max_partitions_per_insert_block": 10_000,
            # Cells are sums already: to look for equal ones among them took a tenth of the insert.
            "optimize_on_insert": 0,
            # Every column is told and none has a default: to look for them took a sixteenth of a small insert.
            "input_format_defaults_for_omitted_fields": 0,
        }
        self._engine.insert("calls", batch, **settings)


def _too_large(calls: int) -> Refused:
    return Refused("batch_too_large", f"{calls} calls in one batch: send at most {BATCH_CALLS_MAX}")


def _distinct(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Of calls with one id the last."""
    if not repeated(of_bytes(batch.column("call_id"), 16)).any():
        return batch
    last = {call_id: row for row, call_id in enumerate(batch.column("call_id").to_pylist())}
    return batch.take(pa.array(sorted(last.values())))


def _marked(batch: pa.RecordBatch, same_as: Mapping[bytes, bytes]) -> pa.RecordBatch:
    if not same_as:
        return batch
    place = batch.schema.get_field_index("same_as")
    told = batch.column("same_as").to_pylist()
    values = [same_as.get(one, before) for one, before in zip(batch.column("call_id").to_pylist(), told, strict=True)]
    return batch.set_column(place, batch.schema.field(place), pa.array(values, pa.binary(16)))


def _block_token(batch: pa.RecordBatch, token: str) -> str:
    """The token together with the ids it stands for: two different sets of calls never pass for one."""
    ids = np.sort(matrix(batch.column("call_id")).view("S16"), axis=None)
    return hashlib.sha256(token.encode(errors="replace") + b"\0" + ids.tobytes()).hexdigest()
