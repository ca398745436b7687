"""From an exchange to a complete Call: ids, dates, attribution, price."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tachograph.call import EPOCH, Call
from tachograph.normalise import Circumstances, complete, from_exchange
from tachograph.pricing import PriceBook, price_book
from tachograph.wire import Exchange, Request

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BODY = {
    "id": "chatcmpl-1",
    "model": "gpt-5-mini-2025-08-07",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return price_book()


def exchange(**headers: str) -> Exchange:
    request = Request("https://api.openai.com/v1/chat/completions", body=b'{"model": "gpt-5-mini"}')
    return Exchange(request, 200, headers, [(None, json.dumps(BODY).encode())])


def circumstances(at: datetime, **attribution: str) -> Circumstances:
    return Circumstances(at, "test 1", attribution=attribution)


def test_a_dated_exchange_is_complete(book: PriceBook) -> None:
    dated = exchange(date="Mon, 19 Oct 2026 08:12:31 GMT")
    (call,) = from_exchange(dated, book, circumstances(NOW, team="search"))
    assert call.started_at == datetime(2026, 10, 19, 8, 12, 31, tzinfo=UTC)
    assert call.received_at == NOW
    assert (call.team, call.source, call.model) == ("search", "test 1", "gpt-5-mini")
    assert call.cost_usd == Decimal("0.00045")  # 1000 x 0.25 + 100 x 2 dollars per million
    assert call.call_id[:12] == f"{round(call.started_at.timestamp() * 1000):012x}"


def test_an_undated_exchange_keeps_its_id_whenever_it_is_read(book: PriceBook) -> None:
    (today,) = from_exchange(exchange(), book, circumstances(NOW))
    (later,) = from_exchange(exchange(), book, circumstances(NOW + timedelta(days=400)))
    assert today.started_at == NOW
    assert "started_at_missing" in today.flags
    assert today.call_id == later.call_id


def test_a_span_is_the_same_call_wherever_it_is_seen(book: PriceBook) -> None:
    calls = [
        Call(started_at=NOW, trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331") for _ in "ab"
    ]
    for seed, call in zip((b"one", b"two"), calls, strict=True):
        complete([call], book, circumstances(NOW), seed=seed)
    assert calls[0].call_id == calls[1].call_id


def test_what_a_call_brings_along_stays(book: PriceBook) -> None:
    call = Call(call_id="01" * 16, started_at=NOW, team="own", cost_usd=Decimal(5), price_id="x/y@start")
    call.price_status, call.cost_source = "priced", "contract"
    complete([call], book, circumstances(NOW, team="default", project="p"), seed=b"")
    assert (call.call_id, call.team, call.project, call.cost_usd) == ("01" * 16, "own", "p", Decimal(5))
    assert call.started_at != EPOCH


@pytest.mark.parametrize(
    ("named", "model"),
    [
        ({"request_model": "acme/a", "response_model": "acme/a-2"}, "acme/a-2"),
        ({"request_model": "acme/a"}, "acme/a"),
        ({"request_model": "acme/a", "model": "a"}, "a"),
        ({"request_model": "acme/a", "status": 500, "outcome": "error"}, "acme/a"),
        ({}, None),
    ],
)
def test_a_model_that_no_list_knows_has_one_name_wherever_it_was_seen(
    book: PriceBook, named: dict[str, Any], model: str | None
) -> None:
    (call,) = complete([Call(started_at=NOW, provider="vllm", **named)], book, circumstances(NOW), seed=b"")
    assert call.model == model
