"""httpx and httpx2: every request of every client is seen once, and nothing of it is changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
from tests.capture.sdk.hearing import PACKAGES
from tests.capture.sdk.scripted import CHAT, EVENTS, JSON, WHOLE, asked, head, scripted

from tachograph.call import Call
from tachograph.capture.sdk.context import context
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.recognise import Recogniser
from tachograph.capture.sdk.transports import httpx as transport
from tachograph.capture.sdk.watching import Observer
from tachograph.testing.provider import Provider

ANSWER = (head(JSON, f"content-length: {len(WHOLE)}"), WHOLE)


@pytest.fixture(params=PACKAGES)
def httpx(request: pytest.FixtureRequest) -> ModuleType:
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed")  # type: ignore[no-any-return]


def counted(call: Call) -> tuple[Any, ...]:
    return call.api, call.status, call.outcome, call.input_tokens, call.output_tokens


PLAIN = ("openai.chat", 200, "ok", 23, 11)


def test_a_plain_call(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    answer = httpx.post(provider.url + CHAT, json=asked())
    assert answer.json()["usage"]["total_tokens"] == 34 and answer.elapsed.total_seconds() > 0
    (call,) = calls
    assert counted(call) == PLAIN and call.source.endswith(f" {httpx.__name__}")
    assert call.response_id == answer.json()["id"] and call.request_id == answer.headers["x-request-id"]
    assert call.duration_ms is not None and call.duration_ms > 0


def test_an_awaited_call(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    async def work() -> Any:
        async with httpx.AsyncClient() as client:
            return await client.post(provider.url + CHAT, json=asked())

    assert asyncio.run(work()).json()["usage"]["total_tokens"] == 34
    assert [counted(call) for call in calls] == [PLAIN]


def test_what_is_no_call_to_a_model_passes(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    assert httpx.post(provider.url + "/v1/nothing", json={}).status_code == 404
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(provider.url + "/v1/models")
    assert httpx.post(provider.url + CHAT, json={"to": "jo"}).status_code == 200
    assert calls == []


def test_a_client_that_was_there_before(httpx: Any, provider: Provider) -> None:
    calls: list[Call] = []
    with httpx.Client() as client:
        client.post(provider.url + CHAT, json=asked())
        patches = Patches(Observer(calls.extend), Guard(strict=True))
        patches.when_imported(httpx.__name__, transport.patch)
        client.post(provider.url + CHAT, json=asked())
        patches.undo()
        client.post(provider.url + CHAT, json=asked())
    assert len(calls) == 1
    assert "tachograph" not in httpx.HTTPTransport.handle_request.__module__
    assert "tachograph" not in httpx.AsyncHTTPTransport.handle_async_request.__module__


def test_again_and_again(httpx: Any, provider: Provider) -> None:
    original = httpx.HTTPTransport.handle_request
    for _ in range(3):
        calls: list[Call] = []
        first, second = (Patches(Observer(calls.extend), Guard(strict=True)) for _ in range(2))
        first.when_imported(httpx.__name__, transport.patch)
        second.when_imported(httpx.__name__, transport.patch)
        httpx.post(provider.url + CHAT, json=asked())
        second.undo()
        httpx.post(provider.url + CHAT, json=asked())
        first.undo()
        assert len(calls) == 2
    assert httpx.HTTPTransport.handle_request is original


def test_a_stream_that_is_open_while_it_is_undone(
    httpx: Any, provider: Provider, patches: Patches, calls: list[Call]
) -> None:
    with httpx.stream("POST", provider.url + CHAT, json=asked(stream=True)) as response:
        patches.undo()
        response.read()
    assert [counted(call) for call in calls] == [PLAIN]


def test_transports_that_send_nothing_are_not_seen(httpx: Any, calls: list[Call]) -> None:
    def answer(request: Any) -> Any:
        return httpx.Response(200, content=WHOLE)

    def wsgi(environ: Any, start: Any) -> Any:
        start("200 OK", [("content-type", JSON)])
        return [WHOLE]

    for kind in (httpx.MockTransport(answer), httpx.WSGITransport(wsgi)):
        with httpx.Client(transport=kind) as client:
            assert client.post("https://api.openai.com" + CHAT, json=asked()).content == WHOLE
    assert calls == []


def test_an_asgi_application_is_not_seen(httpx: Any, calls: list[Call]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": WHOLE})

    async def work() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application)) as client:
            return await client.post("https://api.openai.com" + CHAT, json=asked())

    assert asyncio.run(work()).content == WHOLE
    assert calls == []


def test_a_transport_around_another_and_a_mounted_one(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    class Around(httpx.BaseTransport):  # type: ignore[misc]
        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            return self.inner.handle_request(request)

        def close(self) -> None:
            self.inner.close()

    class Kin(httpx.HTTPTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return super().handle_request(request)

    with httpx.Client(transport=Around(), mounts={"all://localhost": Kin()}) as client:
        client.post(provider.url + CHAT, json=asked())
        client.post(provider.url.replace("127.0.0.1", "localhost") + CHAT, json=asked())
    assert [counted(call) for call in calls] == [PLAIN] * 2


def test_hooks_and_what_a_client_looks_at(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    seen: list[Any] = []
    with httpx.Client(event_hooks={"response": [lambda response: seen.append(response.read())]}) as client:
        response = client.post(provider.url + CHAT, json=asked())
    assert seen == [response.content] and response.is_closed and response.http_version == "HTTP/1.1"
    assert response.extensions["network_stream"] is not None and response.num_bytes_downloaded == len(response.content)
    assert [counted(call) for call in calls] == [PLAIN]


def test_retries_share_an_operation(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    for count in range(2):
        headers = {"x-stainless-retry-count": str(count)}
        httpx.post(provider.url + CHAT, json=asked("rate_limited_once"), headers=headers)
    httpx.post(provider.url + CHAT, json=asked("rate_limited_once"), headers={"x-stainless-retry-count": "0"})
    assert [(call.status, call.attempt) for call in calls] == [(429, 0), (200, 1), (429, 0)]
    assert calls[0].operation_id == calls[1].operation_id != calls[2].operation_id


def test_the_way_of_a_redirect_counts_once(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    moved = head(JSON, f"location: {provider.url}{CHAT}", "content-length: 0", status="307 Temporary Redirect")
    with scripted((moved,)) as server:
        answer = httpx.post(server.url + CHAT, json=asked(), follow_redirects=True)
    assert answer.status_code == 200 and len(answer.history) == 1
    assert [counted(call) for call in calls] == [PLAIN]


def test_a_form(httpx: Any, calls: list[Call]) -> None:
    with scripted(ANSWER) as server:
        files = {"file": ("speech.wav", b"RIFF....")}
        url = server.url + "/v1/audio/transcriptions"
        httpx.post(url, data={"model": "whisper-1", "temperature": "0"}, files=files)
        assert b'name="model"\r\n\r\nwhisper-1' in server.asked[0] and b"RIFF...." in server.asked[0]
    (call,) = calls
    assert (call.request_model, call.operation) == ("whisper-1", "transcription")


def test_a_request_that_is_a_stream_itself(httpx: Any, patches: Patches, calls: list[Call]) -> None:
    """It may be read only once, and not by us."""
    body = json.dumps(asked()).encode()

    async def awaited() -> AsyncIterator[bytes]:
        yield body

    async def work() -> None:
        async with httpx.AsyncClient() as client:
            await client.post(server.url + CHAT, content=awaited())

    with scripted(ANSWER) as server:
        patches.observer.recogniser = Recogniser({server.url: "vllm"})
        httpx.post(server.url + CHAT, content=iter((body[:10], body[10:])))
        asyncio.run(work())
        assert len(server.asked) == 2
    assert [(call.provider, call.input_tokens, call.request_model) for call in calls] == [("vllm", 9, None)] * 2


def test_many_threads_and_tasks_at_once(httpx: Any, provider: Provider, calls: list[Call]) -> None:
    def thread(number: int) -> None:
        with context(customer=f"thread {number}"), httpx.Client() as client:
            for _ in range(5):
                client.post(provider.url + CHAT, json=asked())

    async def task(client: Any, number: int) -> None:
        with context(customer=f"task {number}"):
            await client.post(provider.url + CHAT, json=asked(stream=True))

    async def tasks() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(task(client, number) for number in range(20)))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(8)]
    threads.append(threading.Thread(target=asyncio.run, args=(tasks(),)))
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {counted(call) for call in calls} == {PLAIN}
    expected = sorted([f"thread {number}" for number in range(8)] * 5 + [f"task {number}" for number in range(20)])
    assert sorted(call.customer for call in calls) == expected
    for name in ("call_id", "span_id", "trace_id", "operation_id"):
        assert len({getattr(call, name) for call in calls}) == 60


def test_imported_later(httpx: Any, provider: Provider) -> None:
    script = f"""
