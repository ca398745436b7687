"""Annotations: kept, listed, forgotten.

In: an `Annotation`, a range, an id. Out: the annotations of a range, oldest first.
What it must never know: who may make one, a clock: the engine's own says which row of an id is the last.

Nothing is changed in place: to change one is to add a row of the same id, to forget one is to add a row that says so.
"""

from __future__ import annotations

from datetime import datetime

from tachograph.annotation import Annotation
from tachograph.store.conditions import Parameters, hex_id, microseconds, moment
from tachograph.store.engine import Engine

_COLUMNS = "annotation_id, at, kind, text, service, environment, made_by, deleted, changed_at"
_FIELDS = "lower(hex(annotation_id)), toUnixTimestamp64Micro(at), kind, text, service, environment, made_by"


def annotate(engine: Engine, annotation: Annotation) -> None:
    """Keep it; in place of the one of the same id, where there is one. ValueError for what is no id."""
    told = Parameters()
    texts = (annotation.kind, annotation.text, annotation.service, annotation.environment, annotation.by)
    values = ", ".join(told.bind(text, "String") for text in texts)
    engine.command(
        f"INSERT INTO annotations ({_COLUMNS}) SELECT {_id(annotation.annotation_id, told)},"
        f" {told.moment(annotation.at)}, {values}, 0, now64(6, 'UTC')",
        told.values,
    )


def in_range(engine: Engine, since: datetime, until: datetime) -> list[Annotation]:
    """Those with since <= at < until, oldest first."""
    if microseconds(since) >= microseconds(until):
        raise ValueError(f"since {since.isoformat()} is not before until {until.isoformat()}: swap them")
    told = Parameters()
    rows = engine.query(
        f"SELECT {_FIELDS} FROM annotations FINAL WHERE deleted = 0"
        f" AND at >= {told.moment(since)} AND at < {told.moment(until)} ORDER BY at, annotation_id",
        told.values,
    )
    return [Annotation(str(row[0]), moment(row[1]), *map(str, row[2:])) for row in rows]


def forget(engine: Engine, annotation_id: str) -> bool:
    """Forget it; whether there was one. ValueError for what is no id."""
    told = Parameters()
    there = f"FROM annotations FINAL WHERE annotation_id = {_id(annotation_id, told)} AND deleted = 0"
    ((found,),) = engine.query(f"SELECT count() {there}", told.values)
    if found:
        # Later than what it takes away, also where the clock was set back meanwhile.
        last = "greatest(now64(6, 'UTC'), changed_at + toIntervalMicrosecond(1))"
        told_again = _COLUMNS.replace("deleted, changed_at", f"1, {last}")
        engine.command(f"INSERT INTO annotations ({_COLUMNS}) SELECT {told_again} {there}", told.values)
    return bool(found)


def _id(annotation_id: str, told: Parameters) -> str:
    return f"toFixedString(unhex({told.bind(hex_id(annotation_id, 'annotation'), 'String')}), 16)"
