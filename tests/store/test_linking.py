"""One call, seen by several: counted once, in whatever order, batches and processes its sightings arrive."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.store.seeing import Link, assert_rolled, cents, expected, kept, put, seen

from tachograph.call import Call
from tachograph.store import MEASURES, Store, linking, open_store
from tachograph.store.rollups import ROLLUPS

JUNE = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TOKENS, COST = 100, cents(3)


def lately(minutes: float = 50) -> datetime:
    """A time that a store which is opened now still remembers, and that no minute divides."""
    return datetime.now(UTC).replace(second=7, microsecond=0) - timedelta(minutes=minutes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path}") as store:
        yield store


def figures(store: Store, since: datetime, *, table: str) -> dict[str, Any]:
    """Everything that a roll-up can answer, of the days around, from that table."""
    measures = [name for name, measure in MEASURES.items() if measure.rolled is not None]
    first = datetime(since.year, since.month, since.day, tzinfo=UTC)
    # Only raw rows know retries: asked for it, they answer everything.
    steps = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
    by = {"day": "team"}.get(table, ())
    answer = store.ask(
        [*measures, *(["retries"] if table == "calls" else [])],
        by,
        since=first - DAY,
        until=first + 2 * DAY,
        step=steps.get(table),
    )
    assert answer.table == table
    return {"rows": [dict(zip(measures, row.values, strict=False)) for row in answer.rows]}


def total(store: Store, since: datetime, table: str, measure: str) -> float:
    return sum(row[measure] or 0 for row in figures(store, since, table=table)["rows"])


def assert_counted(store: Store, since: datetime, calls: int) -> None:
    """So many calls, each with TOKENS tokens in and its COST, says every table."""
    for table in ("calls", *(rollup.name for rollup in ROLLUPS)):
        assert total(store, since, table, "calls") == calls
        assert total(store, since, table, "input_tokens") == calls * TOKENS
        assert total(store, since, table, "cost_usd") == pytest.approx(calls * float(COST))
    assert_rolled(store)


# A framework's call through an SDK, a gateway and an engine, and the spans of HTTP between them.
PIECES = ("framework", "sdk", "gateway", "engine", "http1", "http2")


def sightings(case: str, started: datetime) -> dict[str, Call]:
    """Four sightings of one call, each of which knows more than the one before: the SDK most."""

    def one(name: str, parent: str, after: float, **fields: Any) -> Call:
        moment = started + timedelta(seconds=after)
        own = {"trace": case, "span": f"{case} {name}", "parent": f"{case} {parent}", "source": name}
        return seen(f"{case} {name}", moment, 3 - 2 * after, **own, **fields)

    return {
        "framework": one("framework", "agent", 0, vantage="framework", tokens=None),
        "engine": one("engine", "http2", 0.4, vantage="server", tokens=TOKENS, provider="vllm", ttft_ms=5.0),
        "gateway": one("gateway", "http1", 0.2, vantage="gateway", tokens=TOKENS, cost_usd=COST, provider="azure"),
        "sdk": one("sdk", "framework", 0.1, tokens=TOKENS, cost_usd=COST, team="red", cache_read=0, ttft_ms=70.0),
    }


def links(case: str) -> dict[str, Link]:
    return {
        "http1": (case, f"{case} http1", f"{case} sdk"),
        "http2": (case, f"{case} http2", f"{case} gateway"),
    }


def groupings(pieces: Sequence[str]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """All ways to hand over the pieces in one batch after another."""
    for batches in range(1, len(pieces) + 1):
        for places in itertools.product(range(batches), repeat=len(pieces)):
            if len(set(places)) == batches:
                yield tuple(
                    tuple(piece for piece, place in zip(pieces, places, strict=True) if place == batch)
                    for batch in range(batches)
                )


def arrive(
    store: Store, cases: dict[str, tuple[tuple[str, ...], ...]], since: datetime, folder: Path | None = None
) -> tuple[Store, list[Call], list[Link]]:
    """All cases side by side, each in its own batches; `folder`: opened anew before every one."""
    calls: list[Call] = []
    ways: list[Link] = []
    turns = max(len(batches) for batches in cases.values())
    for turn in range(turns):
        batch: list[Call] = []
        joined: list[Link] = []
        for number, (case, batches) in enumerate(cases.items()):
            if turn < len(batches):
                known = {**sightings(case, since + timedelta(seconds=number / 2)), **links(case)}
                for piece in batches[turn]:
                    found = known[piece]
                    batch += [found] if isinstance(found, Call) else []
                    joined += [found] if not isinstance(found, Call) else []
        assert put(store, batch, joined) == len(batch)
        calls, ways = calls + batch, ways + joined
        if folder is not None:
            store.close()
            store = open_store(f"chdb://{folder}")
            assert store.repaired == {}
    return store, calls, ways


def test_every_order_in_every_grouping_counts_once(store: Store) -> None:
    cases = {f"case {number}": batches for number, batches in enumerate(groupings(PIECES))}
    assert len(cases) == 4683
    since = lately(90)
    _, calls, ways = arrive(store, cases, since)
    assert kept(store) == expected(calls, ways)
    assert_counted(store, since, len(cases))
    # The one that knows most counts: it alone knows the team.
    assert store.ask("calls", "team", since=since - DAY, until=since + DAY).rows[0].labels == ("red",)
    assert store.stats().repeated_sightings == 3 * len(cases)


@pytest.mark.parametrize("since", [lately(), JUNE], ids=["lately", "long ago"])
def test_every_order_with_a_new_process_for_each_batch(tmp_path: Path, since: datetime) -> None:
    cases = {f"case {number}": batches for number, batches in enumerate(groupings(PIECES)) if len(batches) == 6}
    assert len(cases) == 720
    store, calls, ways = arrive(open_store(f"chdb://{tmp_path}"), cases, since, tmp_path)
    with store:
        # Links come at the time of their calls: of a time long ago, none can have come late.
        if since != JUNE:
            assert kept(store) == expected(calls, ways)
            assert_counted(store, since, len(cases))
        assert_rolled(store)


@pytest.mark.long
def test_on_a_server_that_two_collectors_write_to(tmp_path: Path) -> None:
    """By turns: what the one stored the other must ask for. At the same moment, neither can see the other's."""
    from tests.servers.clickhouse import serve

    cases = {f"case {number}": batches for number, batches in enumerate(groupings(PIECES)) if number % 9 == 0}
    since = lately(30)
    with serve(tmp_path) as address, open_store(address) as one, open_store(address) as other:
        calls: list[Call] = []
        ways: list[Link] = []
        for turn in range(len(PIECES)):
            known = {
                case: {**sightings(case, since + timedelta(seconds=number)), **links(case)}
                for number, (case, batches) in enumerate(cases.items())
                if turn < len(batches)
            }
            pieces = [known[case][piece] for case in known for piece in cases[case][turn]]
            batch = [piece for piece in pieces if isinstance(piece, Call)]
            joined = [piece for piece in pieces if not isinstance(piece, Call)]
            put((one, other)[turn % 2], batch, joined)
            assert put((other, one)[turn % 2], batch, joined, "again") == 0
            calls, ways = calls + batch, ways + joined
        assert kept(one) == expected(calls, ways)
        assert_counted(other, since, len(cases))


