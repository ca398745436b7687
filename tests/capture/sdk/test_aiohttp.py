"""aiohttp's client: every attempt is a Call, however its body is read and however it ends; nothing is changed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
from tests.capture.sdk.scripted import (
    BROKEN,
    CHAT,
    EVENTS,
    FRAMINGS,
    JSON,
    PACKED,
    PAUSE,
    SSE,
    asked,
    chunk,
    head,
    scripted,
)

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import aiohttp as transport
from tachograph.capture.sdk.watching import Observer
from tachograph.testing.provider import Provider

aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")


def run(work: Callable[[Any], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
    async def inside() -> Any:
        async with aiohttp.ClientSession(**settings) as session:
            return await work(session)

    return asyncio.run(inside())


def ask(url: str, way: Callable[[Any], Awaitable[Any]], body: Any = None, **named: Any) -> Any:
    async def work(session: Any) -> Any:
        async with session.post(url, json=body or asked(stream=True), **named) as response:
            return await way(response)

    return run(work)


async def of_items(items: Any) -> bytes:
    return b"".join([item async for item in items])


async def of_lines(response: Any) -> list[bytes]:
    return [line async for line in response.content]


async def of_readline(response: Any) -> list[bytes]:
    lines = []
    while line := await response.content.readline():
        lines.append(line)
    return lines


async def of_chunks(response: Any) -> bytes:
    return b"".join([data async for data, _ in response.content.iter_chunks()])


async def of_exactly(response: Any) -> bytes:
    return bytes(await response.content.readexactly(9) + await response.content.read())


WAYS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "read()": lambda response: response.read(),
    "text()": lambda response: response.text(),
    "iter_any": lambda response: of_items(response.content.iter_any()),
    "iter_chunked": lambda response: of_items(response.content.iter_chunked(7)),
    "iter_chunks": of_chunks,
    "readline": of_readline,
    "async for": of_lines,
    "readexactly": of_exactly,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_is_what_it_is_without_us_and_is_read_by_us(
    calls: list[Call], patches: Patches, framing: str, way: str
) -> None:
    with scripted(FRAMINGS[framing]) as server:
        watched = ask(server.url + CHAT, WAYS[way])
        patches.undo()
        assert watched == ask(server.url + CHAT, WAYS[way])
    (call,) = calls
    assert (call.status, call.outcome, call.input_tokens, call.output_tokens) == (200, "ok", 9, 4)
    assert call.headers_ms is not None
    assert call.streamed == ("document" not in framing)
    assert (call.response_model, call.finish_reason) == ("gpt-5-mini-2025-08-07", "stop")
    assert set(call.flags) <= {"buffered_stream"}
    assert call.source.endswith(" aiohttp")


@pytest.mark.parametrize("framing", [name for name in FRAMINGS if "gzip" in name])
def test_a_body_that_is_left_packed(calls: list[Call], framing: str) -> None:
    async def work(session: Any) -> Any:
        async with session.post(server.url + CHAT, json=asked(stream=True)) as response:
            return await response.read()

    with scripted(FRAMINGS[framing]) as server:
        assert run(work, auto_decompress=False) == PACKED
    assert [(call.outcome, call.input_tokens, call.flags) for call in calls] == [("ok", 9, calls[0].flags)]
    assert set(calls[0].flags) <= {"buffered_stream"}


@pytest.mark.parametrize("way", ["read()", "iter_any", "readline"])
@pytest.mark.parametrize("ending", BROKEN)
def test_a_broken_body_raises_what_it_raises_without_us(
    calls: list[Call], patches: Patches, ending: str, way: str
) -> None:
    pieces, error_type = BROKEN[ending]

    def outcome(url: str) -> Any:
        try:
            return ask(url, WAYS[way])
        except aiohttp.ClientError as failure:
            return type(failure), str(failure)

    with scripted(pieces) as server:
        watched = outcome(server.url + CHAT)
        (call,) = calls
        patches.undo()
        assert watched == outcome(server.url + CHAT)
    assert (call.outcome, call.error_type) == ("error", error_type)
    if pieces[1:]:
        assert call.status == 200
    if "between" in ending:
        assert call.response_id == "chatcmpl-1"


SILENT = (head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0]), *(PAUSE,) * 4)


@pytest.mark.parametrize("kind", ["total", "sock_read"])
@pytest.mark.parametrize("pieces", [SILENT, (PAUSE, PAUSE)])
def test_a_timeout(calls: list[Call], pieces: tuple[bytes, ...], kind: str) -> None:
    with scripted(pieces) as server, pytest.raises(asyncio.TimeoutError):
        ask(server.url + CHAT, WAYS["read()"], timeout=aiohttp.ClientTimeout(**{kind: 0.1}))
    assert [(call.outcome, call.error_type) for call in calls] == [("error", "timeout")]
    assert calls[0].status == (200 if pieces is SILENT else None)


@pytest.mark.parametrize("pieces", [SILENT, (PAUSE, PAUSE)])
def test_a_cancelled_task(calls: list[Call], pieces: tuple[bytes, ...]) -> None:
    async def work(session: Any) -> None:
        async def inner() -> None:
            async with session.post(server.url + CHAT, json=asked(stream=True)) as response:
                await response.read()

        task = asyncio.create_task(inner())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with scripted(pieces) as server:
        run(work)
    assert [(call.outcome, call.error_type) for call in calls] == [("aborted", "cancelled")]


def test_a_cancelled_read_is_not_the_end(calls: list[Call]) -> None:
    async def way(response: Any) -> bytes:
        first = await response.content.readany()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.05)
        return bytes(first + await response.content.read())

    whole = (head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0]), PAUSE, *map(chunk, EVENTS[1:]), b"0\r\n\r\n")
    with scripted(whole) as server:
        assert ask(server.url + CHAT, way) == b"".join(EVENTS)
    assert [(call.outcome, call.input_tokens) for call in calls] == [("ok", 9)]


@pytest.mark.parametrize("leave", ["with", "close", "release", "raise"])
def test_the_caller_leaves(calls: list[Call], leave: str) -> None:
    async def way(response: Any) -> None:
        await response.content.readany()
        if leave == "raise":
            raise ValueError("of the consumer")
        if leave != "with":
            getattr(response, leave)()

    with scripted(SILENT) as server:
        if leave == "raise":
            with pytest.raises(ValueError, match="of the consumer"):
                ask(server.url + CHAT, way)
        else:
            ask(server.url + CHAT, way)
    (call,) = calls
    assert (call.outcome, call.error_type, call.response_model) == ("aborted", "cancelled", "gpt-5-mini-2025-08-07")


def test_a_dropped_response(calls: list[Call]) -> None:
    async def work(session: Any) -> None:
        response = await session.post(server.url + CHAT, json=asked(stream=True))
        await response.content.readany()

    with scripted(SILENT) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run(work)
        gc.collect()
    assert [(call.outcome, call.error_type) for call in calls] == [("aborted", "cancelled")]


def test_nobody_listens(calls: list[Call]) -> None:
    with scripted(()) as server:
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        ask(server.url + CHAT, WAYS["read()"])
    assert [(call.status, call.outcome, call.error_type) for call in calls] == [(None, "error", "network")]


def test_what_is_no_http(calls: list[Call]) -> None:
    with scripted((b"220 mail.example ESMTP\r\n",)) as server, pytest.raises(aiohttp.ClientError):
        ask(server.url + CHAT, WAYS["read()"])
    assert [call.error_type for call in calls] == ["protocol"]


def test_a_redirect_leads_to_the_call(provider: Provider, calls: list[Call]) -> None:
    moved = head(JSON, f"location: {provider.url}{CHAT}", "content-length: 0", status="307 Temporary Redirect")
    with scripted((moved,)) as server:
        assert b"usage" in ask(server.url + CHAT, WAYS["read()"], asked())
    assert [(call.status, call.input_tokens) for call in calls] == [(200, 23)]


def test_connections_are_used_again_and_keep_nothing(provider: Provider, calls: list[Call]) -> None:
    async def work(session: Any) -> None:
        protocols = set()
        for path in (CHAT, CHAT, "/v1/nothing"):
            async with session.post(provider.url + path, json=asked(stream=True)) as response:
                protocols.add(response._protocol)
                await response.read()
        (protocol,) = protocols
        assert not hasattr(protocol, "_tachograph")

    run(work)
    assert [(call.outcome, call.input_tokens) for call in calls] == [("ok", 23)] * 2


def test_errors_that_are_raised_for_status(provider: Provider, calls: list[Call]) -> None:
    with pytest.raises(aiohttp.ClientResponseError):
        ask(provider.url + CHAT, WAYS["read()"], asked("rate_limited"), raise_for_status=True)
    assert [(call.status, call.error_type, call.retry_after_ms) for call in calls] == [(429, "rate_limited", 2000.0)]


def test_what_was_asked_is_known(provider: Provider, calls: list[Call]) -> None:
    async def work(session: Any) -> None:
        for body in ({"json": asked()}, {"data": b'{"model": "b"}'}, {"data": '{"model": "c"}'}):
            async with session.post(provider.url + CHAT, **body) as response:
                await response.json()

    run(work)
    assert [call.request_model for call in calls] == ["gpt-5-mini"]  # the others have no messages: no question


def test_a_form_says_its_model(calls: list[Call]) -> None:
    async def work(session: Any) -> None:
        form = aiohttp.FormData()
        form.add_field("model", "gpt-4o-transcribe")
        form.add_field("file", b"RIFF" * 100, filename="model.wav")
        async with session.post(server.url + "/v1/audio/transcriptions", data=form) as response:
            await response.json()

    answer = b'{"text": "hi", "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}'
    with scripted((head(JSON, f"content-length: {len(answer)}"), answer)) as server:
        run(work)
    assert [(call.request_model, call.operation, call.input_tokens) for call in calls] == [
        ("gpt-4o-transcribe", "transcription", 3)
    ]


def test_web_sockets_pass(calls: list[Call]) -> None:
    from aiohttp import web

    async def serve(request: Any) -> Any:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def work(session: Any) -> None:
        application = web.Application()
        application.router.add_get("/v1/realtime", serve)
        application.router.add_get("/v1/responses/x", serve)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        for path in ("realtime", "responses/x"):
            async with session.ws_connect(f"http://127.0.0.1:{port}/v1/{path}") as socket:
                await socket.send_str("hi")
                assert (await socket.receive()).data == "HI"
        await runner.cleanup()

    run(work)
    assert calls == []


def test_a_server_of_aiohttp_is_not_watched(calls: list[Call]) -> None:
    from aiohttp import web

    async def serve(request: Any) -> Any:
        assert (await request.json())["model"] == "gpt-5-mini"
        return web.json_response({})

    async def work(session: Any) -> None:
        application = web.Application()
        application.router.add_post("/elsewhere", serve)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        async with session.post(f"http://127.0.0.1:{port}/elsewhere", json=asked()) as response:
            assert await response.json() == {}
            assert type(response.content).__mro__[1].__name__ != "StreamReader"
        await runner.cleanup()

    run(work)
    assert calls == []


def test_undone(calls: list[Call], patches: Patches, provider: Provider) -> None:
    patches.undo()
    wrapped = (
        (aiohttp.ClientSession, "_request"),
        (aiohttp.BaseConnector, "connect"),
        (aiohttp.ClientRequest, "send" if hasattr(aiohttp.ClientRequest, "send") else "_send"),
        (aiohttp.ClientResponse, "start"),
        (aiohttp.ClientResponse, "close"),
        (aiohttp.ClientResponse, "release"),
        (aiohttp.client_proto.ResponseHandler, "set_response_params"),
    )
    assert [name for owner, name in wrapped if hasattr(getattr(owner, name), "__tachograph__")] == []
    assert b"usage" in ask(provider.url + CHAT, WAYS["read()"])
    assert calls == []


@pytest.mark.parametrize("stream", [False, True])
def test_httpx_on_aiohttp_is_counted_once(provider: Provider, calls: list[Call], stream: bool) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    on_aiohttp = pytest.importorskip("httpx_aiohttp", reason="httpx-aiohttp is not installed")

    async def work() -> None:
        async with httpx.AsyncClient(transport=on_aiohttp.AiohttpTransport()) as client:
            assert (await client.post(provider.url + CHAT, json=asked(stream=stream))).status_code == 200

    asyncio.run(work())
    assert [(call.outcome, call.input_tokens) for call in calls] == [("ok", 23)]
    assert calls[0].source.endswith(" aiohttp")


def test_openai_on_aiohttp_is_counted_once(provider: Provider, calls: list[Call]) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed")
    try:
        http = openai.DefaultAioHttpClient()
    except RuntimeError as missing:
        pytest.skip(str(missing))

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="none", http_client=http) as client:
            await client.chat.completions.create(**asked())

    asyncio.run(work())
    assert [(call.outcome, call.input_tokens) for call in calls] == [("ok", 23)]


def test_aiobotocore(provider: Provider, calls: list[Call]) -> None:
    aiobotocore = pytest.importorskip("aiobotocore.session", reason="aiobotocore is not installed")
    model, messages = "anthropic.claude-sonnet-4-5-20250929-v1:0", [{"role": "user", "content": [{"text": "hi"}]}]

    async def work() -> None:
        session = aiobotocore.get_session()
        session.set_credentials("none", "none", "none")
        async with session.create_client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=provider.url
        ) as client:
            await client.converse(modelId=model, messages=messages)
            streamed = await client.converse_stream(modelId=model, messages=messages)
            assert [event async for event in streamed["stream"]]

    asyncio.run(work())
    assert [(call.outcome, call.request_model, call.input_tokens) for call in calls] == [("ok", model, 23)] * 2


# usage that nobody asked for


@pytest.fixture
def asking(delivered: list[Call]) -> Iterator[list[Call]]:
    patched = Patches(Observer(delivered.extend, include_usage=True), Guard(strict=True))
    patched.when_imported("aiohttp", transport.patch)
    yield delivered
    patched.undo()


UNASKED = {name: value for name, value in asked(stream=True).items() if name != "stream_options"}
VISIBLE = b"".join((*EVENTS[:3], EVENTS[4]))
ASKED = {
    name: pieces
    for name, pieces in FRAMINGS.items()
    if "document" not in name and "gzip" not in name and "length" not in name
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", ASKED)
def test_usage_is_asked_for_and_hidden(asking: list[Call], framing: str, way: str) -> None:
    with scripted((head(SSE, "connection: close"), VISIBLE)) as server:
        expected = ask(server.url + CHAT, WAYS[way], asked())
        asking.clear()
    with scripted(ASKED[framing]) as server:
        assert ask(server.url + CHAT, WAYS[way], UNASKED) == expected
        assert b'"stream_options":{"include_usage":true}' in server.asked[0]
        assert b"accept-encoding: identity" in server.asked[0].lower()
    assert [(call.outcome, call.input_tokens, call.output_tokens) for call in asking] == [("ok", 9, 4)]


def test_an_answer_that_comes_at_once(asking: list[Call]) -> None:
    whole = b"".join((head(SSE, "transfer-encoding: chunked"), *map(chunk, EVENTS), b"0\r\n\r\n"))
    with scripted((whole,)) as server:
        assert ask(server.url + CHAT, WAYS["read()"], UNASKED) == VISIBLE
    assert [(call.outcome, call.input_tokens) for call in asking] == [("ok", 9)]


def refusing(error: bytes, answer: tuple[bytes, ...]) -> Callable[[bytes], tuple[bytes, ...]]:
    refusal = head(JSON, f"content-length: {len(error)}", "connection: close", status="400 Bad Request") + error
    return lambda request: (refusal,) if b"stream_options" in request else answer


@pytest.mark.parametrize("raising", [False, True])
def test_who_refuses_is_asked_as_the_caller_asked(asking: list[Call], raising: bool) -> None:
    answer = (head(SSE, "connection: close"), VISIBLE)
    with scripted(()) as server:
        server.answer = refusing(b'{"error": {"message": "unknown: stream_options"}}', answer)
        for _ in range(2):
            assert ask(server.url + CHAT, WAYS["read()"], UNASKED, raise_for_status=raising) == VISIBLE
        assert [b"stream_options" in request for request in server.asked] == [True, False, False]
    assert [(call.status, call.outcome, call.attempt) for call in asking] == [(200, "ok", 0)] * 2


@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_the_callers_own_is_handed_on(asking: list[Call], way: str) -> None:
    error = b'{"error": {"message": "no such model", "code": "invalid_value"}}'
    refusal = (head(JSON, f"content-length: {len(error)}", status="400 Bad Request"), error)
    with scripted(refusal) as server:
        expected = ask(server.url + CHAT, WAYS[way], asked())
        asking.clear()
        assert ask(server.url + CHAT, WAYS[way], UNASKED) == expected
        assert len(server.asked) == 2
    assert [(call.status, call.error_code, call.headers_ms) for call in asking] == [(400, "invalid_value", None)]


def test_a_request_that_is_no_stream_is_sent_as_it_is(asking: list[Call], provider: Provider) -> None:
    assert b"usage" in ask(provider.url + CHAT, WAYS["read()"], asked())
    assert [(call.outcome, call.input_tokens) for call in asking] == [("ok", 23)]
