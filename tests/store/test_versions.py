"""A store of before the roll-ups knew versions: opened, it answers what its calls say, wherever it was cut short."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.store.seeing import assert_rolled

from tachograph.call import Call
from tachograph.flow.batch import to_batch
from tachograph.store import open_store
from tachograph.store.engine import Engine
from tachograph.store.migration import Placement, migrate, shipped, statements
from tachograph.store.rollups import CELLS, CHARGEBACK, SAME_EVERYWHERE, VERSIONS, taking_back
from tachograph.testing import generated_day

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
OLD, NEW = TODAY - timedelta(days=70), TODAY - timedelta(days=3)
BEFORE = dataclasses.replace(CELLS, dimensions=SAME_EVERYWHERE + CHARGEBACK)
COUNTS = "(SELECT sum(calls) FROM calls_hour), (SELECT sum(calls) FROM calls_day)"


def day(moment: datetime, count: int) -> list[Call]:
    return list(itertools.islice(generated_day(moment.date()), count))


def known_then(calls: Sequence[Call]) -> Any:
    """A batch of calls without the fields that came later."""
    return to_batch(calls).drop_columns(["headers_ms"])


def filled_before(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[Sequence[Call], int]:
    """Old calls that are kept no longer, new ones of which some were taken back; those that count, how many went."""
    migrate(engine, migrations=shipped()[:3])
    old, new = day(OLD, 40), day(NEW, 200)
    for start in range(0, len(new), 50):
        engine.insert("calls", known_then([*old, *new][start : start + 50]))
    engine.insert("calls", known_then(new[160:]))
    again = [call.call_id for call in new[::9]]
    these = f"hex(call_id) IN ({', '.join(repr(call_id.upper()) for call_id in again)})"
    monkeypatch.setattr("tachograph.store.rollups.CELLS", BEFORE)
    engine.command(taking_back(these))
    monkeypatch.undo()
    engine.command(f"ALTER TABLE calls UPDATE same_as = reverse(call_id) WHERE {these}", mutations_sync=1)
    engine.command(f"ALTER TABLE calls DELETE WHERE started_at < '{NEW:%Y-%m-%d}'", mutations_sync=1)
    return [call for call in new if call.call_id not in again], len(old)


def test_what_was_stored_before_is_told_by_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that of which only sums are left: it is still counted, with versions that nobody knows."""
    engine = Engine(f"chdb://{tmp_path}")
    counting, gone = filled_before(engine, monkeypatch)
    engine.close()
    with open_store(f"chdb://{tmp_path}", retention_days={"calls": 30}) as store:
        assert store.repaired == {}
        whole = {"since": NEW, "until": NEW + timedelta(days=1)}
        for by, table in (([*VERSIONS, "team"], "day"), (list(VERSIONS), "hour")):
            rolled = store.ask(["calls", "cost_usd"], by, **whole)
            raw = store.ask(["calls", "cost_usd"], by, _anything(counting), **whole)
            assert (raw.table, rolled.table) == ("calls", table)
            assert raw.rows == rolled.rows
            assert sum(row.values[0] or 0 for row in rolled.rows) == len(counting)
        (before,) = store.ask("calls", VERSIONS, since=OLD, until=OLD + timedelta(days=1)).rows
        assert (before.labels, before.values) == ((None, None), (gone,))
        assert store.ask("calls", since=OLD, until=TODAY).rows[0].values == (len(counting) + gone,)


def _anything(calls: Sequence[Call]) -> dict[str, list[str]]:
    """A condition that holds for all of them, and that no roll-up knows."""
    return {"source": sorted({call.source for call in calls})}


@pytest.mark.long
def test_it_is_migrated_wherever_it_was_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tables are made anew: after each statement the process may end, and the next one applies them all."""
    engine = Engine(f"chdb://{tmp_path}")
    counting, gone = filled_before(engine, monkeypatch)
    migrate(engine, migrations=shipped()[:4])
    due = statements(Placement().render(shipped()[4].text))
    cuts = [place + 1 for place, one in enumerate(due) if one.startswith(("INSERT", "EXCHANGE", "DROP TABLE tach"))]
    for cut in cuts:
        for statement in due[:cut]:
            engine.command(statement)
        assert engine.query(f"SELECT {COUNTS}") == [(len(counting) + gone,) * 2], cut
    engine.close()
    with open_store(f"chdb://{tmp_path}", retention_days={"calls": 30}) as store:
        assert store.engine.query(f"SELECT {COUNTS}") == [(len(counting) + gone,) * 2]
        more = day(NEW + timedelta(days=1), 30)
        store.write(more, "more")
        store.engine.command(f"ALTER TABLE calls_hour DELETE WHERE time < '{NEW:%Y-%m-%d}'", mutations_sync=1)
        store.engine.command(f"ALTER TABLE calls_day DELETE WHERE time < '{NEW:%Y-%m-%d}'", mutations_sync=1)
        store.engine.command(f"ALTER TABLE calls_minute DELETE WHERE time < '{NEW:%Y-%m-%d}'", mutations_sync=1)
        assert_rolled(store)
