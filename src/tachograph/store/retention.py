"""How long each table keeps its rows.

In: days by table. Out: the engine drops what is older, whole partitions at a time, on its own; what is in force.
What it must never know: a clock: the engine's own decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tachograph.store.conditions import nearest
from tachograph.store.engine import Engine
from tachograph.store.errors import Unknown
from tachograph.store.rollups import ROLLUPS

_CLOCKS = {"calls": "toDateTime(started_at)", **{rollup.table: "time" for rollup in ROLLUPS}}


def keep(engine: Engine, days: Mapping[str, int | None]) -> dict[str, int | None]:
    """Keep the rows of each named table for so many days (None: for ever); what every table keeps now, named or not.

    A partition (a week of calls and minutes, a month of hours and days) goes when its last row is that old.
    Raises Unknown for a table that there is not, ValueError for less than one day.
    """
    for table, kept in days.items():
        if table not in _CLOCKS:
            raise Unknown(f"unknown table {table!r}{nearest(table, _CLOCKS)}")
        if kept is not None and kept < 1:
            raise ValueError(f"{table}: {kept} days of retention: keep at least 1, or none for ever")
    found = {name: str(created) for name, created in engine.query(_CREATED, {"tables": list(_CLOCKS)})}
    return {table: _keep(engine, table, found[table], days) for table in _CLOCKS}


# What was said when the store was last opened holds until something else is said.
_CREATED = (
    "SELECT name, create_table_query FROM system.tables"
    " WHERE database = currentDatabase() AND name IN {tables:Array(String)}"
)
_INTERVAL = re.compile(r"toIntervalDay\((\d+)\)")


def _keep(engine: Engine, table: str, created: str, told: Mapping[str, int | None]) -> int | None:
    _, found, rest = created.partition(" TTL ")
    now = rest.partition(" SETTINGS ")[0] if found else ""
    if table not in told:
        days = _INTERVAL.search(now)
        return int(days.group(1)) if days else None
    kept = told[table]
    clause = "" if kept is None else f"{_CLOCKS[table]} + toIntervalDay({kept})"
    if clause != now:
        engine.command(f"ALTER TABLE {table} " + (f"MODIFY TTL {clause}" if clause else "REMOVE TTL"))
    return kept
