"""An engine that fails at each of its steps in turn, before the step or after it: Busy, and nothing lost or doubled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.durability import truth
from tests.durability.process import ledger_of_page, samples, summed, totals
from tests.durability.traffic import Request, Traffic

from tachograph.capture.otlp import Taken
from tachograph.collecting import Collector
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.flow import Busy, Refused
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.pricing import price_book
from tachograph.prometheus import Metrics
from tachograph.store import Store, StoreError
from tachograph.store.engine import Engine
from tachograph.store.migration import Placement

TRIES_MAX = 3


class FailingEngine(Engine):
    """Fails at the step number `fails_at`, counted from now: before doing it, or after it was done."""

    fails_at = -1
    done_first = False
    full = False

    def query(self, *arguments: Any, **settings: Any) -> Any:
        return self._step(super().query, arguments, settings)

    def arrow(self, *arguments: Any, **settings: Any) -> Any:
        return self._step(super().arrow, arguments, settings)

    def command(self, *arguments: Any, **settings: Any) -> None:
        self._step(super().command, arguments, settings)

    def insert(self, *arguments: Any, **settings: Any) -> None:
        self._step(super().insert, arguments, settings)

    def _step(self, what: Any, arguments: Any, settings: Any) -> Any:
        self.fails_at -= 1
        failing = self.fails_at == 0
        done = what(*arguments, **settings) if not failing or self.done_first else None
        if failing:
            raise Busy("no space left", 5.0) if self.full else StoreError("the engine broke")
        return done


class Service:
    """Everything behind the doors, in this process."""

    def __init__(self, engine: Engine) -> None:
        self.store = Store(engine, Placement(), {})
        self.health = Health()
        self.metrics = Metrics(self.health)
        self.keeping = Keeping(self.store, self.metrics, self.health, lambda: datetime.now(UTC))
        self.keeping.recall()
        reader = SpanReader(SpanLimits())
        self.collector = Collector(
            reader, self.keeping, price_book(), self.health, {}, self.keeping._now, lambda _batch: None
        )

    def page(self) -> dict[str, float]:
        return samples(self.metrics.exposition(None)[0].decode())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FailingEngine]:
    made = FailingEngine(f"chdb://{tmp_path}")
    yield made
    made.close()


def delivered(service: Service, request: Request) -> int:
    """Send until it is taken, as a client does; how often it was told to come again."""
    for tries in range(TRIES_MAX):
        try:
            (answer,) = service.collector.take(request.signal, [request.body])
        except Busy as busy:
            assert busy.after_seconds > 0
            assert_quiet(service.health.ledger())
            continue
        assert isinstance(answer, Taken) and not answer.rejected
        return tries
    raise AssertionError("still busy although nothing fails any more")


def assert_quiet(ledger: Mapping[str, Any]) -> None:
    assert ledger["balanced"] and ledger["in_flight"] == 0


def assert_all_true(service: Service, traffic: Traffic, sent: list[Request]) -> None:
    truth.assert_every_call_is_there_once(service.store, sent)
    points = truth.assert_points_are_there_once(service.store, sent)
    counted = truth.assert_linked_as_resolved(service.store, traffic.truth.links)
    assert counted == traffic.truth.calls
    truth.assert_rollups_equal_raw(service.store)
    rows = sum(len(request.calls) for request in sent)
    page, ledger = service.page(), service.health.ledger()
    assert_quiet(ledger)
    assert totals(ledger) == ledger_of_page(page)
    assert ledger["stored"] == rows + points
    assert counted <= summed(page, "tachograph_calls_total") <= rows


@pytest.mark.long
@pytest.mark.parametrize("done_first", [False, True], ids=["before", "after"])
def test_each_step_may_fail(engine: FailingEngine, done_first: bool) -> None:
    service, traffic = Service(engine), Traffic(7)
    sent: list[Request] = []
    told_busy = 0
    for step in itertools.count(1):
        engine.done_first, engine.full = done_first, step % 2 == 0
        again = 0
        for request in traffic.wave(traces=6, requests=3):
            engine.fails_at = step
            again += delivered(service, request)
            sent.append(request)
        told_busy += again
        if not again:
            break
    engine.fails_at = -1
    assert told_busy > 20
    assert_all_true(service, traffic, sent)


def test_a_process_that_begins_anew_counts_what_a_failed_write_left(engine: FailingEngine) -> None:
    service, traffic = Service(engine), Traffic(8)
    (request, *_) = [one for one in traffic.wave() if one.signal == "traces"]
    service.keeping.remember()
    engine.command("ALTER TABLE calls_day ADD CONSTRAINT broken CHECK time < toDateTime('2000-01-01 00:00:00')")
    with pytest.raises(Busy):
        service.collector.take("traces", [request.body])
    engine.command("ALTER TABLE calls_day DROP CONSTRAINT broken")
    anew = Service(engine)
    assert anew.health.ledger()["stored"] == len(request.calls)
    assert delivered(anew, request) == 0
    assert_all_true_of_one(anew, request)
    assert delivered(service, request) == 0
    assert_all_true_of_one(service, request)


def assert_all_true_of_one(service: Service, request: Request) -> None:
    truth.assert_every_call_is_there_once(service.store, [request])
    truth.assert_rollups_equal_raw(service.store)
    assert_quiet(service.health.ledger())
    assert service.health.ledger()["stored"] == len(request.calls)
    (counted,) = service.store.engine.query("SELECT countIf(same_as IS NULL) FROM calls")[0]
    assert summed(service.page(), "tachograph_calls_total") == counted


def test_what_a_page_has_shown_is_not_taken_back(engine: FailingEngine) -> None:
    """Not even where the process ends without warning and a call that it showed was linked meanwhile."""
    service, traffic = Service(engine), Traffic(9)
    requests = [one for one in traffic.wave(requests=8) if one.signal == "traces"]
    for request in requests[:4]:
        delivered(service, request)
    shown = samples(service.keeping.shown(service.metrics.exposition, None)[0].decode())
    for request in requests[4:]:
        delivered(service, request)
    after = Service(engine).page()
    assert summed(after, "tachograph_calls_total") >= summed(shown, "tachograph_calls_total") > 0
    fallen = {name: value for name, value in shown.items() if "_total" in name and after.get(name, -1) < value}
    assert fallen == {}


def test_a_page_is_shown_while_the_counters_cannot_be_saved(engine: FailingEngine) -> None:
    service = Service(engine)
    engine.fails_at = 1
    assert b"tachograph_items" in service.keeping.shown(service.metrics.exposition, None)[0]


def test_a_body_that_protobuf_reads_otherwise_is_refused_alone(engine: FailingEngine) -> None:
    """Field 1 as a number: to protobuf's own reader a field that it does not know."""
    service, traffic = Service(engine), Traffic(10)
    good = [one for one in traffic.wave() if one.signal == "traces"]
    bodies = [good[0].body, b"\x08\x05", good[1].body, good[2].body[:-3], good[2].body]
    answers = service.collector.take("traces", bodies)
    kinds = [answer.reason if isinstance(answer, Refused) else answer.rejected for answer in answers]
    assert kinds == [0, "malformed", 0, "malformed", 0]
    truth.assert_every_call_is_there_once(service.store, good[:3])
    assert_quiet(service.health.ledger())
