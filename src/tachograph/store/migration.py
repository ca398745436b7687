"""The schema, one version after the other, forward only.

In: the texts in `migrations/`, `NNNN_name.sql`. Out: a database that has had each of them once, in order.
What it must never know: what a table is for.
Why one text for all: a schema written per engine drifts apart. A text has two placeholders: `{cluster}` (nothing, or
the clause that sends a statement to every server of a cluster) and `{engine}` (nothing, or `Replicated`).

Each version is recorded with the checksum of its text. A text that was changed after it was applied, one that is
missing, and a database newer than this program are refused in one line, before anything is touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tachograph.call import COLUMNS
from tachograph.store.engine import DATABASE, Engine
from tachograph.store.errors import StoreError
from tachograph.store.schema import column_type

_FOLDER = Path(__file__).parent / "migrations"
_RECORD = """
CREATE TABLE IF NOT EXISTS tachograph.migrations{cluster}
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = {engine}MergeTree ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One version of the schema. `text` holds statements ended by a semicolon at the end of a line."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What the text is, in 64 hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Placement:
    """What the two placeholders become. `cluster`: name of a cluster whose every server gets the schema, replicated."""

    cluster: str | None = None

    def render(self, text: str) -> str:
        """`text` for this place."""
        clause = "" if self.cluster is None else f" ON CLUSTER '{self.cluster}'"
        return text.replace("{cluster}", clause).replace("{engine}", "" if self.cluster is None else "Replicated")


def shipped(folder: Path = _FOLDER) -> list[Migration]:
    """The migrations of this program, in order. StoreError where a number is missing or used twice."""
    found = [
        Migration(int(path.name.split("_")[0]), path.stem, path.read_text()) for path in sorted(folder.glob("*.sql"))
    ]
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError(f"the migrations in {folder} are not numbered 1, 2, 3, ...: reinstall the package")
    return found


def migrate(engine: Engine, placement: Placement | None = None, migrations: Sequence[Migration] | None = None) -> int:
    """Bring the database up to date; the number of versions that were applied. StoreError where it cannot be."""
    placement = placement or Placement()
    migrations = shipped() if migrations is None else migrations
    engine.command(placement.render(_RECORD))
    done = applied(engine)
    _check(done, migrations, engine.address)
    due = migrations[len(done) :]
    copies = bool(done) or not engine.embedded  # a server may hold rows of somebody who began at the same time
    for migration in due:
        _apply(engine, migration, placement, copies)
    return len(due)


def applied(engine: Engine) -> list[tuple[int, str, str]]:
    """Version, name and checksum of the migrations that the database has had."""
    rows = engine.query(
        f"SELECT version, any(name), any(checksum) FROM {DATABASE}.migrations GROUP BY version ORDER BY version"
    )
    return [(version, name, checksum) for version, name, checksum in rows]


def missing_columns(engine: Engine) -> list[str]:
    """Fields of Call that `calls` does not hold, or holds with another type: what a migration forgot."""
    rows = engine.query(
        "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = 'calls'",
        {"database": DATABASE},
    )
    there = {str(name): str(kind) for name, kind in rows}
    return [column.name for column in COLUMNS if there.get(column.name) != column_type(column)]


def _check(done: Sequence[tuple[int, str, str]], migrations: Sequence[Migration], address: str) -> None:
    if len(done) > len(migrations):
        raise StoreError(f"the store at {address} was written by a newer version ({done[-1][1]}): upgrade this program")
    for (version, name, checksum), migration in zip(done, migrations, strict=False):
        if version != migration.version:
            raise StoreError(f"the store at {address} lacks migration {migration.name}: restore it from a backup")
        if checksum != migration.checksum:
            raise StoreError(f"migration {name} was changed after the store at {address} had it: reinstall the package")


def _apply(engine: Engine, migration: Migration, placement: Placement, copies: bool) -> None:
    """Statements can be repeated, so that a migration that was cut short is simply applied again.

    copies: whether there may be rows to take over from one table to the next. To plan that for a folder that begins
    took the engine a third of all its migrations.
    """
    for statement in statements(placement.render(migration.text)):
        if copies or not statement.startswith("INSERT INTO"):
            engine.command(statement)
    engine.command(
        f"INSERT INTO {DATABASE}.migrations (version, name, checksum)"
        " VALUES ({version:UInt32}, {name:String}, {sum:String})",
        {"version": migration.version, "name": migration.name, "sum": migration.checksum},
    )


def statements(text: str) -> list[str]:
    """The statements of a migration, without their comments."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in f"{code}\n".split(";\n") if part.strip()]
