"""What any store must do, whichever engine is behind it: embedded in every run, a real server in the long one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.strategies import at, calls, distinct

from tachograph.call import Call
from tachograph.flow import Refused
from tachograph.store import MEASURES, Store, Unknown, open_store
from tachograph.store import ask as asking
from tachograph.store.migration import missing_columns
from tachograph.store.rollups import ITL_QUANTILE_ERROR, QUANTILE_ERROR, ROLLUPS, reconcile

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)
EVER = {"since": datetime(1970, 1, 1, tzinfo=UTC), "until": datetime(2106, 1, 2, tzinfo=UTC)}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# No shrinking: every try empties and fills a store, and a failing seed is small enough to read as it is.
unhurried = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=["embedded", pytest.param("server", marks=pytest.mark.long)])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "embedded":
        with open_store(f"chdb://{tmp_path_factory.mktemp('store')}") as store:
            yield store
        return
    from tests.servers.clickhouse import serve

    with serve(tmp_path_factory.mktemp("server")) as address, open_store(address) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    empty(opened)
    return opened


def empty(store: Store) -> None:
    for table in ("calls", *(rollup.table for rollup in ROLLUPS)):
        store.engine.command(f"TRUNCATE TABLE {table}")


def figure(store: Store, measure: str, **question: Any) -> Any:
    (row,) = store.ask(measure, **{"since": JUNE, "until": JULY, **question}).rows
    return row.values[0]


def traffic(seed: int, count: int, day: int = 1, seconds: float = 86400) -> list[Call]:
    """Calls of one day with everything that measures and roll-ups read."""
    chance = random.Random(seed)
    return [
        one(chance, at(chance.uniform(0, seconds), day=day, call_id=f"{chance.getrandbits(128):032x}"))
        for _ in range(count)
    ]


def one(chance: random.Random, call: Call) -> Call:
    failed, counted = chance.random() < 0.2, chance.random() < 0.8
    tokens = chance.randrange(5000)
    return dataclasses.replace(
        call,
        provider=chance.choice(["a", "b"]),
        model=chance.choice([None, "m1", "m2"]),
        team=chance.choice(["", "red", "blue"]),
        outcome="error" if failed else "ok",
        error_type="timeout" if failed else None,
        duration_ms=chance.choice([None, round(chance.lognormvariate(6, 2), 3)]),
        ttft_ms=chance.choice([None, round(chance.lognormvariate(4, 1), 3)]),
        tpot_ms=chance.choice([None, 0.0, round(chance.lognormvariate(2, 1), 3)]),
        itl_buckets=chance.choice([None, [0, 3, chance.randrange(9)], [chance.randrange(1, 5)] * 20]),
        input_uncached=tokens if counted else None,
        cache_read=chance.choice([None, 10]) if counted else None,
        input_tokens=tokens + 10 if counted else None,
        output_tokens=7 if counted else None,
        total_tokens=tokens + 17 if counted else None,
        cost_usd=chance.choice([None, Decimal(chance.randrange(10**9)).scaleb(-10)]),
        usage_source=chance.choice(["reported", "estimated", "missing"]),
        user_id=chance.choice([None, "u1", "u2"]),
        tags=chance.choice([{}, {"tier": "gold"}, {"tier": ""}]),
    )


def test_the_columns_are_the_fields(opened: Store) -> None:
    assert missing_columns(opened.engine) == []
    assert opened.migrate() == 0


@settings(unhurried, max_examples=6)
@given(found=st.lists(calls(), min_size=1, max_size=8))
def test_a_call_survives_the_store(opened: Store, found: list[Call]) -> None:
    empty(opened)
    found = distinct(found)
    assert opened.write(found, "batch") == len(found)
    assert [opened.call(call.call_id) for call in found] == found
    newest_first = sorted(found, key=lambda call: (call.started_at, call.call_id), reverse=True)
    assert opened.calls(**EVER) == newest_first


def test_a_batch_sent_twice_counts_once(store: Store) -> None:
    batch = traffic(1, 50)
    assert store.write(batch, "t1") == 50
    assert store.write(batch, "t1") == 0
    assert store.write(batch, "another token") == 0
    assert counted(store) == dict.fromkeys(("calls", "minute", "hour", "day"), 50)


def test_a_call_in_two_batches_counts_once(store: Store) -> None:
    batch = traffic(2, 30)
    moved = [dataclasses.replace(call, started_at=call.started_at + DAY) for call in batch[:5]]
    assert store.write(batch[:20], "t1") == 20
    assert store.write([*batch[10:], *moved], "t2") == 10
    assert store.write([batch[0], batch[0]], "t3") == 0
    assert counted(store) == dict.fromkeys(("calls", "minute", "hour", "day"), 30)


def test_one_token_for_two_different_batches_loses_nothing(store: Store) -> None:
    batch = traffic(3, 10)
    assert store.write(batch[:4], "same") == 4
    assert store.write(batch[4:], "same") == 6
    assert figure(store, "calls") == 10


def test_the_engine_itself_deduplicates_a_block_and_what_hangs_on_it(store: Store) -> None:
    """Two collectors that write one batch to one server at once both pass the look-up."""
    from tachograph.flow.batch import to_batch

    batch = to_batch(traffic(4, 25))
    for _ in range(2):
        store._writer._insert(batch, "token")
    assert counted(store) == dict.fromkeys(("calls", "minute", "hour", "day"), 25)


def counted(store: Store) -> dict[str, int]:
    """Calls by table, asked of each table itself."""
    rows = {"calls": "SELECT count() FROM calls WHERE same_as IS NULL"}
    rows |= {rollup.name: f"SELECT sum(calls) FROM {rollup.table}" for rollup in ROLLUPS}
    return {name: store.engine.query(sql)[0][0] for name, sql in rows.items()}


def test_another_sighting_is_kept_and_never_counted(store: Store) -> None:
    first = at(10, cost_usd=Decimal(1), user_id="u")
    second = at(11, cost_usd=Decimal(1), same_as=first.call_id, vantage="gateway", user_id="u")
    assert store.write([first, second], "t") == 2
    assert [figure(store, "cost_usd", by=by) for by in ((), ("model",), ("user_id",), ("team",))] == [1.0] * 4
    assert len(store.calls(since=JUNE, until=JULY)) == 2
    assert (store.stats().calls, store.stats().repeated_sightings) == (1, 1)


def test_a_batch_with_a_value_that_cannot_be_kept_is_refused_whole(store: Store) -> None:
    with pytest.raises(Refused, match="input_tokens"):
        store.write([at(1), at(2, input_tokens=2**64)], "t")
    assert store.stats().calls == 0


def test_nothing_known_is_null_and_nothing_there_is_zero_calls(store: Store) -> None:
    names = list(MEASURES)
    (nothing,) = store.ask(names, since=JUNE, until=JULY).rows
    found = dict(zip(names, nothing.values, strict=True))
    zero = {"calls": 0, "errors": 0, "retries": 0, "calls_per_minute": 0.0}
    assert found == {**dict.fromkeys(names), **zero}
    store.write([at(5)], "t")
    for table in ("calls", "day"):
        extra = {} if table == "day" else {"where": {"user_id": None}}
        assert figure(store, "cost_usd", **extra) is None
        assert figure(store, "unpriced_share", **extra) == 1.0
        assert figure(store, "duration_p95_ms", **extra) is None
        assert figure(store, "itl_p50_ms", **extra) is None


def test_the_measures_by_hand(store: Store) -> None:
    store.write(
        [
            at(0, duration_ms=100.0, cost_usd=Decimal("0.5"), input_tokens=90, cache_read=30, output_tokens=10,
               total_tokens=100, team="red"),
            at(60, duration_ms=300.0, cost_usd=Decimal("1.5"), input_tokens=100, cache_read=None, output_tokens=200,
               total_tokens=300, usage_source="estimated"),
            at(61, duration_ms=200.0, outcome="error", error_type="timeout", attempt=1),
            at(62, duration_ms=None, cost_usd=Decimal("9")),
        ],
        "t",
    )  # fmt: skip
    expected = {
        "calls": 4, "errors": 1, "error_rate": 0.25, "retries": 1, "input_tokens": 190, "output_tokens": 210,
        "total_tokens": 400, "cache_read": 30, "audio_input": None, "cost_usd": 11.0, "cost_per_call_usd": 11 / 3,
        "cost_per_1k_tokens_usd": 5.0, "duration_mean_ms": 200.0, "duration_p50_ms": 200.0, "duration_p99_ms": 300.0,
        "cache_hit_rate": 30 / 90, "unpriced_share": 0.25, "estimated_share": 0.25, "unattributed_share": 0.75,
    }  # fmt: skip
    (row,) = store.ask(list(expected), since=JUNE, until=JULY).rows
    assert close(row.values, list(expected.values())), dict(zip(expected, row.values, strict=True))
    since = {"since": JUNE, "until": JUNE + timedelta(minutes=4)}
    assert figure(store, "tokens_per_minute", **since) == 100.0
    assert figure(store, "tokens_per_second", **since) == pytest.approx(400 / 240)
    assert figure(store, "calls_per_minute", **since) == 1.0


def close(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Equal but for the last digits of a float; null only where null is expected."""
    pairs = zip(found, expected, strict=True)
    return all(a == b if a is None or b is None else a == pytest.approx(b, rel=1e-12) for a, b in pairs)


