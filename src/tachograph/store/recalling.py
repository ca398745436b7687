"""What an earlier process stored lately, read again a piece at a time when a store is opened.

In: the raw table and the links. Out: since when the pieces are complete, and the pieces, oldest first.
What it must never know: what is remembered of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tachograph.store.engine import Engine
from tachograph.store.suspects import SpanLinks

HOURS = 2  # an hour for late sightings, and one to spare
ROWS_MAX = 4_000_000  # of calls, and of links: the latest; of what was before, the store is asked
_PIECE_ROWS = 500_000
_CALLS = ("call_id", "trace_id", "span_id", "parent_span_id", "response_id", "request_id", "started_at", "received_at")
_BY_ID = "call_id >= toFixedString(unhex({low:String}), 16) AND call_id < toFixedString(unhex({high:String}), 16)"
_BY_TIME = "seen_at >= toDateTime({low:UInt32}, 'UTC') AND seen_at < toDateTime({high:UInt32}, 'UTC')"

Minutes = tuple[int, int]  # [first, last)


def recent_calls(engine: Engine) -> tuple[int, Iterator[pa.RecordBatch]]:
    """(milliseconds since 1970 from which on no call is missing, batches with what tells calls apart)."""
    ((now,),) = engine.query("SELECT toUnixTimestamp(now())")
    oldest = int(now) // 60 - HOURS * 60
    counts = engine.query(
        "SELECT toInt64(intDiv(toUnixTimestamp(started_at), 60)) AS minute, count() FROM calls"
        " WHERE call_id >= toFixedString(unhex({low:String}), 16) GROUP BY minute ORDER BY minute DESC",
        {"low": _first_id(oldest)},
    )
    pieces, complete = _pieces([(int(minute), int(count)) for minute, count in counts])
    since = oldest if complete else pieces[0][0]
    return since * 60_000, _batches(engine, pieces)


def _batches(engine: Engine, pieces: list[Minutes]) -> Iterator[pa.RecordBatch]:
    for first, last in pieces:
        bounds = {"low": _first_id(first), "high": _first_id(last)}
        rows = engine.arrow(f"SELECT {', '.join(_CALLS)} FROM calls WHERE {_BY_ID}", bounds)
        yield from rows.combine_chunks().to_batches()


def recent_links(engine: Engine) -> Iterator[SpanLinks]:
    """Links between spans that came lately."""
    counts = engine.query(
        "SELECT toInt64(intDiv(toUnixTimestamp(seen_at), 60)) AS minute, count() FROM span_links"
        f" WHERE seen_at > now() - toIntervalHour({HOURS}) GROUP BY minute ORDER BY minute DESC"
    )
    pieces, _ = _pieces([(int(minute), int(count)) for minute, count in counts])
    for first, last in pieces:
        sql = f"SELECT trace_id, span_id, parent_span_id FROM span_links WHERE {_BY_TIME}"
        rows = engine.arrow(sql, {"low": first * 60, "high": last * 60}).combine_chunks()
        for batch in rows.to_batches():
            yield SpanLinks(*(matrix(column) for column in batch.columns))


def _pieces(counts: list[tuple[int, int]]) -> tuple[list[Minutes], bool]:
    """Spans of minutes, oldest first, whose rows are at most ROWS_MAX; whether they are all. `counts`: newest first."""
    found: list[Minutes] = []
    total = piece = 0
    for minute, count in counts:
        total += count
        if total > ROWS_MAX and found:
            return found[::-1], False
        if found and piece + count <= _PIECE_ROWS:
            found[-1] = minute, found[-1][1]
            piece += count
        else:
            found.append((minute, minute + 1))
            piece = count
    return found[::-1], True


def _first_id(minute: int) -> str:
    return max(0, minute * 60_000).to_bytes(6, "big").hex() + "00" * 10


def matrix(column: pa.Array) -> np.ndarray:
    """A column of fixed bytes, a row of bytes each."""
    width = column.type.byte_width
    start = column.offset * width
    raw = np.frombuffer(column.buffers()[1], np.uint8)
    return raw[start : start + len(column) * width].reshape(-1, width)
