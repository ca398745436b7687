"""The roll-ups: calls summed by minute, hour and day, so that a month is answered from thousands of rows.

In: the raw table. Out: the definitions of the roll-up tables (grain, dimensions, sums, histograms), the query that
fills one, and `reconcile`, which rebuilds the days on which a roll-up and the raw rows disagree.
What it must never know: who asks, the unit of a step, a provider.

Why three: minute and hour have few dimensions, so that their cells stay dense (a cell per call would be larger and
slower than the calls). Charging back to teams and projects asks by day; that table carries those dimensions. The names
of a model as it was requested and as it was answered go with the hour: they all but follow from the model, so that an
hour has hardly more cells by them.
Latencies are counted in fixed log-scale buckets, 16 a doubling: counts add up exactly, in any order and any number
of times, and a quantile read from them is off by at most `QUANTILE_ERROR`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tachograph.call import BY_NAME, INPUT_PARTS, MODALITY_PARTS, OUTPUT_PARTS
from tachograph.store.schema import column_type

if TYPE_CHECKING:
    from tachograph.store.engine import Engine

PER_DOUBLING = 16
QUANTILE_ERROR = 2 ** (1 / (2 * PER_DOUBLING)) - 1  # 2.2 %: half a bucket, the value being its middle
ITL_PER_DOUBLING = 4  # as `call.itl_buckets` counts them
ITL_QUANTILE_ERROR = 2 ** (1 / (2 * ITL_PER_DOUBLING)) - 1  # 9.1 %

SAME_EVERYWHERE = ("provider", "model", "operation", "outcome", "error_type", "environment")
CHARGEBACK = ("service", "team", "project")
VERSIONS = ("request_model", "response_model")


@dataclass(frozen=True, slots=True)
class Rollup:
    """One roll-up table. `grain_seconds`: width of a cell in time; `dimensions`: what may be asked of it."""

    name: str
    table: str
    grain_seconds: int
    dimensions: tuple[str, ...]


# Finest first; `ask` takes the coarsest that can answer.
ROLLUPS = (
    Rollup("minute", "calls_minute", 60, SAME_EVERYWHERE),
    Rollup("hour", "calls_hour", 3600, SAME_EVERYWHERE + VERSIONS),
    Rollup("day", "calls_day", 86400, SAME_EVERYWHERE + CHARGEBACK + VERSIONS),
)

# What an insert is summed to before it reaches the three: their sums are made once, not three times. Minute and hour do
# not tell who is charged: they are made of far fewer cells, which are summed once too. No table keeps either.
CELLS = Rollup("cell", "calls_cells", 60, SAME_EVERYWHERE + CHARGEBACK + VERSIONS)
NARROW = Rollup("narrow cell", "calls_cells_narrow", 60, SAME_EVERYWHERE + VERSIONS)

_TOKENS = (*INPUT_PARTS, *OUTPUT_PARTS, *MODALITY_PARTS, "input_tokens", "output_tokens", "total_tokens")


def bucket(value: str) -> str:
    """SQL: the bucket of a positive number of milliseconds; 0.001 ms is the smallest that is told apart."""
    return f"toInt16(round(log2(greatest(toFloat64(assumeNotNull({value})), 0.001)) * {PER_DOUBLING}))"


def _sum(kind: str) -> str:
    return f"SimpleAggregateFunction(sum, {kind})"


_COUNTED = "\nWHERE calls.same_as IS NULL"
_HISTOGRAM = "SimpleAggregateFunction(sumMap, Map(Int16, UInt64))"


def _histogram(field: str) -> str:
    return f"sumMapIf(map({bucket('calls.' + field)}, toUInt64(1)), calls.{field} IS NOT NULL)"


# Column of a roll-up -> (its type, how it is made from raw rows). The qualified names are on purpose: an alias that
# is called like the field it sums would otherwise be read as itself.
SUMS: dict[str, tuple[str, str]] = {
    "calls": (_sum("UInt64"), "count()"),
    **{name: (_sum("Nullable(UInt64)"), f"sum(calls.{name})") for name in _TOKENS},
    "cost_usd": (_sum("Nullable(Decimal(38, 10))"), "sum(calls.cost_usd)"),
    "priced_calls": (_sum("UInt64"), "count(calls.cost_usd)"),
    # Cost per token compares like with like: only calls of which both are known.
    "cost_of_counted_usd": (
        _sum("Nullable(Decimal(38, 10))"),
        "sumIf(calls.cost_usd, calls.total_tokens IS NOT NULL)",
    ),
    "tokens_of_priced": (_sum("Nullable(UInt64)"), "sumIf(calls.total_tokens, calls.cost_usd IS NOT NULL)"),
    "input_of_cacheable": (_sum("Nullable(UInt64)"), "sumIf(calls.input_tokens, calls.cache_read IS NOT NULL)"),
    "estimated_calls": (_sum("UInt64"), "countIf(calls.usage_source = 'estimated')"),
    "unattributed_calls": (_sum("UInt64"), "countIf(calls.team = '')"),
    "duration_ms": (_sum("Nullable(Decimal(38, 3))"), "sum(calls.duration_ms)"),
    "timed_calls": (_sum("UInt64"), "count(calls.duration_ms)"),
    "duration_buckets": (_HISTOGRAM, _histogram("duration_ms")),
    "ttft_buckets": (_HISTOGRAM, _histogram("ttft_ms")),
    "tpot_buckets": (_HISTOGRAM, _histogram("tpot_ms")),
    "itl_buckets": (
        _HISTOGRAM,
        "mapFilter((bucket, gaps) -> gaps > 0, mapFromArrays("
        "arrayMap(i -> toInt16(i - 1), arrayEnumerate(sumForEach(calls.itl_buckets) AS gap_sums)), gap_sums))",
    ),
}


def columns(rollup: Rollup) -> dict[str, str]:
    """Names and SQL types of a roll-up's columns, in order."""
    dimensions = {name: column_type(BY_NAME[name]) for name in rollup.dimensions}
    return {"time": "DateTime('UTC')", **dimensions, **{name: kind for name, (kind, _) in SUMS.items()}}


