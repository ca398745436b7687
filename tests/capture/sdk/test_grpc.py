"""xAI over gRPC, sync and async: each call is a Call, with its counts, however it ends; nothing is changed."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tachograph.call import Call
from tachograph.capture.sdk.patching import Patches

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

from tests.capture.sdk.xai_server import CHUNK, GET, Chunk, Request, Response, asked, served  # noqa: E402

SERIALIZE: Callable[[Any], bytes] = Request.SerializeToString


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server, where = served()
    yield where
    server.stop(None).wait()


@pytest.fixture
def channel(address: str) -> Iterator[Any]:
    with grpc.insecure_channel(address) as opened:
        yield opened


def get(channel: Any, method: str = GET) -> Any:
    return channel.unary_unary(method, SERIALIZE, Response.FromString)


def stream(channel: Any) -> Any:
    return channel.unary_stream(CHUNK, SERIALIZE, Chunk.FromString)


def run(address: str, work: Callable[[Any], Coroutine[Any, Any, Any]], **named: Any) -> Any:
    async def inside() -> Any:
        async with grpc.aio.insecure_channel(address, **named) as opened:
            return await work(opened)

    return asyncio.run(inside())


def settled(calls: list[Call], count: int = 1) -> list[Call]:
    """`calls`, once gRPC's own thread has told the end."""
    until = time.monotonic() + 3
    while len(calls) < count and time.monotonic() < until:
        gc.collect()
        time.sleep(0.005)
    return calls


def check(call: Call, *, streamed: bool) -> None:
    assert (call.provider, call.api, call.operation, call.status, call.outcome) == (
        "x_ai",
        "xai.chat",
        "chat",
        200,
        "ok",
    )
    assert (call.request_model, call.response_model, call.response_id) == ("grok-4.3", "grok-4.3-0901", "resp-1")
    assert (call.finish_reason, call.streamed, call.service_tier) == ("stop", streamed, "default")
    assert (call.input_uncached, call.cache_read, call.output_visible, call.output_reasoning) == (24, 17, 11, 128)
    assert (call.total_tokens, call.max_output_tokens, call.user_id) == (180, 77, "someone")
    assert (call.cost_usd, call.cost_source) == (Decimal("0.0012345000"), "provider")
    assert call.price_context["web_searches"] == "3"
    assert call.source.endswith(" grpc")
    assert (call.headers_ms, call.ttft_ms is not None) == (None, streamed)


def test_one_answer(channel: Any, calls: list[Call]) -> None:
    assert get(channel)(asked()).outputs[0].message.content == "42"
    answer, call = get(channel).with_call(asked(), metadata=(("authorization", "Bearer none"),))
    assert (answer.id, call.code()) == ("resp-1", grpc.StatusCode.OK)
    assert get(channel).future(asked()).result().id == "resp-1"
    for each in settled(calls, 3):
        check(each, streamed=False)
    assert len(calls) == 3


def test_a_stream(channel: Any, calls: list[Call]) -> None:
    assert len(list(stream(channel)(asked()))) == 3
    check(*settled(calls), streamed=True)
    assert calls[0].chunks == 3


def test_a_stream_in_one_thread(address: str, calls: list[Call]) -> None:
    option = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)
    with grpc.insecure_channel(address, options=(option,)) as opened:
        assert len(list(stream(opened)(asked()))) == 3
    check(*settled(calls), streamed=True)


def test_async(address: str, calls: list[Call]) -> None:
    async def work(opened: Any) -> None:
        assert (await get(opened)(asked())).id == "resp-1"
        assert len([chunk async for chunk in stream(opened)(asked())]) == 3
        reading = stream(opened)(asked())
        while await reading.read() is not grpc.aio.EOF:
            pass
        assert await reading.code() is grpc.StatusCode.OK

    run(address, work)
    for each, streamed in zip(calls, (False, True, True), strict=True):
        check(each, streamed=streamed)


class Passing(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor
):  # as xai-sdk sets a time limit and credentials
    def intercept_unary_unary(self, go: Any, details: Any, request: Any) -> Any:
        return go(details._replace(metadata=[("x", "y")]), request)

    intercept_unary_stream = intercept_unary_unary


class PassingUnary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_unary(self, go: Any, details: Any, request: Any) -> Any:
        return await go(details, request)


class PassingStream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_stream(self, go: Any, details: Any, request: Any) -> Any:
        return await go(details, request)


def test_below_interceptors(channel: Any, address: str, calls: list[Call]) -> None:
    intercepted = grpc.intercept_channel(channel, Passing(), Passing())
    assert get(intercepted)(asked()).id == "resp-1"
    assert len(list(stream(intercepted)(asked()))) == 3

    async def work(opened: Any) -> None:
        assert (await get(opened)(asked())).id == "resp-1"
        assert len([chunk async for chunk in stream(opened)(asked())]) == 3

    run(address, work, interceptors=[PassingUnary(), PassingStream()])
    for each, streamed in zip(settled(calls, 4), (False, True, False, True), strict=True):
        check(each, streamed=streamed)


ENDS = {
    "RESOURCE_EXHAUSTED": (429, "error", "rate_limited"),
    "UNAVAILABLE": (503, "error", "provider_overloaded"),
    "UNAUTHENTICATED": (401, "error", "client_auth"),
    "PERMISSION_DENIED": (403, "error", "client_auth"),
    "INVALID_ARGUMENT": (400, "error", "client_bad_request"),
    "NOT_FOUND": (404, "error", "client_not_found"),
    "INTERNAL": (500, "error", "provider_error"),
    "UNKNOWN": (500, "error", "provider_error"),
    "DEADLINE_EXCEEDED": (None, "error", "timeout"),
    "CANCELLED": (None, "aborted", "cancelled"),
}


