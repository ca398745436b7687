"""Whatever function of ours fails: the caller sees the provider's answer, and the failure is counted.

Every function of the SDK's door, of the wire room and of the record itself is made to raise in turn, and `deliver` too,
while requests are sent: plain and streamed, sync and async, asking for usage, abandoned, and while a package is
imported.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import httpx2
import pytest
from tests.capture.sdk.faults import forget, functions, raising, traced

from tachograph.call import Call
from tachograph.capture.sdk.context import context
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.later import Later
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import httpx as transport
from tachograph.capture.sdk.watching import Circumstances, Observer
from tachograph.testing.provider import Provider

ROOMS = ("tachograph.capture.sdk", "tachograph.wire", "tachograph.call")
# The guard is what is tested; the words of the context are the caller's own calls, which may say that they are wrong;
# what stands in the sender's queue is the sender's to guard.
NOT_OURS = (
    "sdk.guard",
    "sdk.context",
    "sdk.asgi",
    "sdk.wsgi",
    "sdk.threads",
    "sdk.settings",
    "sdk.recording",
    "sdk.later",
    "sdk.watching.Unread.read",
)
FUNCTIONS = {
    name: function
    for name, function in functions(*ROOMS).items()
    if not any(f"tachograph.capture.{room}" in name for room in NOT_OURS)
}
OTHERS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse": {"contents": []},
    "/model/anthropic.claude/converse-stream": {"messages": []},
    "/v2/chat": {"messages": []},
    "/api/chat": {"messages": []},
}
TLS = ssl.create_default_context()  # reading the certificates takes longer than a round
STREAM = {"stream": True}
COUNTED = {"stream": True, "stream_options": {"include_usage": True}}
Send = Callable[..., list[tuple[int, bytes]]]


def patched(
    guard: Guard,
    deliver: Callable[[Sequence[Call]], None],
    *,
    include_usage: bool = False,
    waiting: list[Later] | None = None,
) -> Patches:
    """waiting: what is read later is put there; None: everything is read at once, and priced."""
    circumstances = Circumstances({"team": "search"}, b"secret", hash_user=True)
    observer = Observer(
        deliver,
        None,
        circumstances,
        defer=None if waiting is None else lambda watch: waiting.append(Later(watch, guard)),
        price=None if waiting is not None else lambda call: None,
        include_usage=include_usage,
    )
    patches = Patches(observer, guard)
    patches.when_imported("httpx2", transport.patch)
    return patches


def streams(url: str, stream: dict[str, Any] = STREAM) -> list[tuple[int, bytes]]:
    """Two requests of a client that was there before: plain and streamed; then one that is left at its first piece."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
    with httpx2.Client(verify=TLS) as client, context(user="jo", tags={"tier": "gold"}):
        plain = client.post(url + "/v1/chat/completions", json=body, headers={"authorization": "Bearer sk-1"})
        streamed = client.post(url + "/v1/chat/completions", json=body | stream)
        with client.stream("POST", url + "/v1/chat/completions", json=body | stream) as left:
            first = next(left.iter_raw())
    return [_answer(plain), _answer(streamed), (left.status_code, first[:6])]