def filling(rollup: Rollup, names: Sequence[str] | None = None) -> str:
    """The SELECT that makes cells of `rollup` from raw rows, up to its WHERE; `names`: only these sums."""
    start = (
        f"toDateTime(intDiv(toUnixTimestamp(calls.started_at), {rollup.grain_seconds}) * {rollup.grain_seconds}, 'UTC')"
    )
    wanted = SUMS if names is None else {name: SUMS[name] for name in names}
    made = [f"{start} AS time", *(f"calls.{name} AS {name}" for name in rollup.dimensions)]
    made += [f"{expression} AS {name}" for name, (_, expression) in wanted.items()]
    return "SELECT\n    " + ",\n    ".join(made) + "\nFROM tachograph.calls AS calls" + _COUNTED


def grouping(rollup: Rollup) -> str:
    """The GROUP BY that closes `filling`."""
    return "GROUP BY time, " + ", ".join(rollup.dimensions)


def folding(rollup: Rollup) -> str:
    """The whole SELECT that makes cells of `rollup` from those of CELLS, or from NARROW ones where they tell enough. Of
    as many dimensions as CELLS they are taken as they stand: a batch is of a minute or two, to sum those for the day
    would cost more than it saves.
    """
    same = rollup.dimensions == CELLS.dimensions
    made_of = NARROW if rollup is not NARROW and set(rollup.dimensions) <= set(NARROW.dimensions) else CELLS
    start = f"toDateTime(intDiv(toUnixTimestamp(cells.time), {rollup.grain_seconds}) * {rollup.grain_seconds}, 'UTC')"
    made = [f"{start} AS time", *(f"cells.{name} AS {name}" for name in rollup.dimensions)]
    made += [
        f"cells.{name} AS {name}" if same else f"{_summed(kind)}(cells.{name}) AS {name}"
        for name, (kind, _) in SUMS.items()
    ]
    folded = "SELECT\n    " + ",\n    ".join(made) + f"\nFROM tachograph.{made_of.table} AS cells"
    return folded if same else f"{folded}\n{grouping(rollup)}"


def _summed(kind: str) -> str:
    return "sumMap" if kind == _HISTOGRAM else "sum"


def taking_back(rows: str) -> str:
    """The statement that takes the calls `rows` (a condition) out of all roll-ups: their cells once more, negative.

    Counts are unsigned and wrap around: adding 2^64 - n takes n away, in every order of merging.
    """
    taken = ["made.time", *(f"made.{name}" for name in CELLS.dimensions)]
    taken += [_negative(name, kind) for name, (kind, _) in SUMS.items()]
    names = ", ".join(("time", *CELLS.dimensions, *SUMS))
    made = f"{filling(CELLS).removesuffix(_COUNTED)}\nWHERE {rows}\n{grouping(CELLS)}"
    return f"INSERT INTO {CELLS.table} ({names}) SELECT {', '.join(taken)} FROM ({made}) AS made"


def _negative(name: str, kind: str) -> str:
    if kind == _HISTOGRAM:
        return f"mapApply((k, v) -> (k, toUInt64(-toInt64(v))), made.{name})"
    if "Decimal" in kind:
        return f"-made.{name}"
    return (
        f"if(isNull(made.{name}), NULL, toUInt64(-toInt64(assumeNotNull(made.{name}))))"
        if "Null" in kind
        else (f"toUInt64(-toInt64(made.{name}))")
    )


