"""Reading an attempt after it has ended gives the Call that reading it as it passed gives; what waits has a bound."""

from __future__ import annotations

import gc
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.call import Call, to_dict
from tachograph.capture.sdk import watching
from tachograph.capture.sdk.context import current as scope_in_force
from tachograph.capture.sdk.context import entered, left, over
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.later import Later
from tachograph.capture.sdk.totals import Totals
from tachograph.capture.sdk.transports.httpx import WatchedStream
from tachograph.capture.sdk.watching import Observer, Watch
from tachograph.wire import End

URL = "https://api.openai.com/v1/chat/completions"
ASKED = json.dumps({"model": "gpt-5", "stream": True, "messages": []}).encode()
EVENTS = {"content-type": "text/event-stream"}
# Ids and the clock are the attempt's own.
OWN = {"call_id", "trace_id", "span_id", "operation_id", "started_at", "received_at"}
OWN |= {"duration_ms", "headers_ms", "ttft_ms", "tpot_ms", "itl_mean_ms", "itl_p99_ms", "itl_max_ms", "itl_buckets"}


def stream(words: list[str], usage: bool, ends: bool) -> bytes:
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    if ends:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        chunks.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}})
    base = {"id": "chatcmpl-1", "model": "gpt-5-2025-08-07"}
    return b"".join(b"data: " + json.dumps(base | chunk).encode() + b"\n\n" for chunk in chunks)


def attempted(observer: Observer, answer: bytes, cuts: list[int], end: str = "complete") -> None:
    watch = observer.begin("client", "POST", URL, {}, ASKED)
    assert watch is not None
    watch.answered(200, EVENTS)
    places = sorted({cut % (len(answer) + 1) for cut in cuts} | {0, len(answer)})
    for start, stop in itertools.pairwise(places):
        watch.piece(answer[start:stop])
    getattr(watch, end)()


def told(call: Call) -> dict[str, Any]:
    """All but what is the attempt's own; pieces that came within one microsecond look as if they had been held back."""
    values = {name: value for name, value in to_dict(call).items() if name not in OWN}
    return values | {"flags": [flag for flag in call.flags if flag != "buffered_stream"]}


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    yield []


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(st.text(max_size=5), max_size=6),
    usage=st.booleans(),
    ends=st.booleans(),
    cuts=st.lists(st.integers(0, 5000), max_size=8),
    end=st.sampled_from(["complete", "closed"]),
)
def test_later_is_the_same(words: list[str], usage: bool, ends: bool, cuts: list[int], end: str) -> None:
    at_once: list[Call] = []
    waiting: list[Watch] = []
    answer = stream(words, usage, ends)
    attempted(Observer(at_once.extend), answer, cuts, end)
    deferring = Observer(at_once.extend, defer=waiting.append)
    attempted(deferring, answer, cuts, end)
    (watch,) = waiting
    (first,), (second,) = at_once, watch.calls()
    assert told(first) == told(second)
    assert (first.ttft_ms is None) == (second.ttft_ms is None)
    for call in (first, second):
        assert call.headers_ms is not None and call.duration_ms is not None
        assert 0 <= call.headers_ms <= min(call.duration_ms, call.ttft_ms or call.duration_ms)


def test_stamps_are_those_of_the_pieces_not_of_the_reading(watches: list[Watch], monkeypatch: Any) -> None:
    now = iter([*range(1_000_000_000, 1_050_000_000, 10_000_000), *[10**12] * 100])
    monkeypatch.setattr(watching.time, "perf_counter_ns", lambda: next(now))
    answer = stream(["a", "b"], usage=False, ends=False)
    attempted(Observer(lambda _calls: None, defer=watches.append), answer, [answer.index(b"\n\n") + 2])
    (call,) = watches[0].calls()
    assert (call.headers_ms, call.ttft_ms, call.itl_mean_ms, call.duration_ms) == (10.0, 20.0, 10.0, 40.0)


def test_a_long_answer_is_read_as_it_passes(watches: list[Watch]) -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend, defer=watches.append)
    answer = stream(["x" * 1000] * 400, usage=True, ends=True)
    assert len(answer) > watching.KEPT_BYTES_MAX
    attempted(observer, answer, list(range(0, len(answer), 4096)))
    assert watches == [] and calls[0].total_tokens == 12