import sys
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.watching import Observer
assert "{httpx.__name__}" not in sys.modules
calls = []
patches = Patches(Observer(calls.extend), Guard(strict=True))
for package, patch in TRANSPORTS:
    patches.when_imported(package, patch)
import {httpx.__name__} as client
client.post("{provider.url}{CHAT}", json={asked()!r})
print(len(calls), calls[0].total_tokens)
patches.undo()
"""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["1", "34"], "")


# HTTP/2


@contextlib.contextmanager
def http2(answers: tuple[bytes, ...], *, reset: bool = False) -> Iterator[str]:
    """A server that speaks HTTP/2 at once (prior knowledge), and answers each request with these pieces."""
    h2 = pytest.importorskip("h2", reason="h2 is not installed: HTTP/2 is not tried")
    from h2 import config, connection, events

    assert h2 is not None
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(speaking: Any, stream: int, taken: socket.socket) -> None:
        speaking.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
        for piece in answers:
            speaking.send_data(stream, piece)
            taken.sendall(speaking.data_to_send())
        speaking.reset_stream(stream) if reset else speaking.end_stream(stream)
        taken.sendall(speaking.data_to_send())

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            with taken:
                speaking = connection.H2Connection(config.H2Configuration(client_side=False))
                speaking.initiate_connection()
                taken.sendall(speaking.data_to_send())
                while data := taken.recv(65536):
                    for event in speaking.receive_data(data):
                        if isinstance(event, events.StreamEnded):
                            answer(speaking, event.stream_id, taken)
                    taken.sendall(speaking.data_to_send())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


def test_http2(httpx: Any, calls: list[Call]) -> None:
    with http2(EVENTS) as url, httpx.Client(http1=False, http2=True) as client:
        for _ in range(2):
            response = client.post(url + CHAT, json=asked(stream=True))
            assert response.content == b"".join(EVENTS) and response.http_version == "HTTP/2"
    assert [(call.outcome, call.input_tokens, call.streamed) for call in calls] == [("ok", 9, True)] * 2


def test_http2_is_reset(httpx: Any, calls: list[Call]) -> None:
    with http2(EVENTS[:1], reset=True) as url, httpx.Client(http1=False, http2=True) as client:
        with pytest.raises(httpx.RemoteProtocolError) as error:
            client.post(url + CHAT, json=asked(stream=True))
        assert "StreamReset" in str(error.value)
    assert [(call.outcome, call.error_type) for call in calls] == [("error", "network")]