def tasks(url: str, stream: dict[str, Any] = STREAM) -> list[tuple[int, bytes]]:
    """The same, awaited; one that fails and is tried again; and one that is refused."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}

    async def work() -> list[Any]:
        async with httpx2.AsyncClient(verify=TLS) as client:
            path = url + "/v1/chat/completions"
            failing = {"x-scenario": "rate_limited"}
            return [
                await client.post(path, json=body),
                await client.post(path, json=body | stream),
                await client.post(path, json=body, headers=failing),
                await client.post(path, json=body, headers=failing),
                await client.post(path, json=body | stream, headers={"x-scenario": "bad_request"}),
            ]

    return [_answer(answer) for answer in asyncio.run(work())]


def others(url: str, stream: dict[str, Any] = STREAM) -> list[tuple[int, bytes]]:
    """The other formats that the simulated provider speaks."""
    with httpx2.Client(verify=TLS) as client:
        bodies = [(path, body | {"model": "m"} | stream) for path, body in OTHERS.items()]
        return [_answer(client.post(url + path, json=body)) for path, body in bodies]


def _answer(response: Any) -> tuple[int, bytes]:
    """Without what differs from answer to answer: ids."""
    text = response.content
    for word in (b"chatcmpl-", b"resp_", b"msg_", b'"id": "', b'"responseId": "', b"tooluse_"):
        while word in text:
            at = text.index(word)
            text = text[:at] + text[at + len(word) :].lstrip(b"0123456789abcdef-")
    return response.status_code, text[:200] + text[-200:] if b"eventstream" not in text else b""


class Fault:
    """Rounds with one function raising in each."""

    def __init__(self, provider: Provider, send: Send, *, include_usage: bool = False, later: bool = False) -> None:
        self.url, self.send, self.include_usage, self.later = provider.url, send, include_usage, later
        self.expected = send(self.url)
        # Where hiding fails, the caller gets what the provider really sent.
        self.accepted = send(self.url, COUNTED) if include_usage else self.expected

    def round(self, function: FunctionType | None, deliver: Callable[[Sequence[Call]], None]) -> Guard:
        guard = Guard()
        waiting: list[Later] = []
        patches = patched(guard, deliver, include_usage=self.include_usage, waiting=waiting if self.later else None)
        try:
            if function is None:
                assert self.send(self.url) == self.expected
            else:
                forget(*ROOMS)
                with raising(function):
                    given = self.send(self.url)
                    gc.collect(0)
                    for each in waiting:
                        each.calls()
                for answer, expected, accepted in zip(given, self.expected, self.accepted, strict=True):
                    assert answer in (expected, accepted), function
        finally:
            patches.undo()
        return guard


def silent(_: Sequence[Call]) -> None:
    return None


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.CRITICAL, "tachograph.sdk")
    yield


# A finalizer of half an object complains; nobody but the one who reads the log can tell.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("send", "include_usage", "later"), ((streams, False, False), (streams, False, True), (tasks, True, False))
)
def test_every_function_that_runs_fails_in_turn(
    provider: Provider, send: Send, include_usage: bool, later: bool
) -> None:
    fault = Fault(provider, send, include_usage=include_usage, later=later)
    waiting: list[Later] = []
    patches = patched(Guard(strict=True), silent, include_usage=include_usage, waiting=waiting if later else None)
    with traced(FUNCTIONS) as ran:
        assert send(provider.url) == fault.expected
        for each in waiting:
            each.calls()
    patches.undo()
    assert len(ran) > 80
    assert [name for name in sorted(ran) if not fault.round(FUNCTIONS[name], silent).failures] == []


@pytest.mark.long
@pytest.mark.parametrize("send", (streams, tasks, others))
def test_every_function_fails_in_turn(provider: Provider, send: Send) -> None:
    fault = Fault(provider, send, include_usage=True)
    assert len(FUNCTIONS) > 500
    for function in FUNCTIONS.values():
        fault.round(function, silent)


@pytest.mark.parametrize("send", (streams, tasks))
def test_deliver_fails(provider: Provider, send: Send) -> None:
    def deliver(_: Sequence[Call]) -> None:
        raise OSError("away")

    fault = Fault(provider, send)
    told: list[Call] = []
    fault.round(None, told.extend)
    assert sum(fault.round(None, deliver).failures.values()) == len(told)


def test_each_call_that_is_missing_is_counted_once(provider: Provider) -> None:
    """What fails for every piece of a stream is one call that was not recorded, not twenty."""
    fault = Fault(provider, streams)
    whole: list[Call] = []
    fault.round(None, whole.extend)
    for name in ("reader.Reader.feed", "reader.Reader.close", "watching.Watch._complete", "call.derive_id"):
        function = next(each for full, each in FUNCTIONS.items() if full.endswith(name))
        told: list[Call] = []
        guard = fault.round(function, told.extend)
        assert told == []
        assert sum(guard.failures.values()) == len(whole), name


def test_a_price_that_fails_keeps_no_call_back(provider: Provider) -> None:
    def price(_: Call) -> None:
        raise LookupError("no price")

    told: list[Call] = []
    guard = Guard()
    patches = Patches(Observer(told.extend, price=price), guard)
    patches.when_imported("httpx2", transport.patch)
    assert streams(provider.url)[0][0] == 200
    patches.undo()
    assert len(told) == 3 == sum(guard.failures.values())


def test_a_package_is_imported_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "awaited_package.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def patch(_: ModuleType, __: Patches) -> None:
        raise RuntimeError("cannot be wrapped")

    ours = {name: function for name, function in FUNCTIONS.items() if ".patching." in name}
    assert len(ours) > 5
    for function in (None, *ours.values()):
        sys.modules.pop("awaited_package", None)
        guard = Guard()
        patches = Patches(Observer(silent), guard)
        patches.when_imported("awaited_package", patch)
        try:
            if function is None:
                assert importlib.import_module("awaited_package").VALUE == 1
                assert sum(guard.failures.values()) == 1
            else:
                with raising(function):
                    assert importlib.import_module("awaited_package").VALUE == 1
        finally:
            patches.undo()


def test_a_finalizer_that_fails_is_counted(provider: Provider) -> None:
    guard = Guard()
    patches = patched(guard, silent)
    end = next(each for name, each in FUNCTIONS.items() if name.endswith("Watch.closed"))
    with httpx2.Client(verify=TLS) as client, raising(end):
        body = {"model": "gpt-5", "stream": True, "messages": []}
        response = client.send(
            client.build_request("POST", provider.url + "/v1/chat/completions", json=body), stream=True
        )
        del response
        gc.collect()
    patches.undo()
    assert dict(guard.failures) == {"ZeroDivisionError in Watch.closed": 1}


def test_many_threads_fail_at_once(provider: Provider) -> None:
    def deliver(_: Sequence[Call]) -> None:
        raise OSError("away")

    guard = Guard()
    patches = patched(guard, deliver)
    threads = [threading.Thread(target=streams, args=(provider.url,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    patches.undo()
    assert sum(guard.failures.values()) == 8 * 3
