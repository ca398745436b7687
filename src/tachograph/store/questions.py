"""The other questions, each by its name: one call, a page of calls, what the store holds.

In: an id, or conditions and a place in the list. Out: Calls, or plain counts.
What it must never know: how an answer is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from tachograph.call import COLUMNS, Call
from tachograph.flow.batch import SCHEMA, from_batch
from tachograph.store.conditions import Parameters, Where, check_where, conditions, hex_id, microseconds, moment
from tachograph.store.engine import DATABASE, Engine
from tachograph.store.rollups import ROLLUPS

PAGE_CALLS_MAX = 10_000
_FIELDS = ", ".join(column.name for column in COLUMNS)
_FIRST_WINDOW = timedelta(hours=1)
_WIDER = 8
_NEAR_MS = 2 * 3_600_000

Place = tuple[datetime, str]  # started_at and call_id of the last call of a page


@dataclass(frozen=True, slots=True)
class TableStats:
    """What one table holds: `rows`, `bytes_on_disk` compressed, `parts` it is in."""

    table: str
    rows: int
    bytes_on_disk: int
    parts: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What the store holds. Times are those of the oldest and newest call; None where there is none."""

    calls: int
    repeated_sightings: int
    oldest: datetime | None
    newest: datetime | None
    tables: tuple[TableStats, ...]

    @property
    def bytes_per_call(self) -> float | None:
        """Bytes on disk of all tables, by call."""
        rows = self.calls + self.repeated_sightings
        return sum(table.bytes_on_disk for table in self.tables) / rows if rows else None


def call_by_id(engine: Engine, call_id: str) -> Call | None:
    """The call of that id (32 hex digits), or None. ValueError for what is no id."""
    plain = hex_id(call_id, "call")
    wanted = "WHERE call_id = toFixedString(unhex({id:String}), 16) LIMIT 1"
    found = _calls(engine.arrow(f"SELECT {_FIELDS} FROM calls {wanted}", {"id": plain}))
    return found[0] if found else None


def sightings(engine: Engine, call_id: str) -> list[Call]:
    """All other rows of the same call: what it counts for, or what it is counted by. ValueError for what is no id."""
    call = call_by_id(engine, call_id)
    if call is None:
        return []
    first = call.same_as or call.call_id
    one = "toFixedString(unhex({first:String}), 16)"
    wanted = f"WHERE (same_as = {one} OR call_id = {one})"
    # Sightings of one call lie within the same hour or two: ids begin with the time.
    near = "AND call_id BETWEEN toFixedString(unhex({low:String}), 16) AND toFixedString(unhex({high:String}), 16)"
    ms = int(first[:12], 16)
    bounds = {
        name: max(0, ms + way * _NEAR_MS).to_bytes(6, "big").hex() + "00" * 10
        for name, way in (("low", -1), ("high", 1))
    }
    rows = _calls(
        engine.arrow(f"SELECT {_FIELDS} FROM calls {wanted} {near} ORDER BY call_id", {"first": first, **bounds})
    )
    return [row for row in rows if row.call_id != call.call_id]


def snapshot(engine: Engine, name: str) -> str | None:
    """The text saved last under that name."""
    rows = engine.query("SELECT body FROM snapshots FINAL WHERE name = {name:String}", {"name": name})
    return str(rows[0][0]) if rows else None


def save_snapshot(engine: Engine, name: str, body: str) -> None:
    """Save a text under that name; the engine's clock says which one is the last."""
    sql = "INSERT INTO snapshots (name, taken_at, body) VALUES ({name:String}, now64(6), {body:String})"
    engine.command(sql, {"name": name, "body": body})


def received_after(engine: Engine, moment: datetime) -> Iterator[pa.RecordBatch]:
    """The calls accepted after that moment, an hour of them at a time, so that memory stays bounded."""
    parameters = Parameters()
    after = f"received_at > {parameters.moment(moment)}"
    hours = engine.query(
        f"SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfHour(started_at))) AS h FROM calls WHERE {after} ORDER BY h",
        parameters.values,
    )
    for (hour,) in hours:
        within = f"toStartOfHour(started_at) = toDateTime({int(hour)}, 'UTC')"
        rows = engine.arrow(f"SELECT {_FIELDS} FROM calls WHERE {after} AND {within}", parameters.values)
        yield _conforming(rows)


