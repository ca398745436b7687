"""The stream of calls as a client reads it from a socket, and what it is made of."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.strategies import at
from tests.web.serving import NOW, parts_over, serving

from tachograph.call import Call, from_dict, to_json
from tachograph.flow import Busy
from tachograph.flow.batch import from_batch, to_batch
from tachograph.store import Store, Unknown
from tachograph.store.conditions import AtLeast
from tachograph.testing import generated_day
from tachograph.web.live import Live
from tachograph.web.matching import matching
from tachograph.web.parts import Parts


class Reader:
    """A client of the stream: events as (name, id, data), comments as ("", "", text)."""

    def __init__(self, address: str, path: str = "/api/v1/calls/stream", last: str = "") -> None:
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        self._connection.request("GET", path, headers={"last-event-id": last} if last else {})
        self.answer = self._connection.getresponse()

    def block(self) -> list[str]:
        lines: list[str] = []
        while line := self.answer.readline().decode():
            if line == "\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise EOFError

    def event(self) -> tuple[str, str, Any]:
        """The next event that is no comment."""
        while True:
            fields = dict(line.split(": ", 1) for line in self.block() if not line.startswith(":"))
            if "event" in fields:
                return fields["event"], fields.get("id", ""), json.loads(fields["data"])

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@contextlib.contextmanager
def reading(address: str, path: str = "/api/v1/calls/stream", last: str = "") -> Iterator[Reader]:
    reader = Reader(address, path, last)
    try:
        assert reader.answer.status == 200, reader.answer.read()
        assert reader.block()[0].startswith(":")  # listening has begun
        yield reader
    finally:
        reader.close()


def post(address: str, calls: list[Call], token: str) -> Any:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    connection.request("POST", "/api/v1/calls", "\n".join(map(to_json, calls)), {"idempotency-key": token})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def fresh(count: int, hour: int, **fields: Any) -> list[Call]:
    """Calls under ids that no other test uses."""
    return [at(3600 * hour + i, day=20, call_id=f"{hour:016x}{i:016x}", **fields) for i in range(count)]


@pytest.fixture
def parts(store: Store) -> Parts:
    return parts_over(store, live=Live(stream_calls_max=50, listeners_max=3, heartbeat_seconds=0.2))


def test_a_posted_call_is_seen_within_two_seconds(parts: Parts) -> None:
    calls = fresh(3, 1)
    with serving(parts) as address, reading(address) as reader:
        assert reader.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        began = time.monotonic()
        assert post(address, calls, "stream-1")["stored"] == 3
        seen = [reader.event() for _ in calls]
        assert time.monotonic() - began < 2
        assert [(name, from_dict(data)) for name, _, data in seen] == [("call", call) for call in calls]
        assert seen[0][1] == f"{seen[0][2]['received_at']},{calls[0].call_id}"
        assert post(address, calls, "stream-2")["stored"] == 0  # nothing new, so nothing is told
        assert any(line == ": heartbeat" for line in reader.block())


def test_only_what_was_asked_for_is_seen(parts: Parts) -> None:
    other, wanted = fresh(2, 2, team="red"), fresh(2, 3, team="blue", tags={"k": "v"})
    path = "/api/v1/calls/stream?where=team=blue,green&where=tags.k=v&where=status=null"
    with serving(parts) as address, reading(address, path) as reader:
        post(address, other, "stream-3")
        post(address, wanted, "stream-4")
        assert [reader.event()[2]["call_id"] for _ in wanted] == [call.call_id for call in wanted]


def test_a_reader_goes_on_where_it_was(parts: Parts) -> None:
    received = NOW - timedelta(minutes=2)
    calls = [
        dataclasses.replace(
            call, started_at=NOW - timedelta(minutes=5), received_at=received + timedelta(seconds=7 * i)
        )
        for i, call in enumerate(fresh(4, 4, service="resumed"))
    ]
    path = "/api/v1/calls/stream?where=service=resumed"
    with serving(parts) as address:
        with reading(address, path) as reader:
            post(address, calls[:1], "stream-5")
            last = reader.event()[1]
        post(address, calls[1:3], "stream-6")
        with reading(address, path, last) as reader:
            assert [reader.event()[2]["call_id"] for _ in range(2)] == [call.call_id for call in calls[1:3]]
            post(address, calls[3:], "stream-7")
            assert reader.event()[2]["call_id"] == calls[3].call_id


def test_what_a_resuming_reader_cannot_be_told_is_counted(parts: Parts) -> None:
    calls = [
        dataclasses.replace(call, started_at=NOW - timedelta(minutes=5), received_at=NOW)
        for call in fresh(60, 5, service="many")
    ]
    with serving(parts) as address:
        post(address, calls, "stream-8")
        last = f"{(NOW - timedelta(seconds=1)).isoformat()},{'0' * 32}"
        with reading(address, "/api/v1/calls/stream?where=service=many", last) as reader:
            names = [reader.event()[0] for _ in range(50)]
            assert (set(names), reader.event()) == ({"call"}, ("dropped", "", {"calls": 10}))


def test_a_slow_reader_is_told_how_many_it_missed(parts: Parts) -> None:
    """What waits for one reader is bounded: the socket takes what it can hold, the queue 50, the rest is counted."""
    calls = fresh(20_000, 6, tags={"padding": "x" * 2000})
    with serving(parts) as address, reading(address) as reader:
        for start in range(0, len(calls), 1000):
            parts.live.publish(to_batch(calls[start : start + 1000]))
        seen = dropped = 0
        while seen + dropped < len(calls):
            name, _, data = reader.event()
            seen, dropped = (seen + 1, dropped) if name == "call" else (seen, dropped + data["calls"])
        assert seen + dropped == len(calls)
        assert 50 <= seen < len(calls)


def test_too_many_streams_are_busy_and_a_closed_one_makes_room(parts: Parts) -> None:
    with serving(parts) as address:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(reading(address))
            refused = Reader(address)
            assert (refused.answer.status, refused.answer.headers["retry-after"]) == (503, "5")
            refused.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # a heartbeat finds that nobody reads any more
            again = Reader(address)
            status = again.answer.status
            again.close()
            if status == 200:
                break
            time.sleep(0.1)
        assert status == 200


@pytest.mark.parametrize(
    ("path", "last", "message"),
    [
        ("?where=modle=x", "", "unknown dimension 'modle': did you mean 'model'?"),
        ("?where=status=x", "", "status: 'x' is not an integer"),
        ("?were=model=x", "", "unknown parameter 'were': did you mean 'where'?"),
        ("", "yesterday", "give the `next_after` of the page before"),
    ],
)
def test_a_wrong_question_is_refused(parts: Parts, path: str, last: str, message: str) -> None:
    with serving(parts) as address:
        reader = Reader(address, "/api/v1/calls/stream" + path, last)
        assert reader.answer.status == 400
        assert message in json.loads(reader.answer.read())["error"]["message"]
        reader.close()


def test_a_server_stops_although_somebody_listens(parts: Parts) -> None:
    with contextlib.ExitStack() as readers:
        with serving(parts) as address:
            reader = readers.enter_context(reading(address))
            began = time.monotonic()
        assert time.monotonic() - began < 5
        with pytest.raises(EOFError):
            while True:
                reader.block()


def listening(live: Live, where: dict[str, Any], act: Any) -> tuple[list[Call], int]:
    """What one listener is given of what `act` publishes from another thread."""

    async def run() -> tuple[list[Call], int]:
        with live.listening(matching(where)) as listener:
            await asyncio.to_thread(act)
            await listener.wait(1)
            batches, dropped = listener.take()
            return [call for batch in batches for call in from_batch(batch)], dropped

    return asyncio.run(run())


def test_the_queue_is_bounded_and_keeps_the_oldest() -> None:
    live, calls = Live(stream_calls_max=5), fresh(12, 7)

    def act() -> None:
        live.publish(calls[:3])
        live.publish(to_batch(calls[3:9]))
        live.publish(calls[9:])

    assert listening(live, {}, act) == (calls[:5], 7)


def test_publishing_costs_nothing_when_nobody_listens() -> None:
    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    live = Live()
    live.publish(Untouchable())  # type: ignore[arg-type]
    began = time.perf_counter()
    for _ in range(100_000):
        live.publish(())
    assert time.perf_counter() - began < 1  # 10 us each would be slow; it takes a fifth of one


def test_a_closed_live_takes_no_listener() -> None:
    live = Live()
    live.close()
    with pytest.raises(Busy):
        listening(live, {}, lambda: None)


WHERES: list[dict[str, Any]] = [
    {},
    {"provider": "openai"},
    {"provider": ["openai", "anthropic"], "streamed": "true"},
    {"streamed": False},
    {"status": "200"},
    {"status": None},
    {"status": [None, 429]},
    {"error_type": ["rate_limited", None]},
    {"team": ""},
    {"user_id": None},
    {"tags.channel": "web"},
    {"tags.channel": None},
    {"tags.none": None},
    {"tags.none": ["a", "b"]},
    {"price_context.region": None},
    {"outcome": "error", "model": []},
    {"duration_ms": AtLeast(1000.5), "total_tokens": AtLeast("100")},
    {"same_as": None, "trace_id": ["ab" * 16, None]},
]


NOBODY: list[dict[str, Any]] = [{"tags.none": ["a", "b"]}, {"outcome": "error", "model": []}]


@pytest.mark.parametrize("where", WHERES, ids=str)
def test_the_stream_and_the_store_mean_the_same_by_a_condition(store: Store, where: dict[str, Any]) -> None:
    calls = list(generated_day(date(2026, 7, 1), 300))
    for i, call in enumerate(calls):
        call.tags = {"channel": "web"} if i % 3 else {}
        call.trace_id = ("ab" if i % 2 else "cd") * 16
    calls[0].status, calls[1].user_id, calls[2].trace_id, calls[3].same_as = None, None, None, "ef" * 16
    store.write(calls, "conditions")
    since = datetime(2026, 7, 1, tzinfo=UTC)
    stored = store.calls(where, since=since, until=since + timedelta(days=1), limit=1000)
    batch = to_batch(calls)
    kept = from_batch(batch.take(matching(where)(batch)))
    assert sorted(call.call_id for call in kept) == sorted(call.call_id for call in stored)
    assert bool(kept) == (where not in NOBODY)


def test_a_condition_that_makes_no_sense_is_named() -> None:
    with pytest.raises(Unknown, match="did you mean 'provider'"):
        matching({"providr": "x"})
    with pytest.raises(ValueError, match="streamed: 'maybe' is not true or false"):
        matching({"streamed": "maybe"})
    with pytest.raises(Unknown, match="did you mean 'duration_ms'"):
        matching({"durations_ms": AtLeast(1)})
    with pytest.raises(ValueError, match="ttft_ms: 'long' is not"):
        matching({"ttft_ms": AtLeast("long")})
