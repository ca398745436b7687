"""The parts of the raw table: made anew with small granules, and merged."""

from __future__ import annotations

import itertools
import time
from datetime import date
from pathlib import Path

import pytest

from tachograph.flow.batch import to_batch
from tachograph.store import Store, open_store
from tachograph.store.engine import Engine
from tachograph.store.migration import Placement, migrate, missing_columns, shipped, statements
from tachograph.testing import generated_day


def test_a_store_of_before_keeps_its_calls_wherever_the_migration_was_cut_short(tmp_path: Path) -> None:
    """The table of calls is made anew: after each statement the process may end, and the next one applies them all."""
    before, once = shipped()[:2], shipped()[2]
    calls = list(itertools.islice(generated_day(date(2026, 11, 24)), 300))
    engine = Engine(f"chdb://{tmp_path / 'data'}")
    try:
        migrate(engine, migrations=before)
        engine.insert("calls", to_batch(calls).drop_columns(["headers_ms"]))
        ids = engine.query("SELECT call_id FROM calls ORDER BY call_id")
        for cut in range(len(statements(once.text)) + 1):
            for statement in statements(Placement().render(once.text))[:cut]:
                engine.command(statement)
            assert engine.query("SELECT call_id FROM calls ORDER BY call_id") == ids, cut
        assert migrate(engine) == len(shipped()) - 2
        assert engine.query("SELECT call_id FROM calls ORDER BY call_id") == ids
        ((create,),) = engine.query("SELECT create_table_query FROM system.tables WHERE name = 'calls'")
        assert "index_granularity = 4096" in create and "by_trace" in create
        assert missing_columns(engine) == []
        assert engine.query("SELECT count() FROM calls WHERE headers_ms IS NULL") == [(300,)]
    finally:
        engine.close()


def test_parts_are_merged(tmp_path: Path) -> None:
    """Settings that never let a merge begin would slow down every write, and nothing else would tell."""
    day = generated_day(date(2026, 11, 24))
    writes = 60
    with open_store(f"chdb://{tmp_path / 'data'}") as store:
        for place in range(writes):
            store.write_batch(to_batch(list(itertools.islice(day, 50))), f"batch {place}")
        assert _once_merged(store, writes / 2) <= writes / 2


@pytest.mark.long
def test_what_was_merged_is_not_merged_with_every_few_new_parts(tmp_path: Path) -> None:
    """Parts of 90 KB, as a request of some hundred calls leaves them: by the base of before, five times by then."""
    writes = 80
    with open_store(f"chdb://{tmp_path / 'data'}") as store:
        for _ in range(writes):
            store.engine.command(
                "INSERT INTO calls (call_id, started_at, usage_raw)"
                " SELECT randomFixedString(16), toDateTime64('2026-11-24 12:00:00', 6, 'UTC'), randomString(160)"
                " FROM numbers(500)"
            )
        assert _once_merged(store, writes / 2) <= writes / 2
        ((merges,),) = store.engine.query("SELECT max(level) FROM system.parts WHERE table = 'calls' AND active")
        assert 1 <= merges <= 3


def _once_merged(store: Store, most: float) -> int:
    """How many parts there are, once they are at most so many; after half a minute as many as there are."""
    deadline = time.monotonic() + 30
    while (parts := _parts(store)) > most and time.monotonic() < deadline:
        time.sleep(0.1)
    return parts


def _parts(store: Store) -> int:
    return next(table.parts for table in store.stats().tables if table.table == "calls")
