"""What services report about themselves: metric points in, and the totals of a time.

In: rows of `metric_points`. Out: how many were new; sums by service, metric and token type.
What it must never know: calls, a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from tachograph.call import EPOCH
from tachograph.store.engine import Engine

_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        ("received_at", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in ("metric", "unit", "kind", "temporality", "service", "environment")),
        *((name, pa.string()) for name in ("provider", "operation", "model", "token_type")),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("value", pa.float64()),
        ("count", pa.uint64()),
        ("point_id", pa.binary(16)),
    ]
)


def write_points(engine: Engine, rows: Sequence[dict[str, Any]]) -> int:
    """Make the points durable; how many were new. Raises Busy and StoreError as the writer of calls does."""
    distinct = {row["point_id"]: row for row in rows}
    if not distinct:
        return 0
    known = engine.query(
        "SELECT point_id FROM metric_points"
        # What the table is sorted by, so that not every point that was ever kept is read.
        " WHERE service IN {services:Array(String)} AND metric IN {metrics:Array(String)}"
        " AND time >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')"
        " AND time <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')"
        " AND point_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))",
        {
            "ids": [point.hex() for point in distinct],
            "services": sorted({row["service"] for row in distinct.values()}),
            "metrics": sorted({row["metric"] for row in distinct.values()}),
            "first": min(row["time"] for row in distinct.values()),
            "last": max(row["time"] for row in distinct.values()),
        },
    )
    for (point,) in known:
        distinct.pop(point, None)
    if distinct:
        columns = [
            pa.array([_plain(name, row[name]) for row in distinct.values()], kind)
            for name, kind in zip(_SCHEMA.names, _SCHEMA.types, strict=True)
        ]
        engine.insert("metric_points", pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
    return len(distinct)


def received_after(engine: Engine, moment: datetime) -> tuple[int, datetime]:
    """How many points were accepted after that moment, and when the last of them was (else that moment)."""
    since = (moment - EPOCH) // timedelta(microseconds=1)
    ((found, last),) = engine.query(
        "SELECT uniqExact(point_id), toUnixTimestamp64Micro(max(received_at)) FROM metric_points"
        " WHERE received_at > fromUnixTimestamp64Micro({since:Int64}, 'UTC')",
        {"since": since},
    )
    return int(found), EPOCH + timedelta(microseconds=max(since, int(last)))


def _plain(name: str, value: Any) -> Any:
    return list(value.items()) if name == "labels" else value


def reported(engine: Engine, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """By service, metric and token type: points, the sum of deltas, and of cumulative points what they grew by."""
    rows = engine.query(
        """
        SELECT service, metric, unit, token_type, sum(points), sum(grown) FROM (
            SELECT service, metric, unit, token_type, labels, count() AS points,
                if(any(temporality) = 'delta', sum(value), max(value) - if(count() > 1, min(value), 0)) AS grown
            FROM metric_points FINAL
            WHERE time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
                AND time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
            GROUP BY service, metric, unit, token_type, labels)
        GROUP BY service, metric, unit, token_type ORDER BY service, metric, token_type
        """,
        {"since": int(since.timestamp() * 10**6), "until": int(until.timestamp() * 10**6)},
    )
    names = ("service", "metric", "unit", "token_type", "points", "value")
    return [dict(zip(names, row, strict=True)) for row in rows]