@pytest.mark.parametrize("restart", [False, True])
def test_sightings_up_to_an_hour_late(tmp_path: Path, restart: bool) -> None:
    store = open_store(f"chdb://{tmp_path}")
    since = lately(59)
    found, ways = sightings("late", since), links("late")
    put(store, [found["engine"], found["gateway"]], [ways["http2"]])
    for minute in range(5):
        put(store, [seen(f"other {minute}", since + timedelta(minutes=minute), trace=f"other {minute}", span="x")])
    if restart:
        store.close()
        store = open_store(f"chdb://{tmp_path}")
    put(store, [replace(found["sdk"], received_at=since + timedelta(minutes=59))], [ways["http1"]])
    put(store, [replace(found["framework"], received_at=since + timedelta(minutes=59))])
    others = store.sightings(found["engine"].call_id)
    assert {call.call_id for call in others} == {found[name].call_id for name in ("framework", "gateway", "sdk")}
    assert [call.call_id for call in others if call.same_as is None] == [found["sdk"].call_id]
    assert {call.source for call in store.sightings(found["sdk"].call_id)} == {"framework", "gateway", "engine"}
    assert total(store, since, "calls", "calls") == total(store, since, "minute", "calls") == 6
    assert_rolled(store)
    store.close()


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_resent_counts_once(tmp_path: Path, restart: bool) -> None:
    store = open_store(f"chdb://{tmp_path}")
    since = lately()
    found, ways = sightings("again", since), links("again")
    calls = list(found.values())
    assert put(store, calls[:2], [ways["http2"]], "one") == 2
    assert put(store, calls[2:], [ways["http1"]], "two") == 2
    before = kept(store)
    for turn in range(2):
        assert put(store, calls[:2], [ways["http2"]], "one") == 0
        assert put(store, calls[2:], ways.values(), "another token") == 0
        assert put(store, [*calls, seen(f"new {turn}", since, cost_usd=COST)], ways.values(), f"mixed {turn}") == 1
        assert put(store, [calls[3], calls[3]], (), "twice in one") == 0
        if restart:
            store.close()
            store = open_store(f"chdb://{tmp_path}")
    assert {call_id: target for call_id, target in kept(store).items() if call_id in before} == before
    assert_counted(store, since, 3)
    store.close()