def test_many_tiny_pieces_weigh_too(watches: list[Watch]) -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend, defer=watches.append)
    answer = stream(["x"] * 60, usage=True, ends=True)
    assert len(answer) < watching.KEPT_BYTES_MAX / 8
    attempted(observer, answer, list(range(len(answer))))
    assert watches == [] and calls[0].total_tokens == 12


@pytest.mark.parametrize(("words", "deferred"), ((60, True), (400, False)))
def test_pieces_that_a_transport_keeps_itself_have_the_same_bound(
    watches: list[Watch], words: int, deferred: bool
) -> None:
    calls: list[Call] = []
    observer, answer = Observer(calls.extend, defer=watches.append), stream(["x" * 1000] * words, usage=True, ends=True)
    watch = observer.begin("client", "POST", URL, {}, ASKED)
    assert watch is not None
    watch.answered(200, EVENTS)
    pieces = [answer[at : at + 4096] for at in range(0, len(answer), 4096)]
    assert list(WatchedStream(pieces, watch, Guard(strict=True))) == pieces
    assert watches == ([watch] if deferred else [])
    (call,) = watch.calls() if deferred else calls
    assert (call.total_tokens, call.chunks, call.outcome) == (12, words, "ok")


def test_who_wants_totals_knows_at_once(watches: list[Watch]) -> None:
    calls: list[Call] = []
    observer, totals = Observer(calls.extend, defer=watches.append), Totals()
    token = entered(over(scope_in_force(), {}, {}, totals=(totals,)))
    try:
        attempted(observer, stream(["a"], usage=True, ends=True), [])
    finally:
        left(token)
    assert watches == [] and totals.total_tokens == 12


def test_who_wants_prices_knows_at_once(watches: list[Watch]) -> None:
    priced: list[Call] = []
    observer = Observer(lambda _calls: None, defer=watches.append, price=priced.append)
    attempted(observer, stream(["a"], usage=True, ends=True), [])
    assert watches == [] and len(priced) == 1


def test_what_waits_has_a_bound_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Call] = []
    waiting: list[Later] = []
    guard = Guard(strict=True)
    observer = Observer(calls.extend, defer=lambda watch: waiting.append(Later(watch, guard)))
    answer = stream(["a"], usage=True, ends=True)
    monkeypatch.setattr(watching, "UNREAD_BYTES_MAX", 3 * (len(answer) + len(ASKED) + watching.PIECE_BYTES))
    for _ in range(5):
        attempted(observer, answer, [])
    assert (len(waiting), len(calls)) == (3, 2)
    waiting.pop()  # nobody had room for it
    assert [later.calls()[0].total_tokens for later in waiting] == [12, 12]
    waiting.clear()
    gc.collect()
    for _ in range(3):
        attempted(observer, answer, [])
    assert (len(waiting), len(calls)) == (3, 2)


def test_several_who_send_it_read_it_once() -> None:
    waiting: list[Later] = []
    guard = Guard(strict=True)
    observer = Observer(lambda _calls: None, defer=lambda watch: waiting.append(Later(watch, guard)))
    attempted(observer, stream(["a"], usage=True, ends=True), [])
    assert waiting[0].calls()[0] is waiting[0].calls()[0]


def test_reading_that_fails_is_counted_and_nothing() -> None:
    waiting: list[Later] = []
    guard = Guard()
    observer = Observer(lambda _calls: None, defer=lambda watch: waiting.append(Later(watch, guard)))
    attempted(observer, stream(["a"], usage=True, ends=True), [])
    observer.circumstances = None  # type: ignore[assignment]
    assert list(waiting[0].calls()) == [] and sum(guard.failures.values()) == 1


def test_a_client_that_left_is_known_later_too(watches: list[Watch]) -> None:
    attempted(Observer(lambda _calls: None, defer=watches.append), stream(["a"], usage=False, ends=False), [], "closed")
    (call,) = watches[0].calls()
    assert (call.outcome, watches[0]._end) == ("aborted", End.CLIENT_GONE)
