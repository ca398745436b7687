"""Durable means synced: every table asks for it, and every kind of write does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.durability.traffic import Traffic

from tachograph.call import EPOCH, Call
from tachograph.flow.batch import to_batch
from tachograph.reported import read_points
from tachograph.store import SpanLinks, Store, open_store

TRACE = b"t" * 16
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path}") as opened:
        yield opened


def test_every_table_that_keeps_rows_is_synced(store: Store) -> None:
    rows = store.engine.query(
        "SELECT name, engine_full FROM system.tables WHERE database = 'tachograph' AND engine LIKE '%MergeTree'"
    )
    assert len(rows) >= 8
    wanted = ("fsync_after_insert = 1", "fsync_part_directory = 1")
    assert [name for name, engine in rows if not all(setting in engine for setting in wanted)] == []


def test_every_kind_of_write_is_synced(store: Store) -> None:
    """Files of parts and their folders; of rows also the parts of three roll-ups, of a relinking the patch."""
    assert synced(store, lambda: store.write([call(1, 0)], "a")) >= (20, 8)
    assert synced(store, lambda: store.save_snapshot("x", "y")) >= (2, 1)
    assert synced(store, lambda: store.write_points(read_points(Traffic(1).metrics().body, NOW).rows)) >= (2, 1)
    matrices = [np.frombuffer(one, np.uint8).reshape(1, -1) for one in (TRACE, b"2" * 8, b"1" * 8)]
    empty = to_batch([call(1, 0)])[:0]
    assert synced(store, lambda: store.write_batch(empty, "b", SpanLinks(*matrices))) >= (2, 1)
    before = synced(store, lambda: store.write([call(4, 0)], "c"))
    relinking = synced(store, lambda: store.write([call(3, 2)], "d"))
    assert store.engine.query("SELECT count() FROM calls WHERE same_as IS NOT NULL") == [(1,)]
    assert relinking[0] > before[0] and relinking[1] > before[1]
    patches = (
        "SELECT count() FROM system.parts WHERE database = 'tachograph' AND table = 'calls' AND name LIKE 'patch%'"
    )
    assert store.engine.query(patches) == [(1,)]
    assert synced(store, lambda: store.engine.command("UPDATE calls SET model = 'n' WHERE same_as IS NULL")) >= (2, 1)


def synced(store: Store, write: Callable[[], object]) -> tuple[int, int]:
    """How many files and how many folders a write has synced."""
    before = counts(store)
    write()
    after = counts(store)
    return after[0] - before[0], after[1] - before[1]


def counts(store: Store) -> tuple[int, int]:
    rows = dict(store.engine.query("SELECT event, value FROM system.events WHERE event LIKE '%Sync'"))
    return int(rows.get("FileSync", 0)), int(rows.get("DirectorySync", 0))


def call(span: int, parent: int) -> Call:
    return Call(
        call_id=((NOW - EPOCH) // timedelta(milliseconds=1)).to_bytes(6, "big").hex() + f"{span:020x}",
        started_at=NOW,
        received_at=NOW,
        model="m",
        operation="chat",
        trace_id=TRACE.hex(),
        span_id=(str(span).encode() * 8).hex(),
        parent_span_id=(str(parent).encode() * 8).hex() if parent else None,
        input_uncached=None if span == 1 else span,
    )