EXACT = [name for name in MEASURES if not name.endswith(("p50_ms", "p90_ms", "p95_ms", "p99_ms")) and name != "retries"]
QUANTILES = [name for name in MEASURES if name.endswith(("p50_ms", "p90_ms", "p95_ms", "p99_ms"))]


@settings(unhurried, max_examples=5)
@given(
    seed=st.integers(0, 10**6),
    bounds=st.lists(st.integers(0, 3 * 86400 * 10**6), min_size=2, max_size=2, unique=True),
    by=st.sampled_from([(), ("model",), ("provider", "outcome")]),
    step=st.sampled_from([None, 60, 3600, 86400, 7200]),
)
def test_a_roll_up_answers_what_the_raw_rows_answer(
    opened: Store, seed: int, bounds: list[int], by: tuple[str, ...], step: int | None
) -> None:
    """In any range, whether or not it begins and ends with a cell, and from batches written in any cut."""
    empty(opened)
    everything = [call for day in (1, 2, 3) for call in traffic(seed + day, 60, day)]
    for start in range(0, len(everything), 70):
        opened.write(everything[start : start + 70], f"{start}")
    low, high = sorted(bounds)
    question: dict[str, Any] = {
        "by": by,
        "since": JUNE + timedelta(microseconds=low),
        "until": JUNE + timedelta(microseconds=high),
        "step": None if step is None else timedelta(seconds=step),
    }
    anyone = {"user_id": [None, "u1", "u2"]}  # no roll-up knows users, so this asks the raw rows
    raw = opened.ask([*EXACT, *QUANTILES], where=anyone, **question)
    rolled = opened.ask([*EXACT, *QUANTILES], **question)
    assert raw.table == "calls"
    assert [(row.labels, row.time) for row in rolled.rows] == [(row.labels, row.time) for row in raw.rows]
    for one_raw, one_rolled in zip(raw.rows, rolled.rows, strict=True):
        split = len(EXACT)
        assert close(one_rolled.values[:split], one_raw.values[:split])
        for name, exact, near in zip(QUANTILES, one_raw.values[split:], one_rolled.values[split:], strict=True):
            assert (exact is None) == (near is None), name
            if exact is not None and name.startswith("itl"):
                assert near == pytest.approx(exact), name
            elif exact is not None:
                assert near == pytest.approx(exact, rel=QUANTILE_ERROR + 1e-9, abs=0.002), name


