"""How long each table keeps its rows.

In: days by table. Out: the engine drops what is older, whole partitions at a time, on its own.
What it must never know: a clock: the engine's own decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from tachograph.store.conditions import nearest
from tachograph.store.engine import Engine
from tachograph.store.errors import Unknown
from tachograph.store.rollups import ROLLUPS

_CLOCKS = {"calls": "toDateTime(started_at)", **{rollup.table: "time" for rollup in ROLLUPS}}


def keep(engine: Engine, days: Mapping[str, int | None]) -> None:
    """Keep the rows of each named table for so many days (None: for ever).

    A partition (a week of calls and minutes, a month of hours and days) goes when its last row is that old.
    Raises Unknown for a table that there is not, ValueError for less than one day.
    """
    for table, kept in days.items():
        if table not in _CLOCKS:
            raise Unknown(f"unknown table {table!r}{nearest(table, _CLOCKS)}")
        if kept is not None and kept < 1:
            raise ValueError(f"{table}: {kept} days of retention: keep at least 1, or none for ever")
    for table, kept in days.items():
        _keep(engine, table, kept)


def _keep(engine: Engine, table: str, days: int | None) -> None:
    clause = None if days is None else f"{_CLOCKS[table]} + toIntervalDay({days})"
    if clause == _current(engine, table):
        return
    engine.command(f"ALTER TABLE {table} " + ("REMOVE TTL" if clause is None else f"MODIFY TTL {clause}"))


def _current(engine: Engine, table: str) -> str | None:
    ((create,),) = engine.query(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    _, found, rest = str(create).partition(" TTL ")
    return rest.partition(" SETTINGS ")[0] if found else None
