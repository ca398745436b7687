"""The tap within Envoy: usage of streams behind the caller's back, refusals, attribution, clients that leave."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from proxying import Behind
from recorded import Recording

import tachograph
from tachograph import wire
from tachograph.call import Call
from tachograph.capture.words import WORD_CHARS_MAX
from tachograph.testing.provider import Provider

PLAIN = [b'{"id":"c%d","choices":[{"index":0,"delta":{"content":"a"}}]}' % at for at in range(3)]
USAGE = b'{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'


class Server:
    """Counts streams where it is asked to, refuses to where the model is `old`, writes in pieces of any size."""

    def __init__(self) -> None:
        self.pieces = 7
        self.headers: dict[str, str] = {}

    def do(self, handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        asked = json.loads(body)
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        wants = bool((asked.get("stream_options") or {}).get("include_usage"))
        if (wants and asked["model"] == "old") or asked["model"] == "down":
            answer = b'{"error":{"message":"Unrecognized request argument supplied: stream_options"}}'
            handler.send_response(500 if asked["model"] == "down" else 400)
            handler.send_header("content-type", "application/json")
            handler.send_header("content-length", str(len(answer)))
            handler.end_headers()
            handler.wfile.write(answer)
            return True
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        data = stream(wants)
        for at in range(0, len(data), self.pieces):
            piece = data[at : at + self.pieces]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if asked.get("slow"):
                handler.wfile.flush()
                time.sleep(0.02)
        handler.wfile.write(b"0\r\n\r\n")
        return True


def stream(counted: bool) -> bytes:
    texts = [text.replace(b'"}}]', b'"}}],"usage":null') for text in PLAIN] if counted else PLAIN
    return b"".join(b"data: " + event + b"\n\n" for event in [*texts, *([USAGE] if counted else []), b"[DONE]"])


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Recording]:
    behind = Behind(do=server.do)
    with Provider() as provider:
        routes = [
            {"prefix": "/counting", "url": behind.url, "provider": "openai"},
            {"prefix": "/silent", "url": behind.url, "provider": "openai", "include_usage": False},
            {"prefix": "/named", "url": behind.url, "provider": "openai", "require": ["team", "user"]},
            {"prefix": "/openai", "url": provider.url, "provider": "openai"},
        ]
        running = Recording(tmp_path_factory.mktemp("tapped"), {"route": routes})
        yield running
        running.stop()
    behind.stop()


def asked(**more: Any) -> bytes:
    return json.dumps({"model": "new", "stream": True, "messages": [], **more}).encode()


@pytest.mark.parametrize("pieces", [1, 7, 64, 5000])
def test_a_stream_is_counted_and_its_caller_does_not_see_it(proxy: Recording, server: Server, pieces: int) -> None:
    server.pieces = pieces
    answer = proxy.ask("/counting/v1/chat/completions", asked())
    assert answer.body == stream(False)
    (call,) = proxy.calls()
    assert (call.total_tokens, call.usage_source, call.outcome) == (5, "reported", "ok")
    assert call.chunks == 3


def test_a_route_may_be_told_not_to_ask(proxy: Recording) -> None:
    assert proxy.ask("/silent/v1/chat/completions", asked()).body == stream(False)
    (call,) = proxy.calls()
    assert call.usage_source == "estimated"


def test_a_refusal_is_asked_again_and_the_caller_sees_none(proxy: Recording) -> None:
    for expected in (2, 1):  # the second time nobody asks what is refused
        answer = proxy.ask("/counting/v1/chat/completions", asked(model="old"), headers={"x-tachograph-team": "red"})
        assert (answer.status, answer.body) == (200, stream(False))
        assert answer.headers["content-type"] == "text/event-stream"
        seen = proxy.seen(expected)
        assert len(seen) == expected
        (called,) = [each for each in seen if each.is_call]
        (call,) = wire.read(called.exchange)
        assert (call.outcome, call.request_model, call.streamed) == ("ok", "old", True)
        assert called.attribution["team"] == "red"


def test_attribution_that_is_required(proxy: Recording) -> None:
    refused = proxy.ask("/named/v1/chat/completions", asked(), headers={"x-tachograph-user": "ann"})
    assert refused.status == 400
    assert json.loads(refused.body)["error"]["message"].startswith("attribution is missing: team:")
    answer = proxy.ask("/named/v1/chat/completions", asked(user="ann"), headers={"x-tachograph-team": "red"})
    assert answer.status == 200
    first, second = proxy.seen(2)
    assert (first.is_call, second.is_call) == (False, True)
    assert second.attribution["team"] == "red"


def test_a_client_that_leaves_leaves_its_counts(proxy: Recording, server: Server) -> None:
    server.pieces = 64
    body = asked(slow=True)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        head = f"POST /counting/v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        client.settimeout(10)
        came = b""
        while b'"a"' not in came:
            piece = client.recv(4096)
            assert piece, came
            came += piece
    (call,) = proxy.calls()
    assert (call.outcome, call.error_type) == ("aborted", "cancelled")
    assert (call.chunks or 0) >= 1
    assert call.headers_ms is not None and call.ttft_ms is not None and call.duration_ms is not None
    assert 0 < call.headers_ms <= call.ttft_ms <= call.duration_ms


def test_the_provider_and_the_client_are_told_the_trace(proxy: Recording, server: Server) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = proxy.ask("/counting/v1/chat/completions", asked(), headers={"traceparent": f"00-{trace}-{'1' * 16}-01"})
    (seen,) = proxy.seen()
    assert (seen.trace_id, seen.parent_span_id) == (trace, "1" * 16)
    assert server.headers["traceparent"] == f"00-{trace}-{seen.span_id}-01"
    assert server.headers["x-request-id"] == seen.request_id
    assert answer.headers["traceparent"] == server.headers["traceparent"]
    assert "x-request-id" not in answer.headers  # which would be taken for the provider's


def test_a_failure_without_any_id_is_the_same_span_in_the_client(proxy: Recording) -> None:
    told: list[Call] = []
    tachograph.instrument(callback=told.append)
    try:
        url = f"http://127.0.0.1:{proxy.port}/counting/v1/chat/completions"
        answer = httpx.post(url, content=asked(model="down"), headers={"content-type": "application/json"})
    finally:
        tachograph.uninstrument()
    assert answer.status_code == 500
    (seen,), (call,) = proxy.seen(), told
    assert (call.outcome, call.response_id, call.request_id) == ("error", None, None)
    assert (call.trace_id, call.span_id) == (seen.trace_id, seen.span_id)


def test_a_prompt_of_20_megabytes_goes_through(proxy: Recording) -> None:
    body = json.dumps({"model": "new", "messages": [{"content": "word " * 4_000_000}], "max_tokens": 9}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.request("POST", "/counting/v1/chat/completions", body)
    assert connection.getresponse().read() == stream(False)
    connection.close()
    (call,) = proxy.calls()
    assert (call.request_model, call.max_output_tokens) == ("new", 9)
    assert len(proxy.log.read_bytes().splitlines()[-1]) < 2_000


@pytest.mark.parametrize("name", ['","z":"', 'a"b', "a\\", "a^q=x^x=fault", "\u00e9", "x" * 600])
def test_what_a_client_writes_ends_no_text_of_the_line(proxy: Recording, name: str) -> None:
    """The line is JSON without anybody who would escape it: what is not the gateway's own comes from the tap alone."""
    headers = {"x-request-id": name, "user-agent": name, "x-tachograph-team": name}
    path = "/counting/v1/chat/completions?model=" + quote(name)
    assert proxy.ask(path, asked(model=name), headers=headers).status == 200
    (seen,) = proxy.seen()
    written = name.encode("latin-1")[:512].decode("utf-8", "replace")
    assert (seen.request_id, seen.exchange.request.method) == (written, "POST")
    assert (seen.exchange.request.members or {})["model"] == name[:256]
    assert seen.attribution["team"] == written[:WORD_CHARS_MAX]
    assert seen.cuts == ()