def test_gaps_between_events_are_within_the_stated_error(store: Store) -> None:
    from tachograph.call import ITL_BUCKETS, itl_bucket

    chance = random.Random(7)
    gaps = [chance.lognormvariate(3, 1) for _ in range(2000)]
    buckets = [0] * ITL_BUCKETS
    for gap in gaps:
        buckets[itl_bucket(gap)] += 1
    store.write([at(1, itl_buckets=buckets, user_id="u")], "t")
    for by in ((), ("user_id",)):
        assert figure(store, "itl_p95_ms", by=by) == pytest.approx(sorted(gaps)[1900], rel=ITL_QUANTILE_ERROR + 1e-9)


def test_the_table_that_reads_least_answers(store: Store) -> None:
    store.write(traffic(5, 20), "t")
    asked = {
        "day": {"by": ("team",)},
        "hour": {"by": ("model",), "step": HOUR},
        "minute": {"by": ("model",), "step": timedelta(minutes=5)},
        "calls": {"by": ("user_id",)},
    }
    for table, question in asked.items():
        assert store.ask("calls", since=JUNE, until=JULY, **question).table == table
    assert store.ask("calls", since=JUNE, until=JULY, step=timedelta(seconds=90)).table == "calls"
    assert store.ask("retries", since=JUNE, until=JULY).table == "calls"
    ragged = store.ask("calls", since=JUNE + timedelta(minutes=30), until=JULY, by=("model",))
    assert ragged.table == "hour+calls"


