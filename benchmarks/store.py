"""The store's figures: bytes per call, and three questions against DuckDB and SQLite on the same calls.

    python -m benchmarks.store [--rows 20000000]

Makes 30 days of synthetic calls once (minutes; kept in benchmarks/.data) and asks:
  chart   cost and duration p95 by model and day over 30 days
  hour    calls, cost and duration p95 of the last hour by minute
  users   the 20 users with the highest cost over 30 days
Ours are asked through `ask`, end to end. Times are medians of 7 in milliseconds, wall and CPU.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.store_calls import DAYS, FILLED, SINCE, batches
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.prometheus import Metrics
from tachograph.store import Store, open_store
from tachograph.store.questions import column_bytes
from tachograph.store.rollups import ROLLUPS

TABLES = ("calls", *(rollup.table for rollup in ROLLUPS))
DATA = Path(__file__).parent / ".data"
SINCE_AT = datetime.fromisoformat(SINCE).replace(tzinfo=UTC)
UNTIL_AT = SINCE_AT + timedelta(days=DAYS)
TARGETS_MS = {"chart": 150.0, "hour": 50.0, "users": 1500.0}
BYTES_TARGET = 80.0
BATCH_CALLS = 250_000
SQLITE_ROWS_MAX = 2_000_000
TIMES = 7
COLUMNS = (
    "toUnixTimestamp64Micro(started_at) AS at, model, user_id,"
    " toFloat64(cost_usd) AS cost, toFloat64(duration_ms) AS ms"
)

Timing = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    rows = parser.parse_args().rows
    folder = loaded(rows)
    with opened(folder) as store:
        print(f"{rows:,} calls over {DAYS} days. Filled of each call:\n{FILLED}\n")
        sizes(store)
        ours = {name: timed(question) for name, question in tachograph(store).items()}
        parquet = exported(store, folder, rows)
    theirs = {"DuckDB": duck(parquet, folder), **lite(parquet, folder, rows)}
    report({"tachograph": ours, **theirs})


def opened(folder: Path) -> Store:
    """That store, kept for ever: its calls lie in the past, and its minutes would be dropped as old."""
    return open_store(f"chdb://{folder}", retention_days=dict.fromkeys(TABLES))


def loaded(rows: int) -> Path:
    """The folder of a store that holds the calls and their counters, made if it is not there."""
    folder = DATA / f"store-{rows}"
    if not (folder / "loaded").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with opened(folder) as store:
            load(store, rows)
            remember(store)
        (folder / "loaded").touch()
    return folder


def load(store: Store, rows: int) -> None:
    """Arrow batches through the table and its views, as a writer inserts them; then merged as the engine merges."""
    began, cpu = time.perf_counter(), time.process_time()
    for number, batch in enumerate(batches(store.engine, rows, BATCH_CALLS)):
        store.engine.insert("calls", batch)
        print(f"\rloading: {min((number + 1) * BATCH_CALLS, rows):,} of {rows:,}", end="", flush=True)
    print(
        f"\nloaded in {time.perf_counter() - began:.0f} s ({time.process_time() - cpu:.0f} s CPU), generator included"
    )
    for table in TABLES:
        store.engine.command(f"OPTIMIZE TABLE {table} FINAL")


def remember(store: Store) -> None:
    """Count what was loaded past the doors, as `tachograph up` would when it is first started on it."""
    health = Health()
    keeping = Keeping(store, Metrics(health), health, lambda: datetime.now(UTC))
    keeping.recall()
    keeping.remember()


def sizes(store: Store) -> None:
    stats = store.stats()
    print("bytes per call on disk, parts merged:")
    for table in stats.tables:
        print(f"  {table.table:14}{table.bytes_on_disk / stats.calls:8.2f}   {table.rows:>12,} rows")
    raw = next(table.bytes_on_disk for table in stats.tables if table.table == "calls") / stats.calls
    verdict = "reached" if raw <= BYTES_TARGET else "MISSED"
    print(f"  raw table {raw:.1f} (target {BYTES_TARGET:.0f}: {verdict}), all tables {stats.bytes_per_call:.1f}")
    sizes = [(name, size) for name, size in column_bytes(store.engine)[:34] if size]
    largest = ", ".join(f"{name} {size / stats.calls:.2f}" for name, size in sizes)
    print(f"  by column: {largest or 'not known of compact parts, below a gigabyte'}\n")


def tachograph(store: Store) -> dict[str, Callable[[], Any]]:
    month: dict[str, Any] = {"since": SINCE_AT, "until": UNTIL_AT}
    last = {"since": UNTIL_AT - timedelta(hours=1), "until": UNTIL_AT}
    minute = timedelta(minutes=1)
    return {
        "chart": lambda: store.ask(["cost_usd", "duration_p95_ms"], "model", step=timedelta(days=1), **month),
        "hour": lambda: store.ask(["calls", "cost_usd", "duration_p95_ms"], step=minute, **last),
        "users": lambda: store.ask("cost_usd", "user_id", order="-cost_usd", limit=20, **month),
        # Beyond the targets: what a roll-up cannot answer, and a range that begins and ends anywhere.
        "chart, ragged": lambda: store.ask(
            ["cost_usd", "duration_p95_ms"],
            "model",
            step=timedelta(days=1),
            since=SINCE_AT + timedelta(minutes=7, seconds=3),
            until=UNTIL_AT - timedelta(minutes=9, seconds=1),
        ),
        "chart, raw": lambda: store.ask(["cost_usd", "duration_p95_ms"], "region", step=timedelta(days=1), **month),
        "teams": lambda: store.ask(["cost_usd", "calls"], "team", step=timedelta(days=1), **month),
    }


def timed(question: Callable[[], Any], times: int = TIMES) -> Timing:
    """Median wall and CPU milliseconds, after one run that nobody counts."""
    question()
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        question()
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    return statistics.median(walls), statistics.median(cpus)


def exported(store: Store, folder: Path, rows: int) -> Path:
    """The columns that the questions read, as one Parquet file."""
    path = folder.with_suffix(".parquet")
    if not path.exists():
        partial = path.with_suffix(".partial")
        writer: pq.ParquetWriter | None = None
        for day in range(DAYS):
            table = one_day(store, day)
            writer = writer or pq.ParquetWriter(partial, table.schema)
            writer.write_table(table)
        if writer:
            writer.close()
        partial.rename(path)
    return path


def one_day(store: Store, day: int) -> pa.Table:
    low = (SINCE_AT + timedelta(days=day)).strftime("%Y-%m-%d")
    high = (SINCE_AT + timedelta(days=day + 1)).strftime("%Y-%m-%d")
    within = f"started_at >= toDateTime64('{low}', 6, 'UTC') AND started_at < toDateTime64('{high}', 6, 'UTC')"
    table = store.engine.arrow(f"SELECT {COLUMNS} FROM calls WHERE {within} ORDER BY at")
    text = [pa.field(f.name, pa.string() if f.name in ("model", "user_id") else f.type) for f in table.schema]
    return table.cast(pa.schema(text))


def duck(parquet: Path, folder: Path) -> dict[str, Timing]:
    path = folder.with_suffix(".duckdb")
    connection = duckdb.connect(str(path))
    connection.execute("SET threads = 2")
    connection.execute(f"CREATE TABLE IF NOT EXISTS calls AS SELECT * FROM '{parquet}'")
    last = int((UNTIL_AT - timedelta(hours=1)).timestamp()) * 10**6
    p95 = "quantile_disc(ms, 0.95)"
    questions = {
        "chart": f'SELECT "at" - "at" % 86400000000, model, sum(cost), {p95} FROM calls GROUP BY 1, 2',
        "hour": f'SELECT "at" - "at" % 60000000, count(*), sum(cost), {p95} FROM calls WHERE "at" >= {last} GROUP BY 1',
        "users": "SELECT user_id, sum(cost) AS c FROM calls GROUP BY 1 ORDER BY c DESC LIMIT 20",
    }
    found = {name: timed(lambda sql=sql: connection.execute(sql).fetchall(), 3) for name, sql in questions.items()}  # type: ignore[misc]
    connection.close()
    return found


def lite(parquet: Path, folder: Path, rows: int) -> dict[str, dict[str, Timing]]:
    """SQLite, on every n-th call where all of them would take longer than five minutes."""
    nth = -(-rows // SQLITE_ROWS_MAX)
    path = folder.with_suffix(".sqlite")
    fresh = not path.exists()
    connection = sqlite3.connect(path)
    if fresh:
        connection.execute("CREATE TABLE calls (at INTEGER, model TEXT, user_id TEXT, cost REAL, ms REAL)")
        for batch in pq.ParquetFile(parquet).iter_batches(100_000):
            columns = [column.to_pylist()[::nth] for column in batch.columns]
            connection.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", zip(*columns, strict=True))
        connection.execute("CREATE INDEX by_time ON calls (at)")
        connection.commit()
    last = int((UNTIL_AT - timedelta(hours=1)).timestamp()) * 10**6
    ranked = (
        "SELECT slot, {label} max(total), min(CASE WHEN place >= 0.95 * n THEN ms END) FROM"
        " (SELECT at / {width} AS slot, model, ms, sum(cost) OVER w AS total, count(*) OVER w AS n,"
        " row_number() OVER (PARTITION BY at / {width} {by} ORDER BY ms) AS place FROM calls WHERE at >= {since}"
        " WINDOW w AS (PARTITION BY at / {width} {by})) GROUP BY slot {by}"
    )
    questions = {
        "chart": ranked.format(label="model,", width=86400 * 10**6, by=", model", since=0),
        "hour": ranked.format(label="", width=60 * 10**6, by="", since=last),
        "users": "SELECT user_id, sum(cost) AS c FROM calls GROUP BY 1 ORDER BY c DESC LIMIT 20",
    }
    found = {name: timed(lambda sql=sql: connection.execute(sql).fetchall(), 1) for name, sql in questions.items()}  # type: ignore[misc]
    connection.close()
    return {"SQLite" if nth == 1 else f"SQLite, 1 call of {nth}": found}


def report(found: dict[str, dict[str, Timing]]) -> None:
    print(f"{'ms, wall (CPU)':22}" + "".join(f"{engine:>24}" for engine in found) + f"{'target':>10}")
    for name in found["tachograph"]:
        cells = [found[engine].get(name) for engine in found]
        texts = ["" if cell is None else f"{cell[0]:.1f} ({cell[1]:.1f})" for cell in cells]
        target = f"{TARGETS_MS[name]:.0f}" if name in TARGETS_MS else ""
        print(f"{name:22}" + "".join(f"{text:>24}" for text in texts) + f"{target:>10}")
    print("\nDuckDB and SQLite hold five columns of a call, ours all of them. SQLite's times are for its share of the")
    print("calls; its scans (chart, users) grow in proportion with the number of calls.")


if __name__ == "__main__":
    main()
