"""A write that is cut short: nothing is lost, nothing counts twice, and the roll-ups say what the rows say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.store.seeing import Link, assert_rolled, cents, expected, kept, put, seen

from tachograph.call import Call
from tachograph.flow import Busy
from tachograph.store import Store
from tachograph.store.engine import Engine
from tachograph.store.migration import Placement
from tachograph.store.relinking import NOTE

STATEMENTS = ("links", "note", "rows", "taken back", "counted again", "calls")


# After a statement and before the next is nearly the same: the one in every run, the other in the long one.
each_statement = pytest.mark.parametrize(
    ("statement", "after"),
    [
        pytest.param(
            place, after, id=f"{'after' if after else 'before'} {what}", marks=[] if after else pytest.mark.long
        )
        for place, what in enumerate(STATEMENTS, 1)
        for after in (False, True)
    ],
)


class Killed(BaseException):
    """The process ends here."""


class Failing(Engine):
    """An engine that fails at one of the statements that write, before or after it was carried out."""

    fails_at = 0  # counted from 1; 0: never
    after = False
    failure: BaseException | None = None
    done: list[str]

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self._write(sql, lambda: Engine.command(self, sql, parameters, **settings))

    def insert(self, table: str, batch: pa.RecordBatch, **settings: Any) -> None:
        self._write(f"insert {table}", lambda: Engine.insert(self, table, batch, **settings))

    def _write(self, what: str, carry_out: Any) -> None:
        self.done = [*getattr(self, "done", []), what]
        failing = self.failure is not None and len(self.done) == self.fails_at
        if failing and not self.after:
            raise self.failure or AssertionError
        carry_out()
        if failing:
            raise self.failure or AssertionError

    def arm(self, fails_at: int, *, after: bool, failure: BaseException | None) -> None:
        self.done, self.fails_at, self.after, self.failure = [], fails_at, after, failure


def opened(folder: Path) -> Store:
    engine = Failing(f"chdb://{folder}")
    return Store(engine, Placement(None), {})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


def world(name: str, started: datetime) -> tuple[list[Call], list[Call], list[Link]]:
    """(what is stored, what comes then, the link that comes with it): the new ones change what counts, both ways."""

    def one(own: str, after: float = 0, **fields: Any) -> Call:
        moment = started + timedelta(seconds=after)
        return seen(f"{name} {own}", moment, 5 - 2 * after, trace=name, span=own, **fields)

    stored = [
        one("gateway", 0.3, parent="http", source="envoy", vantage="gateway", cost_usd=cents(1), provider="azure"),
        one("engine", 0.6, parent="gateway", source="vllm", vantage="server", provider="vllm", tokens=50, ttft_ms=3.0),
        one("caller", team="red", cost_usd=cents(2)),
        one("attempt", 0.2, parent="caller", source="envoy", cost_usd=cents(2), provider="b", tokens=100),
        one("alone", 0.2),
    ]
    new = [
        one("sdk", cost_usd=cents(1), cache_read=0, team="blue", ttft_ms=50.0),
        one("answer", 0.5, parent="caller", source="envoy", cost_usd=cents(2), provider="b", tokens=100),
        one("other", 0.7, provider="c"),
    ]
    new[1] = replace(new[1], duration_ms=4500.0)  # it ended after the attempt
    return stored, new, [(name, "http", "sdk")]


def begin(store: Store, name: str) -> tuple[list[Call], list[Call], list[Link], dict[str, str | None]]:
    stored, new, links = world(name, datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30))
    put(store, stored)
    before = expected(stored, [])
    assert of(store, stored) == before
    assert sum(target is None for target in before.values()) == 3
    return stored, new, links, before


def of(store: Store, calls: list[Call]) -> dict[str, str | None]:
    known = kept(store)
    return {call.call_id: known[call.call_id] for call in calls if call.call_id in known}


def test_the_statements_of_a_write_that_relinks(folder: Path) -> None:
    with opened(folder) as store:
        stored, new, links, _ = begin(store, "counted")
        engine = store.engine
        assert isinstance(engine, Failing)
        engine.arm(0, after=False, failure=None)
        put(store, new, links)
        beginnings = ["insert span_links", "INSERT INTO snapshots", "UPDATE calls", *["INSERT INTO calls_cells"] * 2]
        assert [done.startswith(start) for done, start in zip(engine.done, beginnings, strict=False)] == [True] * 5
        assert engine.done[5:] == ["insert calls"]
        after = expected([*stored, *new], links)
        assert of(store, [*stored, *new]) == after
        freed = [call_id for call_id, target in expected(stored, []).items() if target and after[call_id] is None]
        assert len(freed) == 1
        assert_rolled(store)
        # A note that is done says nothing more.
        assert store.repair() == {}


@each_statement
def test_an_engine_that_fails_and_goes_on(folder: Path, statement: int, after: bool) -> None:
    with opened(folder) as store:
        stored, new, links, before = begin(store, "fails")
        engine = store.engine
        assert isinstance(engine, Failing)
        engine.arm(statement, after=after, failure=Busy("no space left"))
        with pytest.raises(Busy):
            put(store, new, links)
        engine.arm(0, after=False, failure=None)
        # Something else comes first; then the sender tries again.
        put(store, [seen("in between", datetime.now(UTC), trace="x", span="x")])
        told = of(store, [*stored, *new])
        there = set(told) - set(before)
        assert there in (set(), {call.call_id for call in new})
        assert told == (expected([*stored, *new], links) if there else before)
        assert_rolled(store)
        assert put(store, new, links, "again") == (0 if there else len(new))
        assert of(store, [*stored, *new]) == expected([*stored, *new], links)
        assert_rolled(store)


@each_statement
def test_a_process_that_ends(folder: Path, statement: int, after: bool) -> None:
    store = opened(folder)
    stored, new, links, before = begin(store, "ends")
    engine = store.engine
    assert isinstance(engine, Failing)
    engine.arm(statement, after=after, failure=Killed())
    with pytest.raises(Killed):
        put(store, new, links)
    store.close()
    with opened(folder) as store:
        told = of(store, [*stored, *new])
        there = set(told) - set(before)
        assert there == ({call.call_id for call in new} if STATEMENTS[statement - 1] == "calls" and after else set())
        assert told == (expected([*stored, *new], links) if there else before)
        assert_rolled(store)
        assert put(store, new, links, "again") == (0 if there else len(new))
        assert of(store, [*stored, *new]) == expected([*stored, *new], links)
        assert_rolled(store)


@pytest.mark.parametrize("statement", range(1, 6), ids=STATEMENTS[:5])
def test_a_link_alone_that_is_cut_short(folder: Path, statement: int) -> None:
    """No new call says whether it was done: it is finished, as the link is stored."""
    store = opened(folder)
    stored, new, links, _ = begin(store, "link")
    put(store, new)
    everything = [*stored, *new]
    apart = expected(everything, [])
    assert of(store, everything) == apart
    engine = store.engine
    assert isinstance(engine, Failing)
    engine.arm(statement, after=False, failure=Killed())
    try:
        put(store, [], links)
        store.engine.command("SELECT 1")  # the failure was armed for later than the last statement
    except Killed:
        pass
    store.close()
    with opened(folder) as store:
        noted = statement > STATEMENTS.index("note") + 1
        assert of(store, everything) == (expected(everything, links) if noted else apart)
        assert_rolled(store)
        put(store, [], links)
        assert of(store, everything) == expected(everything, links)
        assert_rolled(store)


def test_a_failure_while_it_is_put_right(folder: Path) -> None:
    store = opened(folder)
    stored, new, links, before = begin(store, "twice")
    engine = store.engine
    assert isinstance(engine, Failing)
    engine.arm(4, after=True, failure=Busy("no space left"))
    with pytest.raises(Busy):
        put(store, new, links)
    for statement in range(1, 4):
        engine.arm(statement, after=True, failure=Busy("still none"))
        with pytest.raises(Busy):
            put(store, new, links)
    store.close()
    with opened(folder) as store:
        assert of(store, stored) == before
        assert_rolled(store)
        put(store, new, links)
        assert of(store, [*stored, *new]) == expected([*stored, *new], links)
        assert_rolled(store)


def test_notes_of_others_are_left_alone_until_a_repair(folder: Path) -> None:
    """Where several write, each settles what is its own."""
    with opened(folder) as store:
        stored, new, links, before = begin(store, "others")
        engine = store.engine
        assert isinstance(engine, Failing)
        engine.arm(3, after=True, failure=Killed())
        with pytest.raises(Killed):
            put(store, new, links)
        engine.arm(0, after=False, failure=None)
        engine.command(
            "INSERT INTO snapshots (name, taken_at, body) SELECT {other:String}, now64(6), body FROM snapshots FINAL"
            " WHERE name = {own:String}",
            {"other": f"{NOTE} of another", "own": NOTE},
        )
        engine.command("ALTER TABLE snapshots DELETE WHERE name = {own:String}", {"own": NOTE}, mutations_sync=1)
        store._writer._relinker.heal(all_notes=False)
        assert of(store, stored) != before
        store.repair()
        assert of(store, stored) == before
        assert_rolled(store)
