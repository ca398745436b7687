"""The sink that keeps: calls become durable rows, each counted once.

In: calls and the token of their batch. Out: how many were new, when all of them are on the disk.
What it must never know: where calls come from, what they cost.

Why a call counts once, however often and in whatever batches it comes: before a batch is written its ids are looked
up in the raw table (ids are its sorting key, so this reads a few marks), and only new ones go in. Raw rows and
roll-ups are written by one INSERT, yet they are several tables: if it fails half way, the days it touched are
reconciled before anything else is written. On a server that several writers share, the engine's own deduplication by
token, which covers the views as well, closes the gap between look-up and insert.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

import pyarrow as pa

from tachograph.call import Call
from tachograph.flow import Refused
from tachograph.flow.batch import to_batch
from tachograph.store.engine import Engine
from tachograph.store.rollups import reconcile

BATCH_CALLS_MAX = 500_000  # one block of the engine, so that a batch is one part per week
_LOOKUP_IDS = 20_000


class Writer:
    """A `flow.Sink` into the raw table and its roll-ups. Writes of several threads queue up."""

    def __init__(self, engine: Engine, kept_days: Mapping[str, int | None]) -> None:
        """`kept_days`: how long each table keeps its rows, in days; None: for ever."""
        self._engine = engine
        self._kept_days = dict(kept_days)
        self._turn = threading.Lock()
        self._unsettled = False

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Make `calls` durable; the number of those that were not there yet.

        Raises Refused where a value cannot be stored or the batch is over BATCH_CALLS_MAX calls, Busy where the disk
        is full or the server does not answer, StoreError where a person must act. Then no call was acknowledged; the
        same batch may be written again.
        """
        if len(calls) > BATCH_CALLS_MAX:
            raise Refused("batch_too_large", f"{len(calls)} calls in one batch: send at most {BATCH_CALLS_MAX}")
        distinct = {call.call_id: call for call in calls}
        batch = to_batch(list(distinct.values()))
        with self._turn:
            self.settle()
            new = _without(batch, self._known(list(distinct)))
            if new.num_rows:
                self._insert(new, token)
            return int(new.num_rows)

    def settle(self, *, force: bool = False) -> dict[str, list[str]]:
        """Reconcile roll-ups with the raw table if a write failed (or `force`); the days rebuilt, by table."""
        if not (self._unsettled or force):
            return {}
        rebuilt = reconcile(self._engine, self._kept_days)
        self._unsettled = False
        return rebuilt

    def _known(self, ids: Sequence[str]) -> set[bytes]:
        known: set[bytes] = set()
        for start in range(0, len(ids), _LOOKUP_IDS):
            rows = self._engine.query(
                "SELECT call_id FROM calls WHERE call_id IN "
                "(SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))",
                {"ids": list(ids[start : start + _LOOKUP_IDS])},
            )
            known.update(call_id for (call_id,) in rows)
        return known

    def _insert(self, batch: pa.RecordBatch, token: str) -> None:
        settings = {
            "insert_deduplication_token": _block_token(batch, token),
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "max_partitions_per_insert_block": 10_000,
        }
        self._unsettled = True
        self._engine.insert("calls", batch, **settings)
        self._unsettled = False


def _without(batch: pa.RecordBatch, known: set[bytes]) -> pa.RecordBatch:
    if not known:
        return batch
    return batch.filter(pa.array([call_id not in known for call_id in batch.column("call_id").to_pylist()]))


def _block_token(batch: pa.RecordBatch, token: str) -> str:
    """The token together with the ids it stands for: two different sets of calls never pass for one."""
    ids = b"".join(sorted(batch.column("call_id").to_pylist()))
    return hashlib.sha256(token.encode(errors="replace") + b"\0" + ids).hexdigest()
