"""Calls that are told, not seen: `record` and `recording`."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tachograph.call import BY_NAME, Call, from_dict, to_dict
from tachograph.capture.sdk.baggage import asking
from tachograph.capture.sdk.context import Scope, context, entered, left
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.recording import Recording, made, make_call
from tachograph.capture.sdk.totals import Totals
from tachograph.capture.sdk.watching import Circumstances, Observer
from tachograph.version import VERSION

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRICT = Guard(strict=True)


def told(**fields: Any) -> Call:
    return make_call({"model": "llama", **fields}, NOW)


@pytest.fixture
def kept() -> list[Call]:
    return []


@pytest.fixture
def observer(kept: list[Call]) -> Observer:
    return Observer(kept.extend)


# what a Call of it is


def test_the_plain_case() -> None:
    call = told(provider="llama_cpp", input_tokens=10, output_tokens=20, duration_ms=1500)
    assert (call.model, call.request_model, call.response_model) == ("llama",) * 3
    assert (call.provider, call.operation, call.api, call.vantage) == ("llama_cpp", "chat", "record", "client")
    assert (call.input_uncached, call.output_visible, call.total_tokens) == (10, 20, 30)
    assert (call.usage_source, call.usage_basis, call.outcome) == ("reported", "inclusive", "ok")
    assert (call.started_at, call.received_at) == (NOW - timedelta(seconds=1.5), NOW)
    assert call.source == f"sdk {VERSION} record"
    assert call.flags == ()
    assert from_dict(to_dict(call)) == call


def test_cached_and_reasoning_tokens_are_inside_the_totals() -> None:
    call = told(input_tokens=100, cache_read=60, cache_write_5m=10, output_tokens=50, reasoning_tokens=20)
    assert (call.input_uncached, call.cache_read, call.cache_write_5m, call.input_tokens) == (30, 60, 10, 100)
    assert (call.output_visible, call.output_reasoning, call.output_tokens) == (30, 20, 50)
    assert call.total_tokens == 150


def test_disjoint_parts() -> None:
    call = told(input_uncached=30, cache_read=60, output_visible=5)
    assert (call.input_tokens, call.output_tokens, call.total_tokens, call.usage_basis) == (90, 5, 95, "disjoint")
    with pytest.raises(TypeError, match="or the parts of both"):
        told(input_uncached=30, input_tokens=90)


def test_unknown_stays_unknown() -> None:
    call = told()
    assert (call.input_tokens, call.output_tokens, call.total_tokens, call.usage_source) == (
        None,
        None,
        None,
        "missing",
    )
    assert (call.duration_ms, call.ttft_ms, call.cost_usd) == (None, None, None)
    half = told(output_tokens=5)
    assert (half.total_tokens, half.flags) == (None, ("usage_partial",))
    assert told(input_tokens=5).flags == ("usage_partial",)
    assert told(input_tokens=5, operation="embeddings").total_tokens == 5


def test_times() -> None:
    start = datetime(2026, 2, 1, tzinfo=UTC)
    call = told(started_at=start, duration_ms=1100, ttft_ms=100, output_tokens=11, input_tokens=1)
    assert (call.started_at, call.received_at) == (start, start + timedelta(seconds=1.1))
    assert (call.streamed, call.tpot_ms) == (True, 100.0)
    with pytest.raises(ValueError, match=r"started_at: .* is not a time with its zone"):
        told(started_at=datetime(2026, 2, 1))


def test_words_of_context_and_any_field() -> None:
    call = told(user=7, conversation="c", team="t", tags={"n": 1}, finish_reason="length", temperature=0.5, status=200)
    assert (call.user_id, call.conversation_id, call.team, call.tags) == ("7", "c", "t", {"n": "1"})
    assert (call.finish_reason, call.temperature, call.status) == ("length", 0.5, 200)
    for name in ("request_model", "response_model", "model"):
        assert getattr(told(**{name: "other"}), name) == "other"


def test_a_cost_that_was_told_is_the_cost() -> None:
    call = told(cost_usd="0.25")
    assert (call.cost_usd, call.cost_source, call.price_status) == (Decimal("0.25"), "contract", "priced")
    assert told(cost_usd=1, cost_source="amortised").cost_source == "amortised"


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "code"),
    [
        (TimeoutError("slow"), "error", "timeout", "TimeoutError"),
        (ValueError("the secret prompt"), "error", "other", "ValueError"),
        (ConnectionResetError(), "error", "network", "ConnectionResetError"),
        (KeyboardInterrupt(), "aborted", "cancelled", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "aborted", "cancelled", "CancelledError"),
        ("provider_overloaded", "error", "provider_overloaded", None),
        ("CUDA_OOM", "error", "other", "CUDA_OOM"),
    ],
)
def test_errors(error: Any, outcome: str, kind: str, code: str | None) -> None:
    call = told(error=error)
    assert (call.outcome, call.error_type, call.error_code) == (outcome, kind, code)
    assert "secret" not in str(to_dict(call))


def test_an_outcome_that_was_told_is_the_outcome() -> None:
    assert told(outcome="truncated", error=ValueError()).outcome == "truncated"
    assert told(outcome="aborted").outcome == "aborted"


@pytest.mark.parametrize(
    ("fields", "failure", "message"),
    [
        ({"imput_tokens": 1}, TypeError, "no field 'imput_tokens': did you mean 'input_tokens'"),
        ({"usr": 1}, TypeError, "did you mean 'user'"),
        ({"call_id": "0" * 32}, TypeError, "no field 'call_id'"),
        ({"zzzzzz": 1}, TypeError, r"see docs/call\.md"),
        ({"operation": "chats"}, ValueError, "'chats' is not known: did you mean 'chat'"),
        ({"outcome": "zzz"}, ValueError, "one of ok, error, aborted, truncated"),
        ({"input_tokens": -1}, ValueError, "input_tokens: '-1' is not an integer >= 0"),
        ({"duration_ms": "x"}, ValueError, "duration_ms: 'x' is not a number of milliseconds"),
        ({"tags": {"a": 1}, "model": None}, TypeError, "needs model"),
    ],
)
def test_what_cannot_be_told_is_an_error(fields: dict[str, Any], failure: type[Exception], message: str) -> None:
    with pytest.raises(failure, match=message):
        told(**fields)


def test_every_field_of_call_is_either_told_or_ours() -> None:
    from tachograph.capture.sdk import recording

    assert set(BY_NAME) >= recording._NOT_TOLD
    assert set(BY_NAME) - recording._NOT_TOLD == {f.name for f in dataclasses.fields(Call)} & set(recording._FIELDS)


# where it goes


def test_it_is_attributed_identified_priced_counted_and_delivered(kept: list[Call]) -> None:
    def price(call: Call) -> None:
        call.cost_usd = Decimal(1)

    defaults = Circumstances({"team": "default", "service": "s"}, b"key", hash_user=True)
    observer, totals = Observer(kept.extend, circumstances=defaults, price=price), Totals()
    token = entered(Scope(trace_id="1" * 32, span_id="2" * 16, totals=(totals,)))
    with context(team="t", user="u", feature="f", tags={"a": 1, "b": 1}):
        call = made(observer, STRICT, model="m", input_tokens=1, output_tokens=2, feature="own", tags={"b": 2})
        free = made(observer, STRICT, model="m", cost_usd=0, user="own user")
    left(token)
    assert kept == [call, free]
    assert (call.service, call.team, call.feature, call.tags) == ("s", "t", "own", {"a": "1", "b": "2"})
    assert call.user_id == observer.hashed("u")
    assert free.user_id == observer.hashed("own user")
    assert (call.trace_id, call.parent_span_id) == ("1" * 32, "2" * 16)
    assert len({call.call_id, free.call_id, "0" * 32}) == 3
    assert (call.cost_usd, free.cost_usd) == (Decimal(1), Decimal(0))
    assert (totals.calls, totals.total_tokens, totals.cost_usd) == (2, 3, Decimal(1))


def test_a_fault_of_ours_does_not_reach_the_host() -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("ours")

    guard = Guard()
    assert made(Observer(broken), guard, model="m").model == "m"
    with Recording(Observer(broken), guard, model="m"):
        pass
    assert sum(guard.failures.values()) == 2
    with pytest.raises(TypeError):
        made(Observer(broken), guard, modle="m")


# recording


def test_recording_measures(observer: Observer, kept: list[Call]) -> None:
    with context(team="t"), Recording(observer, STRICT, model="m", provider="llama_cpp") as call:
        time.sleep(0.02)
        call.piece()
        time.sleep(0.01)
        call.piece()
        call.piece()
        call.usage(input_tokens=3, output_tokens=3)
        call.note(finish_reason="stop")
    [seen] = kept
    assert call.recorded is seen
    assert seen.ttft_ms is not None and 20 <= seen.ttft_ms < 1000
    assert seen.duration_ms is not None and seen.duration_ms >= seen.ttft_ms + 10
    assert seen.itl_max_ms is not None and seen.itl_max_ms >= 10
    assert (seen.streamed, seen.chunks, sum(seen.itl_buckets or [])) == (True, 3, 2)
    assert (seen.total_tokens, seen.finish_reason, seen.outcome, seen.team) == (6, "stop", "ok", "t")
    assert seen.tpot_ms == pytest.approx((seen.duration_ms - seen.ttft_ms) / 2, abs=0.01)
    assert abs((datetime.now(UTC) - seen.started_at).total_seconds()) < 10


def test_a_stream_that_nobody_counted_is_estimated(observer: Observer, kept: list[Call]) -> None:
    with Recording(observer, STRICT, model="m") as call:
        call.piece()
        call.piece()
    assert (kept[0].output_tokens, kept[0].input_tokens, kept[0].usage_source) == (2, None, "estimated")
    assert kept[0].flags == ("usage_estimated",)


def test_what_is_raised_goes_on_and_is_recorded(observer: Observer, kept: list[Call]) -> None:
    with pytest.raises(ValueError, match="secret prompt"), Recording(observer, STRICT, model="m") as call:
        call.usage(input_tokens=3)
        raise ValueError("secret prompt")
    assert (kept[0].outcome, kept[0].error_code, kept[0].input_tokens) == ("error", "ValueError", 3)
    assert "secret" not in str(to_dict(kept[0]))


def test_a_generator_that_is_abandoned_is_aborted(observer: Observer, kept: list[Call]) -> None:
    def answer() -> Iterator[str]:
        with Recording(observer, STRICT, model="m") as call:
            for piece in "abc":
                call.piece()
                yield piece

    for _ in answer():
        break
    assert (kept[0].outcome, kept[0].error_type, kept[0].chunks) == ("aborted", "cancelled", 1)


def test_a_task_that_is_cancelled_is_aborted(observer: Observer, kept: list[Call]) -> None:
    async def work() -> None:
        async with Recording(observer, STRICT, model="m"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (kept[0].outcome, kept[0].error_type) == ("aborted", "cancelled")


def test_what_cannot_be_told_is_said_at_its_place(observer: Observer, kept: list[Call]) -> None:
    with pytest.raises(TypeError, match="did you mean 'model'"):
        Recording(observer, modle="m")
    with pytest.raises(TypeError, match="needs model"):
        Recording(observer)
    with Recording(observer, STRICT, model="m") as call:
        with pytest.raises(TypeError, match="did you mean 'input_tokens'"):
            call.usage(inputtokens=3)
        with pytest.raises(TypeError, match="parts of both"):
            call.usage(input_tokens=3, input_uncached=3)
        call.usage(input_tokens=1, output_tokens=1)
    assert kept[0].total_tokens == 2


def test_without_an_observer_it_still_measures() -> None:
    with Recording(None, STRICT, model="m") as call:
        pass
    assert call.recorded is not None and call.recorded.duration_ms is not None


def test_it_belongs_to_the_span_that_is_open(observer: Observer, kept: list[Call]) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    with sdk.TracerProvider().get_tracer("test").start_as_current_span("above") as span:
        with Recording(observer, STRICT, model="m"):
            pass
        made(observer, STRICT, model="m")
    above = span.get_span_context()
    assert {call.trace_id for call in kept} == {f"{above.trace_id:032x}"}
    assert {call.parent_span_id for call in kept} == {f"{above.span_id:016x}"}
    assert asking().values == {}
