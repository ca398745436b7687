"""Streams of httpx and httpx2, sync and async: however one ends there is one Call with the right outcome, and the
caller sees the same pieces and the same exceptions as without us.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import brotli
import pytest
from tests.capture.sdk.hearing import HOWS, PACKAGES, Heard, below, hear, package
from tests.capture.sdk.scripted import (
    BROKEN,
    CHAT,
    END,
    EVENTS,
    FRAMINGS,
    PAUSE,
    RESET,
    SSE,
    asked,
    chunk,
    head,
    scripted,
)

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.watching import Observer, Watch
from tachograph.testing.provider import Provider

PACKED = brotli.compress(b"".join(EVENTS))
ANSWERS = FRAMINGS | {
    "br in chunks": (
        head(SSE, "transfer-encoding: chunked", "content-encoding: br"),
        *(chunk(PACKED[at : at + 40]) for at in range(0, len(PACKED), 40)),
        END,
    )
}
UNFINISHED = (head(SSE, "transfer-encoding: chunked"), *map(chunk, EVENTS[:2]))
both = pytest.mark.parametrize("how", HOWS)
each = pytest.mark.parametrize("name", PACKAGES)


def patched(delivered: list[Call], **observed: Any) -> Patches:
    patches = Patches(Observer(delivered.extend, **observed), Guard(strict=True))
    for module, patch in TRANSPORTS:
        patches.when_imported(module, patch)
    return patches


def same(one: Heard, other: Heard) -> None:
    assert one.body == other.body
    assert (one.status, one.headers) == (other.status, other.headers)
    assert type(one.failure) is type(other.failure)
    assert str(one.failure) == str(other.failure)


@pytest.mark.parametrize("decoded", (False, True))
@pytest.mark.parametrize("framing", ANSWERS)
@both
@each
def test_the_caller_gets_the_very_pieces(name: str, how: str, framing: str, decoded: bool) -> None:
    package(name)
    calls: list[Call] = []
    with scripted(ANSWERS[framing]) as server:
        without = hear(name, how, server.url + CHAT, asked(stream=True), decoded=decoded)
        with below(name) as given:
            patches = patched(calls)
            seen = hear(name, how, server.url + CHAT, asked(stream=True), decoded=decoded)
            patches.undo()
    same(seen, without)
    if not decoded:
        assert [id(piece) for piece in seen.pieces if piece] == [id(piece) for piece in given.pieces if piece]
    (call,) = calls
    assert (call.outcome, call.input_tokens, call.output_tokens) == ("ok", 9, 4)
    assert call.headers_ms is not None
    if call.streamed:
        assert call.chunks == 2 and call.ttft_ms is not None and call.duration_ms is not None
        assert 0 < call.ttft_ms <= call.duration_ms


@pytest.mark.parametrize("broken", BROKEN)
@both
@each
def test_the_caller_gets_the_very_failure(name: str, how: str, broken: str) -> None:
    package(name)
    pieces, error_type = BROKEN[broken]
    calls: list[Call] = []
    with scripted(pieces) as server:
        without = hear(name, how, server.url + CHAT, asked(stream=True))
        with below(name) as given:
            patches = patched(calls)
            seen = hear(name, how, server.url + CHAT, asked(stream=True))
            patches.undo()
    assert without.failure is not None
    same(seen, without)
    assert seen.failure is given.failure and seen.pieces == given.pieces
    (call,) = calls
    assert (call.outcome, call.error_type) == ("error", error_type)


@both
@each
def test_no_terminal_event(name: str, how: str, calls: list[Call]) -> None:
    with scripted((*UNFINISHED, END)) as server:
        heard = hear(name, how, server.url + CHAT, asked(stream=True))
    assert heard.failure is None and heard.body == b"".join(EVENTS[:2])
    (call,) = calls
    assert (call.outcome, call.error_type, call.usage_source) == ("truncated", None, "estimated")


@both
@each
def test_gaps_are_measured(name: str, how: str, calls: list[Call]) -> None:
    with scripted((*UNFINISHED[:2], PAUSE, *map(chunk, EVENTS[1:]), END)) as server:
        hear(name, how, server.url + CHAT, asked(stream=True))
    (call,) = calls
    assert call.itl_max_ms is not None and 200 < call.itl_max_ms < 2000
    assert call.ttft_ms is not None and call.ttft_ms < 200


@both
@each
def test_the_caller_leaves_early(name: str, how: str, calls: list[Call]) -> None:
    def enough(_: Heard) -> None:
        raise StopIteration

    with scripted((*UNFINISHED, PAUSE, END)) as server:
        heard = hear(name, how, server.url + CHAT, asked(stream=True), after_piece=enough)
    assert heard.failure is None
    (call,) = calls
    assert (call.outcome, call.error_type, call.streamed) == ("aborted", "cancelled", True)


@both
@each
def test_the_caller_leaves_when_all_has_come(name: str, how: str, calls: list[Call]) -> None:
    def enough(heard: Heard) -> None:
        if b"[DONE]" in heard.body:
            raise StopIteration

    with scripted((UNFINISHED[0], *map(chunk, EVENTS), PAUSE, END)) as server:
        hear(name, how, server.url + CHAT, asked(stream=True), after_piece=enough)
    (call,) = calls
    assert (call.outcome, call.input_tokens) == ("ok", 9)


@both
@each
def test_the_consumer_raises(name: str, how: str, calls: list[Call]) -> None:
    error = RuntimeError("of the caller")

    def fail(_: Heard) -> None:
        raise error

    with scripted((*UNFINISHED, PAUSE, END)) as server:
        heard = hear(name, how, server.url + CHAT, asked(stream=True), after_piece=fail)
    assert heard.failure is error
    (call,) = calls
    assert (call.outcome, call.error_type) == ("aborted", "cancelled")


@both
@each
def test_the_caller_loses_patience(name: str, how: str, calls: list[Call]) -> None:
    with scripted((*UNFINISHED, PAUSE, END)) as server:
        heard = hear(name, how, server.url + CHAT, asked(stream=True), timeout=0.1)
    assert isinstance(heard.failure, package(name).ReadTimeout)
    (call,) = calls
    assert (call.outcome, call.error_type, call.status) == ("error", "timeout", 200)


@both
@each
def test_nobody_answers(name: str, how: str, calls: list[Call]) -> None:
    with scripted((PAUSE, RESET)) as server:
        heard = hear(name, how, server.url + CHAT, asked(), timeout=0.1)
    assert isinstance(heard.failure, package(name).ReadTimeout)
    (call,) = calls
    assert (call.outcome, call.error_type, call.status) == ("error", "timeout", None)


@pytest.mark.parametrize("answer", ((PAUSE, RESET), (*UNFINISHED, PAUSE, PAUSE, END)))
@each
def test_a_task_is_cancelled(name: str, answer: tuple[bytes, ...], calls: list[Call]) -> None:
    """While it waits for the answer, and in the midst of it."""
    module = package(name)

    async def work() -> None:
        async with module.AsyncClient() as client, client.stream("POST", url, json=asked(stream=True)) as response:
            async for _ in response.aiter_raw():
                pass

    async def run() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with scripted(answer) as server:
        url = server.url + CHAT
        asyncio.run(run())
    (call,) = calls
    assert (call.outcome, call.error_type, call.streamed) == ("aborted", "cancelled", True)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("begun", (True, False))
@each
def test_an_abandoned_answer(name: str, begun: bool, calls: list[Call]) -> None:
    module = package(name)
    with scripted((*UNFINISHED, PAUSE, END)) as server:
        client = module.Client()
        response = client.send(client.build_request("POST", server.url + CHAT, json=asked(stream=True)), stream=True)
        pieces = response.iter_raw()
        if begun:
            next(pieces)
        assert calls == []
        del response, pieces, client
        gc.collect()
    (call,) = calls
    assert (call.outcome, call.error_type) == ("aborted", "cancelled")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("begun", (True, False))
@each
def test_an_abandoned_answer_of_a_task(name: str, begun: bool, calls: list[Call]) -> None:
    module = package(name)

    async def work() -> None:
        client = module.AsyncClient()
        request = client.build_request("POST", server.url + CHAT, json=asked(stream=True))
        response = await client.send(request, stream=True)
        pieces = response.aiter_raw()
        if begun:
            await anext(pieces)

    async def run() -> None:
        await work()
        gc.collect()
        await asyncio.sleep(0.01)

    with scripted((*UNFINISHED, PAUSE, END)) as server:
        asyncio.run(run())
    gc.collect()
    (call,) = calls
    assert (call.outcome, call.error_type) == ("aborted", "cancelled")


@each
def test_a_stream_that_breaks_by_an_error_event(name: str, provider: Provider, calls: list[Call]) -> None:
    hear(name, "sync", provider.url + CHAT, asked("stream_error", stream=True))
    hear(name, "async", provider.url + CHAT, asked("stream_cut", stream=True))
    assert [(call.outcome, call.error_type) for call in calls] == [("error", "provider_error"), ("error", "network")]


def test_two_threads_end_it_once() -> None:
    delivered: list[Call] = []
    observer = Observer(delivered.extend)
    for _ in range(200):
        watch = observer.begin("httpx", "POST", "https://api.openai.com" + CHAT, {}, b"{}")
        assert isinstance(watch, Watch)
        watch.answered(200, {"content-type": SSE})
        threads = [threading.Thread(target=end) for end in (watch.closed, watch.complete, watch.closed)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(delivered) == 200