def test_a_span_twice_in_one_batch_counts_once(store: Store) -> None:
    since = lately()
    call = seen("twice", since, trace="t", span="s", cost_usd=COST)
    assert put(store, [call, replace(call, team="red"), call]) == 1
    assert_counted(store, since, 1)


def test_answers_join_what_no_trace_does(store: Store) -> None:
    """Every order and grouping of four sightings without traces; or of two with one, and three that name the answer.

    Of every other pair of cases nobody knows the answer, and the request is what they name.
    """
    since = lately(20)
    cases = list(groupings(("framework", "sdk", "gateway", "engine")))
    assert len(cases) == 75
    calls: list[Call] = []
    for turn in range(4):
        batch = []
        for number, batches in enumerate(cases):
            found = sightings(f"answer {number}", since + timedelta(seconds=number))
            for name in batches[turn] if turn < len(batches) else ():
                word = "request_id" if number // 2 % 2 else "response_id"
                call = replace(found[name], **{word: f"a name as long as these are {number}"})
                # Half of them: SDK and framework share a trace, and only one of the two knows the answer.
                if number % 2 == 0 or name in ("gateway", "engine"):
                    call = replace(call, trace_id=None, span_id=None, parent_span_id=None)
                elif name == "sdk":
                    call = replace(call, response_id=None, request_id=None)
                batch.append(call)
        put(store, batch)
        calls += batch
    assert kept(store) == expected(calls, [])
    assert_counted(store, since, len(cases))


def test_a_call_that_failed_is_found_by_its_request_also_by_the_next_process(tmp_path: Path) -> None:
    since = lately(20)
    told = {"tokens": None, "outcome": "error", "status": 429, "request_id": "req_as_long_as_they_are_0"}
    client = seen("client", since, 0.3, **told)
    passed = seen("passed", since + timedelta(seconds=0.1), 0.1, source="envoy", vantage="gateway", **told)
    later = replace(passed, call_id=f"{int(passed.call_id, 16) + 1:032x}", started_at=since + timedelta(minutes=2))
    calls = [client, passed, later]
    for call in calls:
        with open_store(f"chdb://{tmp_path}") as store:
            assert put(store, [call]) == 1
    with open_store(f"chdb://{tmp_path}") as store:
        assert put(store, calls, (), "again") == 0
        assert (
            kept(store)
            == expected(calls, [])
            == {client.call_id: None, passed.call_id: client.call_id, later.call_id: None}
        )
        assert_rolled(store)
        plan = store.engine.query(f"EXPLAIN indexes = 1 SELECT call_id FROM calls WHERE {linking._REQUEST} IN ('x')")
        assert any("by_request" in line for (line,) in plan), "the whole store is read for one request"


