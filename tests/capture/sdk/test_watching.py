"""One attempt, told step by step, as any transport tells it."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpcore2
import httpx2
import pytest
import requests
import urllib3

from tachograph.call import Call
from tachograph.capture.sdk.context import context
from tachograph.capture.sdk.ending import end_of
from tachograph.capture.sdk.watching import Circumstances, Observer, Watch
from tachograph.wire import End

URL = "https://api.openai.com/v1/chat/completions"
ASKED = json.dumps({"model": "gpt-5", "user": "jo", "messages": []}).encode()
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
WHOLE = json.dumps({"id": "c1", "model": "gpt-5-2025", "choices": [{"finish_reason": "stop"}], "usage": USAGE}).encode()
PLAIN = {"content-type": "application/json"}


def watching(observer: Observer, **asked: Any) -> Watch:
    request = {"method": "POST", "url": URL, "headers": {}, "body": ASKED} | asked
    watch = observer.begin("client", **request)
    assert watch is not None
    return watch


def answered(observer: Observer, answer: bytes = WHOLE, status: int = 200, **asked: Any) -> None:
    watch = watching(observer, **asked)
    watch.answered(status, PLAIN)
    watch.piece(answer)
    watch.complete()


def test_a_whole_attempt() -> None:
    calls: list[Call] = []
    before = datetime.now(UTC)
    answered(Observer(calls.extend))
    (call,) = calls
    assert before <= call.started_at <= call.received_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert call.call_id[:12] == f"{int(call.started_at.timestamp() * 1000):012x}"
    assert (call.vantage, call.provider, call.outcome, call.total_tokens, call.attempt) == (
        "client",
        "openai",
        "ok",
        13,
        0,
    )
    assert call.source.startswith("sdk ") and call.source.endswith(" client")
    assert call.trace_id and call.span_id and call.parent_span_id is None and call.api_key_id is None


def test_what_is_told_after_the_end_is_not_heard() -> None:
    calls: list[Call] = []
    watch = watching(Observer(calls.extend))
    watch.answered(200, PLAIN)
    watch.piece(WHOLE)
    watch.complete()
    assert watch.done
    watch.closed()
    watch.piece(b"more")
    watch.failed(OSError())
    assert [call.outcome for call in calls] == ["ok"]


def test_an_answer_that_never_came() -> None:
    calls: list[Call] = []
    watching(Observer(calls.extend)).failed(ConnectionRefusedError())
    assert (calls[0].outcome, calls[0].error_type, calls[0].status) == ("error", "network", None)


def test_who_asks() -> None:
    calls: list[Call] = []
    circumstances = Circumstances({"service": "shop", "team": "none"}, b"secret", hash_user=True)
    observer = Observer(calls.extend, None, circumstances)
    with context(team="search", tags={"tier": "gold"}):
        answered(observer, headers={"authorization": "Bearer sk-1"})
    answered(observer, headers={"authorization": "Bearer sk-1"})
    answered(observer, headers={"api-key": "sk-2"})
    assert [(call.service, call.team, call.tags) for call in calls[:2]] == [
        ("shop", "search", {"tier": "gold"}),
        ("shop", "none", {}),
    ]
    assert calls[0].api_key_id == calls[1].api_key_id != calls[2].api_key_id
    assert calls[0].user_id not in (None, "jo") and calls[0].user_id == calls[1].user_id
    assert "sk-" not in str(calls) and len(str(calls[0].api_key_id)) == 16


@pytest.mark.parametrize(
    ("url", "headers", "same_as"),
    (
        (URL, {"x-api-key": "k"}, "k"),
        (URL, {"x-goog-api-key": "k"}, "k"),
        (URL + "?key=k&alt=sse", {}, "k"),
        (URL, {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/2026/us/bedrock/aws4_request, Signature=12"}, "AKIA"),
        (URL, {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/2027/us/bedrock/aws4_request, Signature=34"}, "AKIA"),
        (URL, {"authorization": "Bearer ya29.a0AfH6"}, None),
        (URL, {"authorization": "Bearer eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl"}, None),
        (URL, {"authorization": ""}, None),
        (URL, {}, None),
    ),
)
def test_a_credential_is_known_again_as_long_as_it_lasts(
    url: str, headers: Mapping[str, str], same_as: str | None
) -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend, None, Circumstances(secret=b"secret"))
    answered(observer, url=url, headers=headers)
    assert calls[0].api_key_id == (None if same_as is None else observer.hashed(same_as))


def test_what_caused_it() -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    trace, span = "ab" * 16, "cd" * 8
    answered(observer, headers={"traceparent": f"00-{trace}-{span}-01"})
    assert (calls[0].trace_id, calls[0].parent_span_id) == (trace, span)


def test_without_a_trace_here_it_is_the_span_that_the_answer_names() -> None:
    calls: list[Call] = []
    trace, span = "ab" * 16, "cd" * 8
    for told in (f"00-{trace}-{span}-01", f"00-{trace}-{span}-01", "nonsense", f"00-{'0' * 32}-{span}-01"):
        watch = watching(Observer(calls.extend))
        watch.answered(500, {"traceparent": told})
        watch.complete()
    named, again, *others = calls
    for call in (named, again):
        assert (call.trace_id, call.span_id, call.parent_span_id) == (trace, span, None)
    assert named.call_id != again.call_id
    assert all(call.trace_id != trace and call.span_id != span for call in others)


def test_a_trace_of_its_own_is_not_left_for_one_that_the_answer_names() -> None:
    calls: list[Call] = []
    trace, span = "ab" * 16, "cd" * 8
    watch = watching(Observer(calls.extend), headers={"traceparent": f"00-{trace}-{span}-01"})
    watch.answered(200, {"traceparent": f"00-{'12' * 16}-{'34' * 8}-01"})
    watch.complete()
    (call,) = calls
    assert (call.trace_id, call.parent_span_id) == (trace, span)
    assert call.span_id not in (span, "34" * 8)


def test_what_caused_it_says_opentelemetry() -> None:
    from opentelemetry import trace as opentelemetry
    from opentelemetry.sdk.trace import TracerProvider

    calls: list[Call] = []
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("above") as span:
        answered(Observer(calls.extend))
    told = span.get_span_context()
    assert (calls[0].trace_id, calls[0].parent_span_id) == (
        opentelemetry.format_trace_id(told.trace_id),
        opentelemetry.format_span_id(told.span_id),
    )


def test_half_an_opentelemetry_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Call] = []
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", types.ModuleType("opentelemetry.trace"))
    answered(Observer(calls.extend))
    assert len(calls) == 1


def test_attempts_of_one_request() -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    answered(observer, b'{"error":{"message":"slow down"}}', 429)
    watching(observer).failed(TimeoutError())
    broken = watching(observer)
    broken.answered(200, PLAIN)
    broken.failed(ConnectionResetError())
    answered(observer)
    answered(observer)
    assert [call.attempt for call in calls] == [0, 1, 2, 3, 0]
    assert len({call.operation_id for call in calls[:4]}) == 1 != len({call.operation_id for call in calls[3:]})


def test_who_left_does_not_try_again() -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    watching(observer).failed(asyncio.CancelledError())
    answered(observer)
    assert [call.attempt for call in calls] == [0, 0]


# what is no attempt


@pytest.mark.parametrize("status", (301, 302, 303, 307, 308))
def test_the_way_to_another_url_is_no_attempt(status: int) -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    watch = watching(observer)
    watch.answered(status, {"location": "https://elsewhere.example"})
    watch.complete()
    answered(observer)
    assert [(call.status, call.attempt) for call in calls] == [(200, 0)]


def response(status: str, **more: Any) -> bytes:
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13} if status == "completed" else None
    return json.dumps(
        {"id": "resp_1", "object": "response", "status": status, "model": "gpt-5", "output": [], "usage": usage} | more
    ).encode()


def test_a_background_answer_counts_once_however_often_it_is_fetched() -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    created, poll = "https://api.openai.com/v1/responses", "https://api.openai.com/v1/responses/resp_1"
    answered(observer, response("queued"), url=created, body=b'{"model": "gpt-5", "background": true, "input": "x"}')
    for status in ("queued", "in_progress", "completed", "completed"):
        answered(observer, response(status), method="GET", url=poll, body=b"")
    answered(observer, b'{"error":{"message":"gone"}}', 404, method="GET", url=poll, body=b"")
    assert [(call.total_tokens, "pending" in call.flags) for call in calls] == [(None, True), (13, False)]


def test_an_answer_that_was_told_is_not_told_again_when_it_is_fetched() -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    answered(observer, response("completed"), url="https://api.openai.com/v1/responses", body=b'{"input": "x"}')
    answered(observer, response("completed"), method="GET", url="https://api.openai.com/v1/responses/resp_1", body=b"")
    answered(observer, response("completed"), url="https://api.openai.com/v1/responses/resp_1/cancel", body=b"")
    assert [call.total_tokens for call in calls] == [13]


def line(name: str) -> dict[str, Any]:
    body = {"id": name, "object": "chat.completion", "model": "gpt-5", "choices": [], "usage": USAGE}
    return {"custom_id": name, "response": {"status_code": 200, "request_id": name, "body": body}, "error": None}


def test_results_of_a_batch_are_calls_of_their_own_and_count_once() -> None:
    calls: list[Call] = []
    observer = Observer(calls.extend)
    url = "https://api.openai.com/v1/files/file-1/content"
    for _ in range(2):
        answered(
            observer, b"\n".join(json.dumps(line(name)).encode() for name in "abc"), method="GET", url=url, body=b""
        )
    answered(observer, b'{"custom_id": "x", "method": "POST", "body": {}}\n', method="GET", url=url, body=b"")
    answered(observer, b"some,other,file\n", method="GET", url=url, body=b"")
    assert [(call.response_id, call.total_tokens) for call in calls] == [("a", 13), ("b", 13), ("c", 13)]
    assert len({call.call_id for call in calls}) == 3 and {call.operation_id for call in calls} == {None}


# how it ended

H, C = httpx2, httpcore2


class Cancelled(BaseException):
    """As trio's."""