def test_every_dimension_can_be_asked(store: Store) -> None:
    from tachograph.store import DIMENSIONS

    store.write([at(1, tags={"a.b": "x"}, price_context={"geo": "eu"}, status=200, streamed=True), at(2)], "t")
    for name in (*DIMENSIONS, "tags.a.b", "price_context.geo"):
        rows = store.ask("calls", name, since=JUNE, until=JULY).rows
        assert sum(row.values[0] for row in rows if isinstance(row.values[0], int)) == 2
        for row in rows:
            assert figure(store, "calls", where={name: row.labels[0]}) == row.values[0]
    assert {row.labels[0] for row in store.ask("calls", "tags.a.b", since=JUNE, until=JULY).rows} == {"x", None}
    assert {row.labels[0] for row in store.ask("calls", "status", since=JUNE, until=JULY).rows} == {"200", None}


NASTY = ["'", "\\", "' OR 1=1 --", "{p0:String}", "\0", "\n\t", "%s", "ö\U0001f600", "", "null", "\\N", "NULL", 'a`b"c']


@pytest.mark.parametrize("text", NASTY)
def test_a_text_is_a_value_and_never_sql(store: Store, text: str) -> None:
    store.write(
        [at(1, team=text, model=text, user_id=text, tags={text: text} if text else {}), at(2, team="other")], "t"
    )
    for name in ("team", "model", "user_id", *([f"tags.{text}"] if text else [])):
        assert figure(store, "calls", where={name: text}) == 1
        assert figure(store, "calls", where={name: [text, "nobody"]}) == 1
        assert text in {row.labels[0] for row in store.ask("calls", name, since=JUNE, until=JULY).rows}
    assert [call.user_id for call in store.calls({"user_id": text}, since=JUNE, until=JULY)] == [text]