def test_a_longer_way_over_answers_and_traces_is_followed(store: Store) -> None:
    """Six sightings, each joined to the next by turns: by its trace, by its answer."""
    since = lately(20)
    chain = []
    for place in range(6):
        pair, second = divmod(place, 2)
        chain.append(
            seen(
                f"step {place}",
                since + timedelta(milliseconds=place),
                trace=f"pair {pair}",
                span=f"span {place}",
                parent=f"span {place - 1}" if second else None,
                response_id="the answer of them all, 24",
                source=f"source {place}",
                cost_usd=COST,
            )
        )
    # The middle pair alone says nothing of the answer in one of its halves, so that it is reached over the trace.
    chain[3] = replace(chain[3], response_id=None)
    for order in ((0, 5, 2, 3, 1, 4), (3, 0, 1, 5, 4, 2)):
        moved = [replace(call, call_id=f"{int(call.call_id, 16) + order[0]:032x}") for call in chain]
        unlike = {"response_id": f"{order} the answer of them all"}
        fresh = [
            replace(
                call,
                trace_id=call.trace_id and f"{int(call.trace_id, 16) ^ order[0]:032x}",
                **(unlike if call.response_id else {}),
            )
            for call in moved
        ]
        for place in order:
            put(store, [fresh[place]])
        counted = [call_id for call_id, target in kept(store).items() if target is None]
        assert len(counted) == (1 if order[0] == 0 else 2)
    assert_rolled(store)


def test_a_late_attempt_takes_the_place_of_another(store: Store) -> None:
    """What was linked is a call of its own once the attempt that answered is there; then comes what joins it anew."""
    since = lately()
    caller = seen("caller", since, 9, trace="t", span="caller", cost_usd=COST, team="red")
    first = seen("first", since, 2, trace="t", span="first", parent="caller", source="envoy", cost_usd=COST)
    second = replace(
        first,
        **{
            name: getattr(other, name)
            for other in [seen("second", since + timedelta(seconds=4), 3)]
            for name in ("call_id", "started_at")
        },
        span_id="22" * 8,
    )
    put(store, [caller])
    put(store, [first])
    assert kept(store)[first.call_id] == caller.call_id
    put(store, [second])
    assert kept(store) == {caller.call_id: None, first.call_id: None, second.call_id: caller.call_id}
    assert_counted(store, since, 2)
    # To and fro, several times, with the same figures.
    for turn in range(3):
        third = replace(
            second,
            call_id=f"{int(second.call_id, 16) + turn + 1:032x}",
            span_id=f"3{turn}" * 8,
            started_at=second.started_at + timedelta(milliseconds=10 * turn + 10),
        )
        put(store, [third])
        assert kept(store)[third.call_id] == caller.call_id
        assert_counted(store, since, 3 + turn)


def test_a_trace_that_goes_on_is_read_where_it_matters(store: Store) -> None:
    """Hundreds of calls of one agent, of which some have two sightings."""
    since = lately(55)
    calls, ways = [], []
    for number in range(300):
        start = since + timedelta(seconds=10 * number)
        calls.append(seen(f"call {number}", start, trace="agent", span=f"call {number}", parent="step", cost_usd=COST))
        if number % 3 == 0:
            below = {"trace": "agent", "span": f"gw {number}", "parent": f"http {number}"}
            calls.append(seen(f"gw {number}", start, 1, source="envoy", vantage="gateway", cost_usd=COST, **below))
            ways.append(("agent", f"http {number}", f"call {number}"))
    ways.append(("agent", "step", "root"))
    for place in range(0, 7):
        put(store, calls[place::7], ways[place::7])
    assert kept(store) == expected(calls, ways)
    assert_counted(store, since, 300)


