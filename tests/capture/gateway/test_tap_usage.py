"""Usage that the caller did not ask for: he sees the stream that he would have got, and no error of ours."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from equality import STARTED, at_random, compared, cut, read_back
from exchanges import cut as pieces_of
from tapped import Tap

from tachograph import wire
from tachograph.wire import Exchange, Request

USAGE = '"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
CHUNK = '{"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"%s"}}]%s}'
ASKED = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}'
REFUSED = b'{"error":{"message":"Unrecognized argument: stream_options","code":"unknown"}}'


def streamed(*events: str, end: str = "\n\n") -> bytes:
    return "".join(f"data: {event}{end}" for event in events).encode()


def texts(*more: str) -> list[str]:
    return [CHUNK % (text, more[0] if more else "") for text in ("Hel", 'lo \\"usage\\":null, ', "\\u00e9")]


# what the provider sends to who asked for usage -> what it sends to who did not
STREAMS: dict[str, tuple[bytes, bytes]] = {
    "OpenAI": (
        streamed(*texts(',"usage":null'), f'{{"id":"c1","choices":[],{USAGE}}}', "[DONE]"),
        streamed(*texts(), "[DONE]"),
    ),
    "with blanks": (
        streamed(*texts(', "usage" : null '), f'{{"id":"c1", "choices": [ ], {USAGE}}}', "[DONE]"),
        streamed(*(text.replace("]}", "]}") for text in texts()), "[DONE]"),
    ),
    "null first": (streamed('{"usage":null,"choices":[{}]}'), streamed('{"choices":[{}]}')),
    "null in the middle": (streamed('{"a":1,"usage":null,"b":2}'), streamed('{"a":1,"b":2}')),
    "CRLF": (
        streamed(*texts(',"usage":null'), f'{{"choices":[],{USAGE}}}', "[DONE]", end="\r\n\r\n"),
        streamed(*texts(), "[DONE]", end="\r\n\r\n"),
    ),
    "usage within a chunk that says something": (
        streamed(CHUNK % ("a", "," + USAGE), "[DONE]"),
        streamed(CHUNK % ("a", "," + USAGE), "[DONE]"),
    ),
    "no usage": (streamed(*texts(), "[DONE]"), streamed(*texts(), "[DONE]")),
    "named events": (
        b"event: a\nid: 1\n" + streamed(f'{{"choices":[],{USAGE}}}') + b"event: b\n" + streamed("{}"),
        b"event: b\n" + streamed("{}"),
    ),
    "the chunk is the last, its end forgotten": (
        streamed(*texts(',"usage":null')) + f'data: {{"choices":[],{USAGE}}}'.encode(),
        streamed(*texts()),
    ),
    "cut": (streamed(*texts()) + b'data: {"id":"c', streamed(*texts()) + b'data: {"id":"c'),
    "comments": (b": ping\n\n" + streamed("{}"), b": ping\n\n" + streamed("{}")),
    "nested": (streamed('{"x":{"usage":null},"choices":[{}]}'), streamed('{"x":{"usage":null},"choices":[{}]}')),
}


def asked(data: bytes, pieces: list[bytes] | None = None, **changed: Any) -> Exchange:
    request = Request("https://api.openai.com/v1/chat/completions", body=ASKED)
    told = {"status": 200, "headers": {"content-type": "text/event-stream"}, **changed}
    return cut(Exchange(request, started_at=STARTED, **told), [data] if pieces is None else pieces)


@pytest.fixture(scope="module")
def asking() -> Tap:
    return Tap(include_usage=True, again_cluster="again")


@pytest.mark.parametrize("name", STREAMS)
def test_the_caller_sees_what_he_would_have_seen(asking: Tap, name: str) -> None:
    counted, plain = STREAMS[name]
    if name == "with blanks":
        plain = counted.replace(b', "usage" : null ', b"").replace(counted.split(b"\n\n")[3] + b"\n\n", b"")
    dice = random.Random(1)
    cuts = [[counted], *(pieces_of(counted, size) for size in (1, 2, 3, 7, 50, 300))]
    cuts += [at_random(counted, dice.randrange(999), 60) for _ in range(40)]
    for pieces in cuts:
        exchange = asked(counted, pieces)
        passed, different = compared(asking, exchange)
        assert passed.got == plain
        assert different == []
        assert b"include_usage" in passed.sent


def test_who_asked_himself_sees_the_usage(asking: Tap) -> None:
    counted, _ = STREAMS["OpenAI"]
    exchange = asked(counted)
    exchange.request.body = ASKED.replace(b"true", b'true,"stream_options":{"include_usage":true}')
    assert asking.run(exchange).got == counted


def test_on_other_routes_nothing_is_hidden() -> None:
    counted, _ = STREAMS["OpenAI"]
    passed = Tap().run(asked(counted))
    assert (passed.sent, passed.got) == (ASKED, counted)


def test_a_refusal_is_asked_again_and_remembered() -> None:
    tap = Tap(include_usage=True, again_cluster="again")
    _, plain = STREAMS["OpenAI"]
    refused = asked(REFUSED, status=400, headers={"content-type": "application/json"})
    refused.request.headers = {"authorization": "Bearer k", "x-tachograph-team": "red", "traceparent": "x"}
    headers = {":status": "200", "content-type": "text/event-stream"}
    passed = tap.run(refused, again=(headers, plain))
    assert passed.got == plain
    assert passed.again is not None
    cluster, sent, body = passed.again
    assert (cluster, body) == ("again", ASKED)
    assert sent["authorization"] == "Bearer k"
    assert sent["x-tachograph-team"] == "red"
    assert sent["x-tachograph-again"] == "1"
    assert not read_back(passed, refused).is_call  # the second request has a line of its own
    assert tap.run(asked(plain)).sent == ASKED  # not asked there again
    other = asked(plain)
    other.request.body = ASKED.replace(b'"m"', b'"m2"')
    assert b"include_usage" in tap.run(other).sent


def test_the_second_request_is_not_asked_for_usage(asking: Tap) -> None:
    exchange = asked(STREAMS["OpenAI"][1])
    exchange.request.headers = {"x-tachograph-again": "1"}
    passed = asking.run(exchange)
    assert passed.sent == ASKED
    assert "x-tachograph-again" not in passed.request


@pytest.mark.parametrize("answer", [b'{"error":{"message":"too long"}}', b"", b"x" * 100_000])
def test_other_failures_are_the_callers(asking: Tap, answer: bytes) -> None:
    exchange = asked(answer, status=400, headers={"content-type": "application/json"})
    passed, different = compared(asking, exchange)
    assert passed.got == answer
    assert different == []
    assert passed.again is None


def test_a_refusal_that_cannot_be_asked_again_is_seen_once() -> None:
    tap = Tap(include_usage=True, again_cluster="")
    refused = asked(REFUSED, status=422, headers={"content-type": "application/json"})
    passed = tap.run(refused)
    assert passed.got == REFUSED
    assert [call.outcome for call in wire.read(read_back(passed, refused).exchange)] == ["error"]
    assert tap.run(asked(STREAMS["OpenAI"][1])).sent == ASKED


def test_requests_that_nobody_answers_are_forgotten() -> None:
    tap = Tap(include_usage=True, again_cluster="again")
    request = Request("https://h/v1/chat/completions", body=json.dumps({"model": "m", "stream": True}).encode())
    before = tap.memory_bytes()
    for number in range(2_000):
        request.headers = {"x-request-id": str(number)}
        tap.run(Exchange(request, None))
    assert tap.memory_bytes() < before + 2_000_000
