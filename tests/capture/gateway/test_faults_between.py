"""What goes wrong between a client, Envoy and a provider: nobody waits for ever, and the record says what happened."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from proxying import eventually
from recorded import Recording
from tests.capture.sdk.scripted import (
    BROKEN,
    CHAT,
    END,
    EVENTS,
    FRAMINGS,
    JSON,
    PAUSE,
    SSE,
    Scripted,
    asked,
    chunk,
    head,
)

from tachograph.testing.provider import Provider

STREAMS = 2000
IDLE_SECONDS = 1


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    running = Scripted(())
    yield running
    running.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, provider: Provider, server: Scripted) -> Iterator[Recording]:
    routes = [
        {"prefix": "/openai", "url": provider.url, "provider": "openai"},
        {"prefix": "/scripted", "url": server.url, "provider": "openai", "idle_seconds": IDLE_SECONDS},
        {"prefix": "/nobody", "url": "http://127.0.0.1:1", "provider": "openai"},
    ]
    running = Recording(tmp_path_factory.mktemp("faults"), {"route": routes})
    yield running
    running.stop()


def request(path: str, *, stream: bool, more: str = "") -> bytes:
    body = json.dumps(asked(stream=stream)).encode()
    lines = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{more}"
    return f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def closing(*pieces: bytes) -> list[bytes]:
    """Says that it closes the connection, as the server does: else Envoy may send the next request there."""
    first, *rest = pieces
    return [first.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1), *rest]


def outcome(proxy: Recording) -> tuple[str, str | None]:
    (call,) = proxy.calls()
    return call.outcome, call.error_type


@pytest.mark.parametrize("name", FRAMINGS)
def test_every_framing_is_handed_on_and_read(proxy: Recording, server: Scripted, name: str) -> None:
    server.answer = lambda _: closing(*FRAMINGS[name])
    stream = not name.startswith("one")
    answer = proxy.ask("/scripted" + CHAT, json.dumps(asked(stream=stream)).encode())
    assert answer.status == 200 and (b"Hi" in answer.body) and (b"[DONE]" in answer.body) == stream
    (call,) = proxy.calls()
    assert (call.outcome, call.streamed, call.input_tokens, call.output_tokens) == ("ok", stream, 9, 4)
    assert call.response_id == "chatcmpl-1" and call.finish_reason == "stop"


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_upstream_is_an_error_of_the_network(proxy: Recording, server: Scripted, name: str) -> None:
    pieces, error = BROKEN[name]
    server.answer = lambda _: pieces
    began = time.monotonic()
    with contextlib.suppress(OSError, http.client.HTTPException):
        proxy.ask("/scripted" + CHAT, json.dumps(asked(stream=True)).encode())
    assert time.monotonic() - began < 0.9  # the caller hears of it at once
    assert outcome(proxy) == ("error", error)


def test_nobody_is_there(proxy: Recording) -> None:
    assert proxy.ask("/nobody" + CHAT, json.dumps(asked()).encode()).status == 503
    (call,) = proxy.calls()
    assert (call.outcome, call.error_type, call.status) == ("error", "network", None)


@pytest.mark.parametrize(
    ("scenario", "status", "error"),
    (
        ("rate_limited", 429, "rate_limited"),
        ("server_error", 500, "provider_error"),
        ("overloaded", 503, "provider_overloaded"),
        ("bad_key", 401, "client_auth"),
        ("bad_request", 400, "client_bad_request"),
    ),
)
def test_what_the_provider_refuses(proxy: Recording, scenario: str, status: int, error: str) -> None:
    answer = proxy.ask("/openai" + CHAT, json.dumps(asked(scenario)).encode())
    (call,) = proxy.calls()
    assert (answer.status, call.status, call.outcome, call.error_type) == (status, status, "error", error)


def test_an_error_inside_a_success(proxy: Recording) -> None:
    answer = proxy.ask("/openai" + CHAT, json.dumps(asked("stream_error", stream=True)).encode())
    (call,) = proxy.calls()
    assert (answer.status, call.status, call.outcome) == (200, 200, "error")
    assert call.error_type is not None


@pytest.mark.parametrize("reset", (False, True))
@pytest.mark.parametrize("after", (0, 1, 2))
def test_a_client_that_leaves_leaves_its_counts(proxy: Recording, server: Scripted, after: int, reset: bool) -> None:
    """after: how many events it has read."""
    paused = (PAUSE,) * 2
    server.answer = lambda _: (head(SSE, "transfer-encoding: chunked"), *map(chunk, EVENTS[:after]), *paused)
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(request("/scripted" + CHAT, stream=True))
        held = b""
        while after and held.count(b"data:") < after:
            held += client.recv(65536)
        if not after:
            eventually(lambda: b"gpt-5-mini" in server.asked[-1], "the request has come")
            time.sleep(0.05)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (call,) = proxy.calls()
    assert (call.outcome, call.error_type) == ("aborted", "cancelled")
    assert (call.request_model, call.chunks or 0) == ("gpt-5-mini", after)
    assert call.response_model == ("gpt-5-mini-2025-08-07" if after else None)
    assert (call.ttft_ms is not None) == bool(after)


def test_an_upstream_that_never_answers(proxy: Recording, server: Scripted) -> None:
    server.answer = lambda _: (PAUSE,) * 12
    began = time.monotonic()
    assert proxy.ask("/scripted" + CHAT, json.dumps(asked()).encode()).status in (408, 504)
    assert time.monotonic() - began < 3 * IDLE_SECONDS
    assert outcome(proxy) == ("error", "timeout")


def test_an_upstream_that_falls_silent(proxy: Recording, server: Scripted) -> None:
    server.answer = lambda _: (head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0]), *(PAUSE,) * 12)
    with contextlib.suppress(http.client.HTTPException, OSError):
        proxy.ask("/scripted" + CHAT, json.dumps(asked(stream=True)).encode())
    (call,) = proxy.calls()
    assert (call.outcome, call.error_type, call.chunks) == ("error", "timeout", 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    (
        (b"{'model': broken", JSON),
        (b'{"model": "gpt-5-mini", "usage": {"prompt_tokens": ', JSON),
        (b"<html>bad gateway</html>", "text/html"),
        (b"\xff\xfe\x00\x01" * 100, JSON),
        (b"", JSON),
    ),
)
def test_an_answer_that_is_none_is_handed_on(proxy: Recording, server: Scripted, body: bytes, kind: str) -> None:
    server.answer = lambda _: closing(head(kind, f"content-length: {len(body)}"), body)
    answer = proxy.ask("/scripted" + CHAT, json.dumps(asked()).encode())
    assert (answer.status, answer.body) == (200, body)
    (call,) = proxy.calls()
    assert call.usage_source == "missing" and call.flags


@pytest.mark.parametrize("body", (b"", b"{", b"not json", b"\x00\xff" * 500, b'{"model": 7, "stream": "yes"}', b"[]"))
def test_a_request_that_is_none_is_handed_on(proxy: Recording, server: Scripted, body: bytes) -> None:
    server.answer = lambda _: closing(*FRAMINGS["one document"])
    answer = proxy.ask("/scripted" + CHAT, body, headers={"content-type": "text/plain"})
    assert answer.status == 200
    assert server.asked[-1].endswith(b"\r\n\r\n" + body)
    assert len(proxy.calls()) == 1


def test_a_bomb_of_headers(proxy: Recording) -> None:
    bombs = [
        request("/openai" + CHAT, stream=False, more="".join(f"x-{number}: 1\r\n" for number in range(1000))),
        request("/openai" + CHAT, stream=False, more=f"x-long: {'x' * 200_000}\r\n"),
    ]
    for bomb in bombs:
        with contextlib.suppress(OSError):
            assert proxy.raw(bomb).status in (400, 431)
    assert proxy.ask("/openai" + CHAT, json.dumps(asked()).encode()).status == 200
    assert [call.outcome for call in proxy.calls()] == ["ok"]


def test_a_client_that_closes_its_half(proxy: Recording) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(request("/openai" + CHAT, stream=True))
        client.shutdown(socket.SHUT_WR)
        held = b""
        while piece := client.recv(65536):
            held += piece
    (call,) = proxy.calls()
    whole = b"[DONE]" in held
    assert call.outcome == ("ok" if whole else "aborted")
    assert call.request_model == "gpt-5-mini"


def test_a_body_that_trickles(proxy: Recording) -> None:
    sent = request("/openai" + CHAT, stream=False)
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        for at in range(0, len(sent), 40):
            client.sendall(sent[at : at + 40])
            time.sleep(0.005)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 200
        answer.read()  # who leaves after the headers has not heard it all
    assert outcome(proxy) == ("ok", None)


@pytest.mark.long
def test_headers_that_trickle_are_not_waited_for(proxy: Recording) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 30) as client:
        client.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
        began = time.monotonic()
        assert client.recv(65536).startswith(b"HTTP/1.1 408")
        assert 5 < time.monotonic() - began < 25
    assert proxy.ask("/openai" + CHAT, json.dumps(asked()).encode()).status == 200
    assert [call.outcome for call in proxy.calls()] == ["ok"]


def test_a_prompt_of_twenty_megabytes(proxy: Recording, server: Scripted) -> None:
    server.answer = lambda _: closing(*FRAMINGS["one document"])
    body = json.dumps({**asked(), "messages": [{"role": "user", "content": "six times seven " * 1_300_000}]}).encode()
    rss = _rss_bytes(proxy.process.pid)
    assert proxy.ask("/scripted" + CHAT, body).status == 200
    assert server.asked[-1].endswith(body)
    (call,) = proxy.calls()
    assert (call.request_model, call.outcome, call.input_tokens) == ("gpt-5-mini", "ok", 9)
    assert b"six times" not in proxy.log.read_bytes()
    assert _rss_bytes(proxy.process.pid) - rss < 40_000_000


def _rss_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


@pytest.mark.long
def test_two_thousand_streams_at_once(proxy: Recording) -> None:
    """All of them are open before one has ended."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    opened = asyncio.Event()

    async def one(waiting: list[int]) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(request("/many" + CHAT, stream=True))
        held = await reader.readuntil(b"\r\n\r\n")
        waiting[0] -= 1
        if not waiting[0]:
            opened.set()
        while not held.endswith(b"0\r\n\r\n") and (piece := await reader.read(65536)):
            held += piece
        writer.close()
        return held

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(SSE, "transfer-encoding: chunked"))
        await asyncio.wait_for(opened.wait(), 60)
        for event in EVENTS:
            writer.write(chunk(event))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(END)
        writer.close()

    async def test() -> list[bytes]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        proxy.rendered = proxy.change({"route": [{"prefix": "/many", "url": url, "provider": "openai"}]})
        await asyncio.sleep(1)
        waiting = [STREAMS]
        found = await asyncio.gather(*(one(waiting) for _ in range(STREAMS)))
        server.close()
        return found

    answers = asyncio.run(test())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum(b"[DONE]" in answer for answer in answers) == STREAMS
    calls = proxy.calls(STREAMS)
    assert Counter((call.outcome, call.output_tokens) for call in calls) == {("ok", 4): STREAMS}