def test_what_a_source_says_is_another_sighting_stays_one(store: Store) -> None:
    since = lately()
    first = seen("first", since, trace="t", span="a", cost_usd=COST)
    told = seen("told", since, trace="u", span="b", cost_usd=COST, same_as=first.call_id, team="red")
    put(store, [told])
    put(store, [first])
    put(store, [first, told, seen("other", since, trace="v", span="a", cost_usd=COST)])
    assert kept(store)[told.call_id] == first.call_id
    assert_counted(store, since, 2)


def test_clocks_that_are_wrong(store: Store) -> None:
    """A call from the year 2100, and what belongs to it."""
    future = datetime(2100, 1, 1, tzinfo=UTC)
    found, ways = sightings("future", future), links("future")
    now = lately(1)
    for name, call in found.items():
        assert put(store, [replace(call, received_at=now)], ways.values()) == 1, name
        assert put(store, [replace(call, received_at=now)], ways.values()) == 0, name
    assert sum(target is None for target in kept(store).values()) == 1
    assert_rolled(store)


def test_of_two_that_know_the_same_the_one_that_knows_the_experiment_counts(store: Store) -> None:
    """A gateway splits what applications with an SDK ask, and they do not hear of it."""
    since = lately()
    told = {"cost_usd": COST, "team": "red", "response_id": "an answer, as long as it is"}
    client = seen("client", since, **told)
    split = {"experiment": "cheaper", "arm": "mini"}
    passed = seen("passed", since, 1.9, source="envoy", vantage="gateway", **told, **split)
    for call in (client, passed):
        put(store, [call])
    assert kept(store) == expected([client, passed], []) == {client.call_id: passed.call_id, passed.call_id: None}
    (row,) = store.ask("calls", "arm", since=since - DAY, until=since + DAY).rows
    assert (row.labels, row.values) == (("mini",), (1,))
    assert_rolled(store)


def test_a_cell_of_which_everything_was_taken_back_is_none(store: Store) -> None:
    since = lately()
    found, ways = sightings("empty", since), links("empty")
    put(store, [found["engine"]])
    put(store, [found["gateway"]], [ways["http2"]])
    put(store, [found["sdk"]], [ways["http1"]])
    around = {"since": since.replace(minute=0, second=0) - DAY, "until": since.replace(minute=0, second=0) + DAY}
    for by, step in (("provider", None), ("provider", timedelta(hours=1)), (("provider", "team"), None)):
        answer = store.ask(["calls", "cost_usd", "ttft_p95_ms"], by, step=step, **around)
        assert [(row.labels[0], row.values[0]) for row in answer.rows] == [("unknown", 1)]
    nothing = ["calls", "input_tokens", "tokens_per_minute", "cost_usd", "duration_p50_ms", "ttft_p50_ms", "error_rate"]
    (row,) = store.ask(nothing, where={"provider": "vllm"}, **around).rows
    assert row.values == (0, None, None, None, None, None, None)
    raw = store.ask([*nothing, "retries"], where={"provider": "vllm"}, **around)
    assert (raw.table, raw.rows[0].values[:-1]) == ("calls", row.values)


def test_quantiles_after_relinking_are_those_of_the_raw_rows(store: Store) -> None:
    since = lately(50)
    for number in range(15):
        start = since + timedelta(seconds=number)
        call = {"trace": f"t{number}", "cost_usd": COST}
        gateway = seen(f"g{number}", start, 1 + number, span="g", parent="s", source="envoy", ttft_ms=900.0, **call)
        sdk = seen(f"s{number}", start, 2 + number, span="s", team="red", ttft_ms=10.0 + number, **call)
        sdk = replace(sdk, itl_buckets=[0, 4, 2], tpot_ms=3.0)
        put(store, [replace(gateway, itl_buckets=[9, 9], tpot_ms=70.0)])
        put(store, [sdk])
    raw, minute, hour, day = (figures(store, since, table=name)["rows"] for name in ("calls", "minute", "hour", "day"))
    assert sum(row["calls"] for row in minute) == sum(row["calls"] for row in hour) == 15
    for name in ("duration_p50_ms", "duration_p99_ms", "ttft_p50_ms", "ttft_p99_ms", "tpot_p95_ms"):
        assert day[0][name] == pytest.approx(raw[0][name], rel=0.023)
    assert day[0]["itl_p50_ms"] == pytest.approx(raw[0]["itl_p50_ms"], rel=0.1)
    assert_rolled(store)