def reconcile(
    engine: Engine, kept_days: Mapping[str, int | None], suspected: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Rebuild every day on which a roll-up counts other calls than the raw table; the days rebuilt, by table.

    A process that dies between the two writes of one batch, or a full disk, leaves such a day. Rebuilding is safe to
    repeat: killed half way, the day still disagrees and is rebuilt next time. `kept_days`: how long each table keeps
    its rows; days that one of the two may have dropped are left alone, as there the other rightly knows more.
    `suspected`: days on which as many calls may be counted, but others; there every cell is compared.
    """
    found = {
        rollup.table: _reconcile_one(engine, rollup, _both_keep(rollup, kept_days), suspected) for rollup in ROLLUPS
    }
    return {table: days for table, days in found.items() if days}


def _both_keep(rollup: Rollup, kept_days: Mapping[str, int | None]) -> int | None:
    known = [days for table in ("calls", rollup.table) if (days := kept_days.get(table)) is not None]
    return min(known, default=None)


def _reconcile_one(engine: Engine, rollup: Rollup, both_days: int | None, suspected: Sequence[str]) -> list[str]:
    days = set(_disagreeing(engine, rollup, both_days))
    if suspected:
        days |= set(_differing(engine, rollup, both_days, suspected))
    if days:
        # A day may be rebuilt to what it was before, which is no repetition.
        engine.command(_rebuilding(rollup), {"days": sorted(days)}, insert_deduplicate=0)
    return sorted(days)


def _rebuilding(rollup: Rollup) -> str:
    """The statement that takes the days out and fills them anew, by one insert: what the cells are, negative, and what
    they should be. To delete them would be two steps, and a note of the engine's own that a full disk cuts short.
    """
    inside = "IN (SELECT toDate(arrayJoin({days:Array(String)})))"
    names = ("time", *rollup.dimensions)
    taken = [*(f"made.{name}" for name in names), *(_negative(name, kind) for name, (kind, _) in SUMS.items())]
    return (
        f"INSERT INTO {rollup.table} ({', '.join((*names, *SUMS))})"
        f" {filling(rollup)} AND toDate(calls.started_at, 'UTC') {inside} {grouping(rollup)}"
        f" UNION ALL SELECT {', '.join(taken)} FROM {rollup.table} AS made WHERE toDate(made.time, 'UTC') {inside}"
    )


def _kept(both_days: int | None) -> str:
    # A week is the unit in which rows are dropped; stay a day clear of it.
    return "1" if both_days is None else f"day > today() - {max(both_days - 8, 0)}"


def _disagreeing(engine: Engine, rollup: Rollup, both_days: int | None) -> list[str]:
    rows = engine.query(
        f"""
        SELECT toString(day) FROM (
            SELECT toDate(started_at, 'UTC') AS day, toInt64(count()) AS n FROM calls WHERE same_as IS NULL GROUP BY day
            UNION ALL
            SELECT toDate(time, 'UTC') AS day, -toInt64(sum(calls)) AS n FROM {rollup.table} GROUP BY day)
        WHERE {_kept(both_days)} GROUP BY day HAVING sum(n) != 0 ORDER BY day
        """
    )
    return [day for (day,) in rows]


def _differing(engine: Engine, rollup: Rollup, both_days: int | None, days: Sequence[str]) -> list[str]:
    """Those of the days on which a cell counts another number of calls, tokens, dollars or milliseconds."""
    keys = f"day, {', '.join(rollup.dimensions)}"
    inside = "IN (SELECT toDate(arrayJoin({days:Array(String)})))"
    raw = ", ".join(f"toInt256(ifNull(sum({name}), 0) * 1000000000) AS {name}_" for name in _COMPARED)
    rolled = raw.replace("toInt256(", "-toInt256(")
    rows = engine.query(
        f"""
        SELECT DISTINCT toString(day) FROM (
            SELECT toDate(started_at, 'UTC') AS {keys}, toInt64(count()) AS n, {raw}
            FROM calls WHERE same_as IS NULL AND toDate(started_at, 'UTC') {inside} GROUP BY {keys}
            UNION ALL
            SELECT toDate(time, 'UTC') AS {keys}, -toInt64(sum(calls)) AS n, {rolled}
            FROM {rollup.table} WHERE toDate(time, 'UTC') {inside} GROUP BY {keys})
        WHERE {_kept(both_days)} GROUP BY {keys}
        HAVING sum(n) != 0 OR {" OR ".join(f"sum({name}_) != 0" for name in _COMPARED)} ORDER BY 1
        """,
        {"days": list(days)},
    )
    return [day for (day,) in rows]


_COMPARED = ("total_tokens", "cost_usd", "duration_ms")