def test_conditions(store: Store) -> None:
    store.write([at(1, model="a"), at(2, model="b"), at(3, model=None)], "t")
    for wanted, count in ((["a", None], 2), (None, 1), (["a", "b"], 2), ([], 0), ("c", 0)):
        assert figure(store, "calls", where={"model": wanted}) == count


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"measures": "cost_us"}, "did you mean 'cost_usd'"),
        ({"measures": "calls", "by": ("modell",)}, "did you mean 'model'"),
        ({"measures": "calls", "by": ("tags.",)}, "unknown dimension 'tags.'"),
        ({"measures": "calls", "where": {"tag.x": "1"}}, "unknown dimension 'tag.x'"),
        ({"measures": "calls", "by": ("call_id",)}, "unknown dimension 'call_id'"),
        ({"measures": "calls", "order": "-cost_usd"}, "cannot order by '-cost_usd'"),
        ({"measures": ["calls", "calls"]}, "asked twice"),
        ({"measures": []}, "no measure"),
    ],
)
def test_what_there_is_not_is_refused_by_name(opened: Store, question: dict[str, Any], words: str) -> None:
    with pytest.raises(Unknown, match=words):
        opened.ask(question.pop("measures"), since=JUNE, until=JULY, **question)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"since": JULY, "until": JUNE}, "swap"),
        ({"step": timedelta(milliseconds=1)}, "step"),
        ({"step": timedelta(0)}, "step"),
        ({"limit": 0}, "limit"),
        ({"since": datetime(2026, 1, 1)}, "no time zone"),
        ({"where": {"status": "many"}}, "status"),
    ],
)
def test_a_question_that_cannot_be_is_refused(opened: Store, question: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        opened.ask("calls", **{"since": JUNE, "until": JULY, **question})


def test_order_and_limit(store: Store) -> None:
    store.write([at(i, user_id=f"u{i % 5}", cost_usd=Decimal(i % 5)) for i in range(20)], "t")
    top = store.ask("cost_usd", "user_id", since=JUNE, until=JULY, order="-cost_usd", limit=2)
    assert store.ask("cost_usd", "user_id", since=JUNE, until=JULY, limit=2).rows == top.rows  # largest first
    assert [(row.labels, row.values) for row in top.rows] == [(("u4",), (16.0,)), (("u3",), (12.0,))]
    names = [row.labels[0] for row in store.ask("calls", "user_id", since=JUNE, until=JULY).rows]
    assert names == sorted(names, key=str)
    times = [
        row.time for row in store.ask("calls", since=JUNE, until=JULY, step=timedelta(seconds=1), order="-time").rows
    ]
    assert times == [JUNE + timedelta(seconds=i) for i in reversed(range(20))]


def test_pages_hold_every_call_once(store: Store) -> None:
    twins = [at(40, call_id=f"{i:032x}") for i in range(5)]
    everything = [*[at(i * 7200.5) for i in range(30)], *twins]
    store.write(everything, "t")
    seen: list[Call] = []
    page = store.calls(since=JUNE, until=JULY, limit=4)
    while page:
        seen += page
        page = store.calls(since=JUNE, until=JULY, limit=4, after=(page[-1].started_at, page[-1].call_id))
    assert seen == sorted(everything, key=lambda call: (call.started_at, call.call_id), reverse=True)


def test_a_call_that_is_not_there(store: Store) -> None:
    assert store.call("ab" * 16) is None
    assert store.stats().oldest is None
    with pytest.raises(ValueError, match="no call id"):
        store.call("42")


def test_a_clock_going_back_loses_nothing(store: Store) -> None:
    for second in (5000, 10, 4000, 0, 9000):
        assert store.write([at(second)], f"{second}") == 1
    assert figure(store, "calls") == 5
    assert [call.started_at for call in store.calls(since=JUNE, until=JULY)] == [
        JUNE + timedelta(seconds=second) for second in (9000, 5000, 4000, 10, 0)
    ]


def test_a_write_cut_short_between_two_tables_is_made_whole(store: Store) -> None:
    store.write(traffic(8, 40), "t")
    store.engine.command("ALTER TABLE calls_hour DELETE WHERE 1", mutations_sync=1)
    store.engine.command("INSERT INTO calls_day SELECT * FROM calls_day")
    raw = {"user_id": [None, "u1", "u2"]}
    assert reconcile(store.engine, {}) == {"calls_hour": ["2026-06-01"], "calls_day": ["2026-06-01"]}
    assert counted(store) == dict.fromkeys(("calls", "minute", "hour", "day"), 40)
    for table, by in (("hour", "model"), ("day", "team")):
        before = store.ask("cost_usd", by, raw, since=JUNE, until=JULY)
        after = store.ask("cost_usd", by, since=JUNE, until=JULY)
        assert (before.table, after.table) == ("calls", table)
        assert [row.labels for row in after.rows] == [row.labels for row in before.rows]
        assert close([row.values[0] for row in after.rows], [row.values[0] for row in before.rows])
    assert reconcile(store.engine, {}) == {}


def test_old_rows_go_and_their_sums_stay(store: Store) -> None:
    from tachograph.store.retention import keep

    store.write([at(1), at(2)], "t")
    long_ago = dataclasses.replace(at(3), started_at=datetime(2001, 1, 1, tzinfo=UTC), call_id="01" * 16)
    store.write([long_ago], "u")
    keep(store.engine, {"calls": 3650, "calls_hour": None})
    try:
        store.engine.command("OPTIMIZE TABLE calls FINAL")
        assert store.call(long_ago.call_id) is None
        assert figure(store, "calls") == 2
        assert figure(store, "calls", **EVER) == 3
        assert reconcile(store.engine, {"calls": 3650}) == {}
        keep(store.engine, {"calls": 3650})
        # What was said holds for whoever opens the store after that and says nothing.
        assert keep(store.engine, {})["calls"] == 3650
    finally:
        keep(store.engine, {"calls": None})
    with pytest.raises(Unknown, match="did you mean 'calls_hour'"):
        keep(store.engine, {"calls_hours": 3})
    with pytest.raises(ValueError, match="at least 1"):
        keep(store.engine, {"calls": 0})


def test_a_table_that_has_dropped_its_rows_is_not_asked(store: Store) -> None:
    calls = [dataclasses.replace(at(n), started_at=datetime(2026, 6, 1, 8, n, tzinfo=UTC)) for n in range(4)]
    store.write(calls, "t")
    store.engine.command("ALTER TABLE calls_minute DELETE WHERE 1", mutations_sync=1)  # as its retention would
    days = {"calls": 3650, "calls_minute": 1, "calls_hour": 3650, "calls_day": 3650}

    def answer(step: timedelta, kept: dict[str, int]) -> tuple[str, float]:
        window = {"since": datetime(2026, 6, 1, tzinfo=UTC), "until": datetime(2026, 6, 2, tzinfo=UTC)}
        found = asking.ask(store.engine, "calls", step=step, kept_days=kept, **window)
        return found.table, sum(row.values[0] or 0 for row in found.rows)

    assert answer(timedelta(minutes=1), days) == ("calls", 4)
    assert answer(timedelta(hours=1), days) == ("hour", 4)
    assert answer(timedelta(hours=1), {**days, "calls": 1}) == ("hour", 4)
    assert answer(timedelta(hours=1), {**days, "calls_hour": 1, "calls_day": 1}) == ("calls", 4)
    # where no table keeps them as long, the one that keeps them longest
    assert answer(timedelta(hours=1), {"calls": 1, "calls_minute": 1, "calls_hour": 2, "calls_day": 1}) == ("hour", 4)
    assert reconcile(store.engine, days) == {}