names = st.sampled_from("abcdef")
spans = {"trace": st.sampled_from(["t", "u", None]), "span": names, "parent": st.none() | names}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]], list[int], list[bool]]:
    """Sightings as fields, links, the batch that each piece arrives in, and after which a new process begins."""
    found = [
        {
            **{name: draw(strategy) for name, strategy in spans.items()},
            "after": draw(st.sampled_from([0, 0.5, 1, 30, 100])),
            "seconds": draw(st.sampled_from([0, 1.0, 200.0])),
            "response_id": draw(
                st.sampled_from([None, None, "the first of the answers", "another one of those", "id-1"])
            ),
            "request_id": draw(st.sampled_from([None, "the first of the requests", "req-1"])),
            "operation": draw(st.sampled_from(["chat", "chat", "chat", "embeddings"])),
            "vantage": draw(st.sampled_from(["client", "gateway", "server"])),
            "source": draw(st.sampled_from(["sdk", "envoy", "vllm"])),
            "outcome": draw(st.sampled_from(["ok", "ok", "error"])),
            "tokens": draw(st.sampled_from([None, 100, 7])),
            "cost_usd": draw(st.sampled_from([None, COST])),
            "team": draw(st.sampled_from(["", "red"])),
            "provider": draw(st.sampled_from(["a", "b"])),
            "ttft_ms": draw(st.sampled_from([None, 5.0])),
        }
        for _ in range(draw(st.integers(1, 9)))
    ]
    ways = draw(st.lists(st.tuples(st.sampled_from("tu"), names, names), max_size=4, unique_by=lambda way: way[:2]))
    turns = draw(st.lists(st.integers(0, 4), min_size=len(found) + len(ways), max_size=len(found) + len(ways)))
    return found, ways, turns, draw(st.lists(st.booleans(), min_size=5, max_size=5))


class World:
    """One folder for all examples: each has traces and answers of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store(f"chdb://{folder}")
        self.examples = 0
        self.since = lately(100)
        self.calls: list[Call] = []
        self.ways: list[Link] = []

    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(f"chdb://{self.folder}")
        assert self.store.repaired == {}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.store.close()


unhurried = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(unhurried, max_examples=10)
@given(drawn=worlds())
def test_whatever_comes_in_whichever_order(world: World, drawn: Any) -> None:
    come(world, drawn)


@pytest.mark.long
@settings(unhurried, max_examples=100)
@given(drawn=worlds())
def test_whatever_comes_in_whichever_order_at_length(world: World, drawn: Any) -> None:
    come(world, drawn)


def come(world: World, drawn: Any) -> None:
    """What was drawn, in its batches; then the store says of all examples what they say taken together."""
    found, ways, turns, ends = drawn
    world.examples += 1
    own = f"{world.examples} "
    start = world.since + timedelta(seconds=60 * (world.examples % 90))
    calls = []
    for number, fields in enumerate(found):
        after, seconds, answer, request = (fields[name] for name in ("after", "seconds", "response_id", "request_id"))
        rest = {name: value for name, value in fields.items() if name not in ("after", "seconds")}
        rest |= {"trace": rest["trace"] and own + rest["trace"], "response_id": answer and answer + own}
        rest |= {"request_id": request and request + own}
        calls.append(seen(f"{own}{number}", start + timedelta(seconds=after), seconds, **rest))
    joined = [(own + trace, span, parent) for trace, span, parent in ways]
    for turn in range(5):
        batch = [call for call, at in zip(calls, turns, strict=False) if at == turn]
        put(world.store, batch, [way for way, at in zip(joined, turns[len(calls) :], strict=True) if at == turn])
        if ends[turn] and world.examples % 5 == 0:
            world.reopen()
    world.calls += calls
    world.ways += joined
    assert kept(world.store) == expected(world.calls, world.ways)
    assert_rolled(world.store)