@pytest.mark.parametrize(
    ("failure", "end"),
    (
        (H.ReadTimeout("x"), End.TIMEOUT),
        (H.ConnectTimeout("x"), End.TIMEOUT),
        (H.PoolTimeout("x"), End.TIMEOUT),
        (H.ConnectError("x"), End.NETWORK),
        (H.ReadError("x"), End.NETWORK),
        (H.ProxyError("x"), End.NETWORK),
        (H.RemoteProtocolError("Server disconnected without sending a response."), End.NETWORK),
        (H.RemoteProtocolError("peer closed connection without sending complete message body"), End.NETWORK),
        (H.RemoteProtocolError("<ConnectionTerminated error_code:0>"), End.NETWORK),
        (H.RemoteProtocolError("<StreamReset stream_id:1>"), End.NETWORK),
        (H.RemoteProtocolError("illegal status line"), End.PROTOCOL),
        (H.LocalProtocolError("illegal header value"), End.PROTOCOL),
        (C.ReadTimeout(), End.TIMEOUT),
        (TimeoutError(), End.TIMEOUT),
        (TimeoutError(), End.TIMEOUT),
        (requests.exceptions.ReadTimeout(), End.TIMEOUT),
        (requests.exceptions.ConnectTimeout(), End.TIMEOUT),
        (requests.exceptions.ConnectionError("refused"), End.NETWORK),
        (requests.exceptions.ChunkedEncodingError("broken"), End.NETWORK),
        (urllib3.exceptions.ReadTimeoutError(None, "", "x"), End.TIMEOUT),  # type: ignore[arg-type]
        (urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(3)"), End.NETWORK),
        (urllib3.exceptions.ProtocolError("Connection broken: InvalidChunkLength(got length b'', 0)"), End.NETWORK),
        (urllib3.exceptions.ProtocolError("Connection broken: InvalidChunkLength(got length b'xyz', 0)"), End.PROTOCOL),
        (http.client.RemoteDisconnected("Remote end closed connection without response"), End.NETWORK),
        (http.client.BadStatusLine("nonsense"), End.PROTOCOL),
        (http.client.IncompleteRead(b""), End.NETWORK),
        (ConnectionResetError(), End.NETWORK),
        (OSError(), End.NETWORK),
        (asyncio.CancelledError(), End.CLIENT_GONE),
        (Cancelled(), End.CLIENT_GONE),
        (GeneratorExit(), End.CLIENT_GONE),
        (KeyboardInterrupt(), End.CLIENT_GONE),
        (SystemExit(), End.CLIENT_GONE),
    ),
    ids=lambda value: repr(value)[:60],
)
def test_how_it_ended(failure: BaseException, end: End) -> None:
    assert end_of(failure) is end
