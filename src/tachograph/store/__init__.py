"""The room that speaks SQL: calls become rows, questions become Series.

In: Calls (`write`), questions (`ask`, `call`, `calls`, `stats`). Out: Series, Calls, counts.
What it must never know: the name of a provider, a threshold, HTML, a clock.

One store, two places: a folder, on which the engine runs inside this process (`chdb:///folder`), or a server
(`http://host:8123`). The same texts and the same code serve both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from tachograph.annotation import Annotation
from tachograph.call import Call
from tachograph.series import Series
from tachograph.store import annotating, points, questions
from tachograph.store import ask as asking
from tachograph.store import headroom as allowed
from tachograph.store import heat as heating
from tachograph.store import versions as versioning
from tachograph.store.conditions import DIMENSIONS, Where
from tachograph.store.engine import Engine, Limits
from tachograph.store.errors import InUse, StoreError, Unknown
from tachograph.store.linking import SpanLinks
from tachograph.store.measures import MEASURES, Measure
from tachograph.store.migration import Placement, migrate
from tachograph.store.questions import Place, Stats, TableStats
from tachograph.store.retention import keep
from tachograph.store.writer import Writer

__all__ = [
    "DIMENSIONS",
    "InUse",
    "Limits",
    "MEASURES",
    "SpanLinks",
    "Measure",
    "Stats",
    "Store",
    "StoreError",
    "TableStats",
    "Unknown",
    "open_store",
]


def open_store(
    address: str,
    *,
    limits: Limits | None = None,
    retention_days: Mapping[str, int | None] | None = None,
    cluster: str | None = None,
) -> Store:
    """Open the store at `address` and bring its schema up to date.

    retention_days: days by table (calls, calls_minute, calls_hour, calls_day); None keeps for ever; a table that is
    not named keeps what was last said.
    cluster: name of the cluster whose every server shall hold the tables.
    Raises StoreError with the thing and the remedy in one line, Busy where a server does not answer.
    """
    engine = Engine(address, limits)
    try:
        return Store(engine, Placement(cluster), retention_days or {})
    except BaseException:
        engine.close()
        raise


class Store:
    """An open store. Any thread may use it; it is a `flow.Sink` and a context manager."""

    def __init__(self, engine: Engine, placement: Placement, retention_days: Mapping[str, int | None]) -> None:
        self.engine = engine
        self._placement = placement
        self.migrate()
        self._kept_days = keep(engine, retention_days)
        self._writer = Writer(engine, self._kept_days)
        # Only with the folder for ourselves is a difference surely the mark of a write that was cut short.
        self.repaired = self._writer.settle(force=True) if engine.embedded else {}

    def migrate(self) -> int:
        """Apply the migrations that the database lacks; how many."""
        return migrate(self.engine, self._placement)

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Make `calls` durable; how many were new. Raises Refused, Busy or StoreError, see `Writer.write`."""
        return self._writer.write(calls, token)

    def write_batch(
        self, batch: pa.RecordBatch, token: str, links: SpanLinks | None = None, took_over: set[bytes] | None = None
    ) -> pa.RecordBatch:
        """Make the calls of a batch of `flow.batch.SCHEMA` durable; those that were new. See `Writer.write_batch`."""
        return self._writer.write_batch(batch, token, links or SpanLinks(), took_over)

    def write_points(self, rows: Sequence[dict[str, Any]]) -> int:
        """Make metric points durable; how many were new. See `store.points`."""
        with self._writer.whole.guarded():
            return points.write_points(self.engine, rows)

    def snapshot(self, name: str) -> str | None:
        """The text that was last saved under `name`; None where none was."""
        return questions.snapshot(self.engine, name)

    def save_snapshot(self, name: str, body: str) -> None:
        """Keep a text under `name`, in place of the one before."""
        with self._writer.whole.guarded():
            questions.save_snapshot(self.engine, name, body)

    def received_after(self, moment: datetime) -> Iterator[pa.RecordBatch]:
        """The calls that were accepted after `moment`, in batches of `flow.batch.SCHEMA`."""
        return questions.received_after(self.engine, moment)

    def points_after(self, moment: datetime) -> tuple[int, datetime]:
        """How many metric points were accepted after `moment`, and when the last of them was."""
        return points.received_after(self.engine, moment)

    def reported(self, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """What services reported about themselves in that time. See `store.points`."""
        return points.reported(self.engine, since, until)

    def annotate(self, annotation: Annotation) -> None:
        """Keep it; in place of the one of the same id, where there is one."""
        with self._writer.whole.guarded():
            annotating.annotate(self.engine, annotation)

    def annotations(self, since: datetime, until: datetime) -> list[Annotation]:
        """Those with since <= at < until, oldest first."""
        return annotating.in_range(self.engine, since, until)

    def forget(self, annotation_id: str) -> bool:
        """Forget an annotation; whether there was one."""
        with self._writer.whole.guarded():
            return annotating.forget(self.engine, annotation_id)

    def sightings(self, call_id: str) -> list[Call]:
        """The other sightings of that call, whichever of them counts."""
        return questions.sightings(self.engine, call_id)

    def repair(self) -> dict[str, list[str]]:
        """Rebuild the days on which roll-ups and raw rows differ, while nobody else writes; those days by table."""
        return self._writer.settle(force=True)

    def ask(
        self,
        measures: str | Sequence[str],
        by: str | Sequence[str] = (),
        where: Where | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> Series:
        """See `store.ask.ask`."""
        return asking.ask(
            self.engine,
            measures,
            by,
            where,
            since=since,
            until=until,
            step=step,
            limit=limit,
            order=order,
            kept_days=self._kept_days,
        )

    def statement(
        self,
        measures: str | Sequence[str],
        by: str | Sequence[str] = (),
        where: Where | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> str:
        """The SQL that answers what `ask` is asked, its values written out."""
        question = asking.checked(measures, by, where, since=since, until=until, step=step, limit=limit, order=order)
        return asking.statement(self.engine, question, self._kept_days)

    def heat(
        self, of: str, where: Where | None = None, *, since: datetime, until: datetime, step: timedelta
    ) -> heating.Heat:
        """See `store.heat`."""
        return heating.heat(self.engine, of, where, since=since, until=until, step=step, kept_days=self._kept_days)

    def versions(self, where: Where | None = None, *, since: datetime, until: datetime) -> list[versioning.Version]:
        """See `store.versions`."""
        return versioning.versions(self.engine, where, since=since, until=until, kept_days=self._kept_days)

    def changes(self, where: Where | None = None, *, since: datetime, until: datetime) -> list[versioning.Change]:
        """See `store.versions`."""
        return versioning.changes(self.engine, where, since=since, until=until, kept_days=self._kept_days)

    def headroom(self, where: Where | None = None, *, since: datetime, until: datetime) -> list[allowed.Headroom]:
        """See `store.headroom`."""
        return allowed.headroom(self.engine, where, since=since, until=until)

    def call(self, call_id: str) -> Call | None:
        """The call of that id, or None."""
        return questions.call_by_id(self.engine, call_id)

    def calls(
        self,
        where: Where | None = None,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: Place | None = None,
    ) -> list[Call]:
        """A page of calls, newest first. See `store.questions.page_of_calls`."""
        return questions.page_of_calls(self.engine, where, since=since, until=until, limit=limit, after=after)

    def stats(self) -> Stats:
        """How much the store holds."""
        return questions.stats(self.engine)

    def release_memory(self) -> None:
        """Give back what is held and not used; costs some 20 ms of CPU."""
        self.engine.release_memory()

    def close(self) -> None:
        """Let go of the engine and of the folder."""
        self.engine.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
