"""A Call that is sent as a span is the same Call when the collector has read it, field by field."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.dialects.reading import NOW, Desk
from tests.strategies import calls, hex_ids
from tests.wire.exchanges import paths, recorded

from tachograph import call as nouns
from tachograph.call import COLUMNS, INPUT_PARTS, OUTPUT_PARTS, Call, Kind, derive_id, whole
from tachograph.dialects import DIALECTS
from tachograph.dialects.numbering import numbering
from tachograph.dialects.otel import TACHOGRAPH
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.normalise import Circumstances, complete, from_exchange, price
from tachograph.outlets.attributes import ATTRIBUTES, CACHE_CREATION, CALL_ID, SCHEMA, attributes
from tachograph.outlets.encoding import Encoder
from tachograph.pricing import PriceBook, price_book

ASIDE: dict[str, Any] = {"received_at": NOW}
WHO = {"service": "shop", "environment": "prod", "region": "eu", "team": "search", "project": "p", "feature": "f"}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return price_book()


@pytest.fixture(scope="module")
def desk(book: PriceBook) -> Desk:
    return Desk(SpanReader(SpanLimits()), book)


def assert_same(desk: Desk, sent: Sequence[Call]) -> None:
    found = {call.call_id: call for call in desk.calls("traces", [Encoder().request(sent)])}
    assert len(found) == len(sent)
    for call in sent:
        told, kept = nouns.to_dict(call), nouns.to_dict(found[call.call_id])
        wrong = {name: (told[name], kept[name]) for name in told if told[name] != kept[name] and name not in ASIDE}
        assert wrong == {}, call.api


def test_every_recorded_exchange_arrives_as_it_was_read(desk: Desk, book: PriceBook) -> None:
    chance = random.Random(7)
    sent: list[Call] = []
    for path in paths():
        found = from_exchange(recorded(path), book, Circumstances(NOW, "sdk 0.1 httpx", attribution=WHO))
        for call in found:
            call.trace_id, call.span_id = chance.randbytes(16).hex(), chance.randbytes(8).hex()
            call.call_id = derive_id(call.started_at, bytes.fromhex(call.trace_id + call.span_id))
            call.duration_ms = call.duration_ms if call.duration_ms is not None else chance.randrange(10**9) / 1000
            call.user_id = call.user_id and call.user_id[:256]
        sent += found
    assert len(sent) > 50
    assert {call.outcome for call in sent} >= {"ok", "error", "truncated"}
    assert {call.cost_source for call in sent} >= {"provider", "list", None}
    assert any(call.price_context for call in sent)
    assert_same(desk, sent)


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: text.lower() != "none")
maps = st.dictionaries(words, words, max_size=3)
small_counts = st.none() | st.integers(0, 5000) | st.integers(0, 10**10)
milliseconds = st.none() | st.integers(0, 10**11).map(lambda steps: steps / 1000)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
CLOSED = {
    "vantage": nouns.VANTAGES,
    "operation": nouns.OPERATIONS,
    "finish_reason": (None, *nouns.FINISH_REASONS),
    "usage_source": nouns.USAGE_SOURCES,
    "usage_basis": (None, *nouns.USAGE_BASES),
}


def strategy(name: str) -> st.SearchStrategy[Any]:
    column = nouns.BY_NAME[name]
    if name in CLOSED:
        return st.sampled_from(CLOSED[name])
    if column.kind in (Kind.WORD, Kind.TEXT):
        return words if name in ("provider", "api") else (st.just("") if column.required else st.none()) | words
    by_kind = {
        Kind.COUNT: small_counts,
        Kind.MS: milliseconds,
        Kind.MAP: maps,
        Kind.COUNTS: st.none() | st.lists(st.integers(0, 9999), min_size=1, max_size=nouns.ITL_BUCKETS),
        Kind.WORDS: st.sets(st.sampled_from(["clock_skew", "buffered_stream"])).map(lambda found: tuple(sorted(found))),
        Kind.JSON: st.none() | st.just('{"a":1,"b":{"c":0.25}}'),
        Kind.SMALL: st.none() | st.integers(100, 599),
        Kind.NUMBER: st.none() | st.floats(-2, 2),
    }
    return by_kind[column.kind] if column.kind in by_kind else st.nothing()


DRAWN = [
    column.name
    for column in COLUMNS
    if column.name not in ("call_id", "same_as", "streamed", "attempt", "cost_usd", "started_at", "received_at")
    and column.kind not in (Kind.ID16, Kind.ID8)
    and column.name not in ("outcome", "error_type", "error_code", "cost_source", "price_id", "price_status", "model")
]


@st.composite
def read_calls(draw: st.DrawFn) -> Call:
    """What a reader can give: parts that add up, an outcome that fits its failure."""
    fields: dict[str, Any] = {name: draw(strategy(name)) for name in DRAWN}
    fields |= {"attempt": draw(st.integers(0, 9)), "streamed": draw(st.booleans()), "started_at": draw(moments)}
    fields |= {"trace_id": draw(hex_ids(16).filter(_some)), "span_id": draw(hex_ids(8).filter(_some))}
    fields["parent_span_id"] = draw(st.none() | hex_ids(8).filter(_some))
    fields["outcome"] = draw(st.sampled_from(nouns.OUTCOMES))
    if fields["outcome"] in ("error", "aborted"):
        fields["error_type"] = draw(st.sampled_from(nouns.ERROR_TYPES))
        fields["error_code"] = draw(st.none() | words)
    fields["input_tokens"] = whole(fields[part] for part in INPUT_PARTS)
    fields["output_tokens"] = whole(fields[part] for part in OUTPUT_PARTS)
    total = whole((fields["input_tokens"], fields["output_tokens"]))
    fields["total_tokens"] = draw(st.sampled_from((None, total)))
    fields["request_model"] = draw(st.sampled_from(("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "nobody's")))
    fields["provider"] = draw(st.sampled_from(("openai", "anthropic", "gcp.gemini", fields["provider"])))
    fields["model"] = fields["response_model"] or fields["request_model"]
    context = draw(st.sampled_from(({}, {"speed": "fast"}, {"inference_geo": "us"}, {"web_searches": "3"})))
    fields["price_context"] = {**fields["price_context"], **context}
    if draw(st.booleans()):
        fields["cost_usd"] = Decimal(draw(st.integers(0, 10**13))).scaleb(-10)
        fields["cost_source"] = "provider"
    return Call(**fields)


def _some(digits: str) -> bool:
    return int(digits, 16) != 0


# No shrinking: every try asks the engine, and what differs is named by the assertion.
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(read_calls(), min_size=1, max_size=30, unique_by=lambda call: (call.trace_id, call.span_id)))
def test_whatever_a_reader_gives_arrives(desk: Desk, book: PriceBook, sent: list[Call]) -> None:
    complete(sent, book, Circumstances(NOW, "sdk"), seed=b"")
    assert_same(desk, sent)


def test_prices_that_the_process_was_told_arrive_and_list_prices_are_the_collectors(desk: Desk) -> None:
    told = Call(trace_id="1" * 32, span_id="1" * 16, started_at=NOW, provider="openai", request_model="gpt-4o")
    told = dataclasses.replace(told, input_uncached=10, output_visible=10, input_tokens=10, output_tokens=10)
    told.cost_usd, told.cost_source, told.price_id, told.price_status = Decimal(1), "contract", "ours", "priced"
    listed = dataclasses.replace(told, span_id="2" * 16, cost_source="list")
    first, second = desk.calls("traces", [Encoder().request([told, listed])])
    assert (first.cost_usd, first.cost_source, first.price_id) == (Decimal(1), "contract", "ours")
    assert second.price_id != "ours"
    priced = dataclasses.replace(second)
    price(priced, desk.book)
    assert (second.cost_usd, second.cost_source) == (priced.cost_usd, "list")


def test_a_call_without_ids_of_a_trace_keeps_its_own(desk: Desk) -> None:
    sent = [Call(call_id=derive_id(NOW, bytes([place])), started_at=NOW, request_model="gpt-4o") for place in range(3)]
    found = desk.calls("traces", [Encoder().request(sent), Encoder().request(sent)])
    assert [call.call_id for call in found] == [call.call_id for call in sent] * 2


def test_what_ended_nobody_knows_when_has_no_duration(desk: Desk) -> None:
    (found,) = desk.calls("traces", [Encoder().request([Call(call_id="1" * 32, started_at=NOW)])])
    assert (found.duration_ms, found.flags) == (None, ())


def test_the_table_of_our_dialect_reads_every_attribute() -> None:
    known = {name for names in TACHOGRAPH.fields.values() for name in names}
    # Read off the resource too, where other vocabularies state them.
    written = {attribute.name for attribute in ATTRIBUTES} | {SCHEMA, CALL_ID, CACHE_CREATION}
    assert written - known == set()
    assert written <= set(numbering(DIALECTS).keys) | {"gen_ai.operation.name"}


any_calls = calls(
    started_at=moments,
    duration_ms=st.none() | st.integers(0, 10**12).map(lambda steps: steps / 1000),
    operation=st.sampled_from(nouns.OPERATIONS),
    **dict.fromkeys(INPUT_PARTS, small_counts),
)


@settings(max_examples=50, deadline=None)
@given(any_calls)
def test_the_bytes_are_what_the_reference_encoder_writes(call: Call) -> None:
    body = Encoder().request([call])
    request = ExportTraceServiceRequest.FromString(body)
    assert request.SerializeToString() == body
    (span,) = request.resource_spans[0].scope_spans[0].spans
    said = {item.key: item.value for item in span.attributes}
    expected = attributes(call)
    assert {*said} - {CALL_ID} == {*expected}
    for name, value in expected.items():
        kind = said[name].WhichOneof("value")
        found = getattr(said[name], kind)
        assert value == ([item.string_value for item in found.values] if kind == "array_value" else found)
