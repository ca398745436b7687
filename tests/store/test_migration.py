from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.call import COLUMNS
from tachograph.store import open_store
from tachograph.store.engine import Engine
from tachograph.store.errors import StoreError
from tachograph.store.migration import Migration, Placement, applied, migrate, missing_columns, shipped, statements
from tachograph.store.rollups import CELLS, NARROW, ROLLUPS, columns, filling, folding, grouping
from tachograph.store.schema import column_definition


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(f"chdb://{tmp_path_factory.mktemp('migrations')}")
    migrate(engine)
    yield engine
    engine.close()


def test_the_migrations_hold_what_the_definitions_render() -> None:
    """Every field's definition, and every roll-up, stands to the letter in the text of a migration."""
    texts = "\n".join(migration.text for migration in shipped())
    for column in COLUMNS:
        assert column_definition(column) in texts, column.name
    for rollup in (*ROLLUPS, CELLS):
        assert filling(rollup) in texts and f"\n{grouping(rollup)};" in texts
    for rollup in (*ROLLUPS, NARROW):
        assert f"{folding(rollup)};" in texts


def test_every_field_of_call_has_its_column(engine: Engine) -> None:
    assert missing_columns(engine) == []


def test_a_field_without_a_migration_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    invented = dataclasses.replace(COLUMNS[0], name="forgotten")
    monkeypatch.setattr("tachograph.store.migration.COLUMNS", (*COLUMNS, invented))
    assert missing_columns(engine) == ["forgotten"]


def test_the_roll_ups_have_their_columns(engine: Engine) -> None:
    for rollup in ROLLUPS:
        rows = engine.query("SELECT name, type FROM system.columns WHERE table = {t:String}", {"t": rollup.table})
        assert dict(rows) == columns(rollup)


def test_renderings_differ_in_the_two_placeholders_only() -> None:
    for migration in shipped():
        assert set(re.findall(r"\{[^}]*\}", migration.text)) <= {"{cluster}", "{engine}"}
        one, many = Placement().render(migration.text), Placement("all").render(migration.text)
        assert many.replace(" ON CLUSTER 'all'", "").replace("Replicated", "") == one
        words = ("CREATE ", "ALTER TABLE ", "DROP VIEW ", "DROP TABLE ", "EXCHANGE TABLES ")
        changes = sum(map(one.count, words))
        assert many.count("ON CLUSTER 'all'") == changes
        assert many.count("= Replicated") == one.count("ENGINE = ") - one.count("ENGINE = Null")


def test_migrations_are_applied_once_in_order(engine: Engine) -> None:
    text = "-- a word\nCREATE TABLE later{cluster} (a UInt8) ENGINE = {engine}MergeTree ORDER BY a;\n"
    again = [*shipped(), Migration(len(shipped()) + 1, "later", text)]
    assert migrate(engine, migrations=again) == 1
    assert migrate(engine, migrations=again) == 0
    assert applied(engine)[-1] == (again[-1].version, "later", again[-1].checksum)
    with pytest.raises(StoreError, match="newer version"):
        migrate(engine)
    with pytest.raises(StoreError, match="later was changed"):
        migrate(engine, migrations=[*again[:-1], dataclasses.replace(again[-1], text="SELECT 1;\n")])
    with pytest.raises(StoreError, match="lacks migration 0001"):
        engine.command("ALTER TABLE migrations DELETE WHERE version = 1", mutations_sync=1)
        migrate(engine, migrations=again)


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;\n")
    (tmp_path / "0003_c.sql").write_text("SELECT 1;\n")
    with pytest.raises(StoreError, match="not numbered"):
        shipped(tmp_path)


def test_statements_are_split_and_comments_dropped() -> None:
    assert statements("-- one;\nA ';x'\nB;\n\n-- two\nC;\n") == ["A ';x'\nB", "C"]


def test_a_broken_address_is_refused() -> None:
    for address in ("", "chdb://", "chdb:///", "postgres://x", "/tmp/x", "http://"):
        with pytest.raises(StoreError, match="is no store address"):
            open_store(address)