def page_of_calls(
    engine: Engine,
    where: Where | None = None,
    *,
    since: datetime,
    until: datetime,
    limit: int = 100,
    after: Place | None = None,
) -> list[Call]:
    """At most `limit` calls with since <= started_at < until, newest first, sightings of the same call included.

    after: started_at and call_id of the last call of the page before. Raises Unknown and ValueError as `ask` does.
    """
    if not 0 < limit <= PAGE_CALLS_MAX:
        raise ValueError(f"limit {limit} is not between 1 and {PAGE_CALLS_MAX}")
    check_where(where)
    if microseconds(since) >= microseconds(until):
        raise ValueError(f"since {since.isoformat()} is not before until {until.isoformat()}: swap them")
    places = _places(engine, where or {}, since, until, limit, after)
    return _by_places(engine, places)


def _places(
    engine: Engine, where: Where, since: datetime, until: datetime, limit: int, after: Place | None
) -> list[tuple[int, bytes]]:
    """The places of the page, looked for in ever wider windows back in time: most pages lie in the first."""
    found: list[tuple[int, bytes]] = []
    newest = until if after is None else min(until, after[0] + timedelta(microseconds=1))
    for low, high in _windows(since, newest):
        parameters = Parameters()
        sql = (
            f"SELECT toUnixTimestamp64Micro(started_at) AS at, call_id FROM calls{_first(where, parameters)}"
            f" WHERE started_at >= {parameters.moment(low)} AND started_at < {parameters.moment(high)}"
            f"{_before(after, parameters)}"
            f" ORDER BY at DESC, call_id DESC LIMIT {limit - len(found)}"
        )
        found += [(at, call_id) for at, call_id in engine.query(sql, parameters.values)]
        if len(found) >= limit:
            break
    return found


def _first(where: Where, parameters: Parameters) -> str:
    """The conditions before the range: where few calls fulfil them, the moments of the others are not read."""
    return f" PREWHERE 1{conditions(where, parameters)}" if where else ""


def _windows(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    width = _FIRST_WINDOW
    while since < until:
        low = max(since, until - width) if until - since > width else since
        yield low, until
        until, width = low, width * _WIDER


def _before(after: Place | None, parameters: Parameters) -> str:
    if after is None:
        return ""
    moment, call_id = parameters.moment(after[0]), parameters.bind(after[1], "String")
    return f" AND (started_at, call_id) < ({moment}, toFixedString(unhex({call_id}), 16))"


def _by_places(engine: Engine, places: list[tuple[int, bytes]]) -> list[Call]:
    if not places:
        return []
    found = _calls(
        engine.arrow(
            f"SELECT {_FIELDS} FROM calls"
            " WHERE call_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))",
            {"ids": [call_id.hex() for _, call_id in places]},
        )
    )
    return sorted(found, key=lambda call: (call.started_at, call.call_id), reverse=True)


def _calls(table: pa.Table) -> list[Call]:
    return from_batch(_conforming(table))


def _conforming(table: pa.Table) -> pa.RecordBatch:
    """Rows of the raw table as a batch of SCHEMA: an empty list of counts says what a null says."""
    arrays = []
    for field in SCHEMA:
        array = table.column(field.name).combine_chunks()
        if pa.types.is_list(field.type) and field.nullable:
            array = pa.array([item or None for item in array.to_pylist()], field.type)
        arrays.append(array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def stats(engine: Engine) -> Stats:
    """How much the store holds, by table. Raises StoreError or Busy where it does not answer."""
    # Of rows and of their moments the engine knows all without reading any; of sightings it reads which are null.
    ((kept, oldest, newest),) = engine.query(
        "SELECT count(), toUnixTimestamp64Micro(min(started_at)), toUnixTimestamp64Micro(max(started_at)) FROM calls"
    )
    ((repeated,),) = engine.query("SELECT count() FROM calls WHERE same_as IS NOT NULL")
    counted = max(kept - repeated, 0)
    sizes = engine.query(
        "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts"
        " WHERE active AND database = {database:String} AND table IN {tables:Array(String)}"
        " GROUP BY table ORDER BY table",
        {"database": DATABASE, "tables": ["calls", *(rollup.table for rollup in ROLLUPS)]},
    )
    empty = counted + repeated == 0
    return Stats(
        calls=counted,
        repeated_sightings=repeated,
        oldest=None if empty else moment(oldest),
        newest=None if empty else moment(newest),
        tables=tuple(TableStats(*row) for row in sizes),
    )


def column_bytes(engine: Engine, table: str = "calls") -> list[tuple[str, int]]:
    """Compressed bytes of each column of a table, largest first."""
    rows = engine.query(
        "SELECT name, data_compressed_bytes AS size FROM system.columns"
        " WHERE database = {database:String} AND table = {table:String} ORDER BY size DESC, name",
        {"database": DATABASE, "table": table},
    )
    return [(name, size) for name, size in rows]