@pytest.mark.parametrize("code", ENDS)
def test_errors(channel: Any, address: str, calls: list[Call], code: str) -> None:
    def ask() -> None:
        get(channel)(asked(code))

    def read() -> None:
        list(stream(channel)(asked(code)))

    for way in (ask, read):
        with pytest.raises(grpc.RpcError) as raised:
            way()
        assert (raised.value.code().name, raised.value.details()) == (code, "told to fail")

    async def work(opened: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await get(opened)(asked(code))
        assert (failed.value.code().name, failed.value.details()) == (code, "told to fail")
        with pytest.raises(grpc.aio.AioRpcError):
            [chunk async for chunk in stream(opened)(asked(code))]

    run(address, work)
    told = [(call.status, call.outcome, call.error_type) for call in settled(calls, 4)]
    assert told == [ENDS[code]] * 4
    assert [call.error_code for call in calls] == [code if ENDS[code][0] else None] * 4
    assert [call.streamed for call in calls] == ([False] * 4 if ENDS[code][0] else [False, True, False, True])


def test_an_error_in_the_middle(channel: Any, calls: list[Call]) -> None:
    with pytest.raises(grpc.RpcError):
        list(stream(channel)(asked("break")))
    (call,) = settled(calls)
    assert (call.status, call.outcome, call.error_type, call.response_id) == (200, "error", "rate_limited", "resp-1")


def test_nobody_listens(calls: list[Call]) -> None:
    with grpc.insecure_channel("127.0.0.1:1") as opened, pytest.raises(grpc.RpcError):
        get(opened)(asked())
    assert [(call.status, call.outcome, call.error_type) for call in calls] == [(None, "error", "network")]


def test_a_timeout(channel: Any, address: str, calls: list[Call]) -> None:
    with pytest.raises(grpc.RpcError):
        get(channel)(asked("slow"), timeout=0.1)
    with pytest.raises(grpc.RpcError):
        list(stream(channel)(asked("slow"), timeout=0.2))

    async def work(opened: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await get(opened)(asked("slow"), timeout=0.1)

    run(address, work)
    assert [(call.outcome, call.error_type) for call in settled(calls, 3)] == [("error", "timeout")] * 3


@pytest.mark.parametrize("leave", ["cancel", "drop"])
def test_the_caller_leaves(channel: Any, calls: list[Call], leave: str) -> None:
    running = stream(channel)(asked("slow"))
    assert next(running).id == "resp-1"
    assert next(running).id == "resp-1"
    if leave == "cancel":
        running.cancel()
    del running
    (call,) = settled(calls)
    assert (call.outcome, call.error_type, call.response_id) == ("aborted", "cancelled", "resp-1")


@pytest.mark.parametrize("intercepted", [False, True])
@pytest.mark.parametrize("leave", ["cancel", "break", "cancelled task"])
def test_the_caller_leaves_async(address: str, calls: list[Call], leave: str, intercepted: bool) -> None:
    async def work(opened: Any) -> None:
        async def read() -> None:
            running = stream(opened)(asked("slow"))
            async for _ in running:
                if leave == "cancel":
                    running.cancel()
                    break
                if leave == "break":
                    break

        task = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task])

    run(address, work, interceptors=[PassingStream()] if intercepted else None)
    assert [(call.outcome, call.error_type) for call in settled(calls)] == [("aborted", "cancelled")]


def test_tools(channel: Any, calls: list[Call]) -> None:
    get(channel)(asked("tools"))
    assert [(call.finish_reason, call.tool_calls) for call in calls] == [("tool_calls", 1)]  # the other one xAI ran


def test_what_is_no_call_to_a_model_passes(channel: Any, calls: list[Call]) -> None:
    assert get(channel, "/example.Other/Echo")(asked()).id == "echo"
    raw = channel.unary_unary("/example.Other/Echo")
    assert raw(b"") == Response(id="echo").SerializeToString()
    assert calls == []


def test_a_stub_that_was_made_before_is_watched_and_left_again(
    channel: Any, calls: list[Call], patches: Patches
) -> None:
    stub = get(channel)
    stub(asked())
    patches.undo()
    stub(asked())
    assert len(calls) == 1
    owners = (grpc._channel._UnaryUnaryMultiCallable, grpc._channel._UnaryStreamMultiCallable)
    assert [owner for owner in owners if hasattr(owner.__call__, "__tachograph__")] == []
    assert not hasattr(grpc.aio._call.UnaryUnaryCall.__init__, "__tachograph__")


def test_the_clients_of_xai(address: str, calls: list[Call]) -> None:
    xai = pytest.importorskip("xai_sdk", reason="xai-sdk is not installed")
    from xai_sdk.chat import user

    client = xai.Client(api_key="none", api_host=address, use_insecure_channel=True)
    chat = client.chat.create(model="grok-4.3", messages=[user("plain")], max_tokens=77, user="someone")
    assert chat.sample().content == "42"
    assert [chunk.content for _, chunk in chat.stream()] == ["", "4", "2"]
    client.close()

    async def work() -> None:
        client = xai.AsyncClient(api_key="none", api_host=address, use_insecure_channel=True)
        chat = client.chat.create(model="grok-4.3", messages=[user("plain")], max_tokens=77, user="someone")
        assert (await chat.sample()).content == "42"
        assert [chunk.content async for _, chunk in chat.stream()] == ["", "4", "2"]
        await client.close()

    asyncio.run(work())
    for each, streamed in zip(settled(calls, 4), (False, True, False, True), strict=True):
        check(each, streamed=streamed)
