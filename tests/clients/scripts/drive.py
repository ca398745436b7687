"""Runs inside the environment of a client library: every way to ask that it has, under `tachograph.instrument`.

In: the `Api`s of a library (how one API is asked: whole and streamed, sync and async). Out: a line of JSON for each
case: what the caller got, which Calls were told, and what the simulated provider really served.
Each vendor has four providers of its own, so that what `hosts` says names the vendor: one that answers at once, one
whose pieces come apart, one that is late, one that stalls after its first piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tachograph.call import Call, to_dict
from tachograph.testing.provider import Provider

QUESTION = "What is six times seven? scenario:"
KEY = "planted-key-7f3a"
GPT, EMBEDDER, CLAUDE = "gpt-5-mini", "text-embedding-3-small", "claude-sonnet-4-5"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PATIENCE_SECONDS = 30.0
TIMEOUT_SECONDS = 0.2
CLOSED_AFTER = 3  # pieces of a stream that is let go
WAITS = {"quick": (0.0, 0.0), "apart": (0.0, 0.06), "late": (0.8, 0.0), "stalled": (0.0, 0.8)}

OURS = {"tachograph", "__main__", "__mp_main__", *(path.stem for path in Path(__file__).parent.glob("*.py"))}
_OF_THE_ENVIRONMENT = {"_virtualenv", "_distutils_hack", "sitecustomize"}

# What a client may try again: a whole answer, one that is late, a stream, and the same of an asynchronous client.
EVERY, NEVER = frozenset(("whole", "late", "stream", "async")), frozenset[str]()

Told = dict[str, Any]
Case = tuple[str, Callable[[], Any], dict[str, Any]]


@dataclass(frozen=True)
class Options:
    """How a client is to be made: where the vendor is, how often it tries again, how long it waits."""

    url: str
    retries: int = 0
    timeout_seconds: float = PATIENCE_SECONDS


@dataclass(frozen=True)
class Way:
    """How one client asks. whole: the answer to a question, told. stream: opens a stream, an iterable of pieces."""

    whole: Callable[[str], Any] | None = None
    stream: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class Api:
    """One API of a library. sync, asynchronous: make a client of it. told: what the caller sees in an answer, in
    words of Call (`text`, `response_id`, `response_model`, counts); of a stream it gets the list of the pieces.
    scenarios: asked whole and streamed. failures, breaks: errors before an answer, and within a stream. timeouts:
    whether the client can be told how long to wait. retries: what the client tries again where it is told to.
    refusals: how often an asynchronous client knocks where nobody
    is. lingers: it does not close a stream that was read to its end. pieces: how many a stream of a scenario has; such
    a stream shows its caller no counts. cases: more of its own.
    """

    name: str
    vendor: str
    told: Callable[[Any], Told]
    sync: Callable[[Options], Way] | None = None
    asynchronous: Callable[[Options], Way] | None = None
    scenarios: tuple[str, ...] = ("plain", "cached", "everything", "tools", "length", "filtered")
    failures: tuple[str, ...] = ("rate_limited", "bad_request", "bad_key", "server_error", "overloaded")
    retries: frozenset[str] = EVERY
    refusals: int = 1
    lingers: bool = False
    pieces: Mapping[str, int] = field(default_factory=dict)
    breaks: tuple[str, ...] = ("stream_error", "stream_cut")
    timeouts: bool = True
    cases: Callable[[Drive], list[Case]] | None = None


class Providers:
    """The simulated providers of the vendors."""

    def __init__(self, vendors: set[str]) -> None:
        self.running = {
            (vendor, kind): Provider(first_seconds=first, gap_seconds=gap).start()
            for vendor in sorted(vendors)
            for kind, (first, gap) in WAITS.items()
        }

    def url(self, vendor: str, kind: str = "quick") -> str:
        return self.running[vendor, kind].url

    def hosts(self) -> dict[str, str]:
        return {each.url.removeprefix("http://"): vendor for (vendor, _), each in self.running.items()}

    def take(self) -> list[dict[str, Any]]:
        """What was served since the last time, in the order of the vendors."""
        found = [dataclasses.asdict(served) for each in self.running.values() for served in each.served]
        for each in self.running.values():
            each.reset()
        return [served | {"scenario": served["scenario"]["name"]} for served in found]


class Drive:
    """Runs cases one after the other, and prints a line for each."""

    def __init__(self, apis: list[Api]) -> None:
        self.apis = apis
        self.providers = Providers({api.vendor for api in apis})
        self.calls: list[Call] = []
        self._asked = 0
        for name in filter(None, os.environ.get("IMPORTED_FIRST", "").split(",")):
            importlib.import_module(name)
        self._capture = _Capture(self.calls, self.providers.hosts())
        self.foreign = _foreign()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    def run(self) -> None:
        """Every case of every API."""
        wanted = sys.argv[1:]
        for api in self.apis:
            settled = False
            for name, act, expect in _cases(self, api):
                if not wanted or any(word in name for word in wanted):
                    if not settled:
                        self._once(api)
                        settled = self._settle()
                    self._case(name, act, {"vendor": api.vendor} | expect, lingers=api.lingers)
        self._capture.stop()
        self._case("afterwards", lambda: self._once(self.apis[0]), {"attempts": []}, lingers=False)
        _tell({"case": "end", "failures": self._capture.failures, "foreign": self.foreign})
        os._exit(0)  # what a library leaves running is not our business

    def _once(self, api: Api) -> Told:
        """A plain question."""
        options = Options(self.providers.url(api.vendor))
        way = api.sync(options) if api.sync else api.asynchronous(options) if api.asynchronous else Way()
        assert way.whole is not None
        answer = way.whole(self.question("plain"))
        return api.told(answer if api.sync else self.wait(answer))

    def _settle(self) -> bool:
        """Once a library has loaded all that it needs: what is there now is garbage never again."""
        self._capture.settled()
        self.calls.clear()
        self.providers.take()
        gc.collect()
        gc.freeze()
        return True

    def question(self, scenario: str) -> str:
        """A question that gets this scenario, and is never asked twice but by one that tries again."""
        self._asked += 1
        return f"{QUESTION}{scenario} ticket:{self._asked}"

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE_SECONDS))

    def _forgotten(self) -> None:
        """A stream that was neither read nor closed ends when nobody holds it, generators inside generators too."""
        for _ in range(2):
            gc.collect()
            self.wait(asyncio.sleep(0.01))

    async def under_way(self, vendor: str, kind: str) -> None:
        """Until a request has come, and a little of its answer has gone."""
        while not self.providers.running[vendor, kind].served:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)

    def _case(self, name: str, act: Callable[[], Any], expect: dict[str, Any], *, lingers: bool) -> None:
        told, raised, began = None, None, time.perf_counter()
        try:
            told = act()
        except GeneratorExit:
            raised = None  # how a generator ends that was closed
        except Exception as failure:
            raised = f"{type(failure).__name__}: {failure}"[:300]
        if "ending" in expect or lingers:
            self._forgotten()
        self._capture.settled()
        line = {
            "case": name,
            "expect": expect,
            "told": told,
            "raised": raised,
            "seconds": round(time.perf_counter() - began, 3),
            "calls": [to_dict(call) for call in self.calls],
            "served": self.providers.take(),
        }
        self.calls.clear()
        _tell(line)


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()


class _Capture:
    """`tachograph.instrument`, and what it reports."""

    def __init__(self, calls: list[Call], hosts: dict[str, str]) -> None:
        self.failures: dict[str, int] = {}
        import tachograph

        self._tachograph: Any = tachograph
        tachograph.instrument(callback=calls.append, hosts=hosts, flush_seconds=0.01)

    def settled(self) -> None:
        self._tachograph.flush()

    def stop(self) -> None:
        self.failures = self._tachograph.counts()["failures"]
        self._tachograph.uninstrument()


def _foreign() -> list[str]:
    """What is loaded beside the standard library, ourselves and what an environment loads at its start."""
    names = {name.partition(".")[0] for name in sys.modules}
    return sorted(names - set(sys.stdlib_module_names) - OURS - _OF_THE_ENVIRONMENT)


def _cases(drive: Drive, api: Api) -> Iterator[Case]:
    if api.sync is not None:
        yield from _sync_cases(drive, api, api.sync)
    if api.asynchronous is not None:
        yield from _async_cases(drive, api, api.asynchronous)
    for name, act, expect in api.cases(drive) if api.cases else ():
        yield f"{api.name}/{name}", act, expect


def _sync_cases(drive: Drive, api: Api, make: Callable[[Options], Way]) -> Iterator[Case]:
    at = drive.providers.url
    quick = make(Options(at(api.vendor)))
    if quick.whole is not None:
        whole = quick.whole
        for scenario in api.scenarios:
            yield f"{api.name}/{scenario}", lambda s=scenario: api.told(whole(drive.question(s))), {}
        for scenario in api.failures:
            yield f"{api.name}/error/{scenario}", lambda s=scenario: whole(drive.question(s)), {"raises": True}
        yield from _sync_endings(drive, api, make)
    if quick.stream is not None:
        stream = quick.stream
        for scenario in api.scenarios:
            expect = {"pieces": api.pieces[scenario]} if scenario in api.pieces else {}
            yield f"{api.name}/stream/{scenario}", lambda s=scenario: api.told(list(stream(drive.question(s)))), expect
        for scenario in api.breaks:
            expect = {"raises": None, "ending": scenario}
            yield f"{api.name}/{scenario}", lambda s=scenario: api.told(list(stream(drive.question(s)))), expect
        failing = "server_error"
        yield f"{api.name}/stream/error", lambda: list(stream(drive.question(failing))), {"raises": True}
        yield from _sync_stream_endings(drive, api, make)


def _sync_endings(drive: Drive, api: Api, make: Callable[[Options], Way]) -> Iterator[Case]:
    at = drive.providers.url
    other = make(Options(at(api.vendor).replace("127.0.0.1", "localhost"))).whole
    assert other is not None
    unknown = {"vendor": ["unknown", api.vendor]}  # the shape of a request may tell whose it is
    yield f"{api.name}/unknown_host", lambda: api.told(other(drive.question("plain"))), unknown
    if "whole" in api.retries:
        again = make(Options(at(api.vendor), retries=1)).whole
        assert again is not None
        twice = {"attempts": [0, 1]}
        yield f"{api.name}/retried", lambda: api.told(again(drive.question("rate_limited_once"))), twice
        yield f"{api.name}/retried_in_vain", lambda: again(drive.question("server_error")), twice | {"raises": True}
    if api.timeouts:
        hasty = make(Options(at(api.vendor, "late"), timeout_seconds=TIMEOUT_SECONDS)).whole
        assert hasty is not None
        expect = {"raises": True, "ending": "timeout"}
        yield f"{api.name}/timeout", lambda: hasty(drive.question("plain")), expect
    if api.timeouts and "late" in api.retries:
        patient = make(Options(at(api.vendor, "late"), retries=1, timeout_seconds=TIMEOUT_SECONDS)).whole
        assert patient is not None
        expect = {"raises": True, "ending": "timeout", "attempts": [0, 1]}
        yield f"{api.name}/timeout/retried", lambda: patient(drive.question("plain")), expect
    nobody = make(Options("http://127.0.0.1:9")).whole
    assert nobody is not None
    expect = {"raises": True, "ending": "refused", "vendor": ["unknown", api.vendor]}
    yield f"{api.name}/refused", lambda: nobody(drive.question("plain")), expect


def _sync_stream_endings(drive: Drive, api: Api, make: Callable[[Options], Way]) -> Iterator[Case]:
    slow = make(Options(drive.providers.url(api.vendor, "apart"))).stream
    assert slow is not None
    gone = {"ending": "gone"}

    def closed() -> None:
        stream = slow(drive.question("plain"))
        _first(stream)
        if hasattr(stream, "close"):
            stream.close()
        elif hasattr(stream, "__exit__"):
            stream.__exit__(None, None, None)

    def abandoned() -> None:
        _first(slow(drive.question("plain")))

    def consumer_raises() -> None:
        for count, _ in enumerate(slow(drive.question("plain")), 1):
            if count == CLOSED_AFTER:
                raise ArithmeticError("of the consumer")

    if "stream" in api.retries:
        again = make(Options(drive.providers.url(api.vendor), retries=1)).stream
        assert again is not None
        act = lambda: api.told(list(again(drive.question("rate_limited_once"))))  # noqa: E731
        yield f"{api.name}/stream/retried", act, {"attempts": [0, 1]}
    yield f"{api.name}/closed", closed, gone
    yield f"{api.name}/abandoned", abandoned, gone
    yield f"{api.name}/consumer_raises", consumer_raises, gone | {"raises": True}
    if api.timeouts:
        hasty = make(Options(drive.providers.url(api.vendor, "stalled"), timeout_seconds=TIMEOUT_SECONDS)).stream
        assert hasty is not None
        expect = {"raises": True, "ending": "timeout"}
        yield f"{api.name}/stream/timeout", lambda: list(hasty(drive.question("plain"))), expect


def _first(stream: Any) -> None:
    pieces = iter(stream)
    for _ in range(CLOSED_AFTER):
        next(pieces)


def _async_cases(drive: Drive, api: Api, make: Callable[[Options], Way]) -> Iterator[Case]:
    at, wait = drive.providers.url, drive.wait
    name = f"{api.name}/async"
    quick = make(Options(at(api.vendor)))
    if quick.whole is not None:
        whole = quick.whole
        for scenario in api.scenarios[:3]:
            yield f"{name}/{scenario}", lambda s=scenario: api.told(wait(whole(drive.question(s)))), {}
        for scenario in api.failures[:2]:
            yield f"{name}/error/{scenario}", lambda s=scenario: wait(whole(drive.question(s))), {"raises": True}
        yield from _async_endings(drive, api, make, name)
    if quick.stream is not None:
        stream = quick.stream
        for scenario in api.scenarios[:4]:
            yield f"{name}/stream/{scenario}", lambda s=scenario: api.told(wait(_listed(stream(drive.question(s))))), {}
        for scenario in api.breaks:
            expect = {"raises": None, "ending": scenario}
            yield f"{name}/{scenario}", lambda s=scenario: api.told(wait(_listed(stream(drive.question(s))))), expect
        yield from _async_stream_endings(drive, api, make, name)


def _async_endings(drive: Drive, api: Api, make: Callable[[Options], Way], name: str) -> Iterator[Case]:
    at, wait = drive.providers.url, drive.wait
    late = make(Options(at(api.vendor, "late"))).whole
    assert late is not None

    async def cancelled() -> None:
        asking = asyncio.ensure_future(late(drive.question("plain")))
        await drive.under_way(api.vendor, "late")
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking

    async def together() -> list[Told]:
        whole = make(Options(at(api.vendor))).whole
        assert whole is not None
        questions = [drive.question("plain") for _ in range(5)]
        return [api.told(answer) for answer in await asyncio.gather(*map(whole, questions))]

    yield f"{name}/cancelled", lambda: wait(cancelled()), {"ending": "gone"}
    yield f"{name}/together", lambda: wait(together()), {"attempts": [0] * 5, "together": True}
    if {"whole", "async"} <= api.retries:
        again = make(Options(at(api.vendor), retries=1)).whole
        assert again is not None
        twice = {"attempts": [0, 1]}
        yield f"{name}/retried", lambda: api.told(wait(again(drive.question("rate_limited_once")))), twice
    if api.timeouts:
        hasty = make(Options(at(api.vendor, "late"), timeout_seconds=TIMEOUT_SECONDS)).whole
        assert hasty is not None
        expect = {"raises": True, "ending": "timeout"}
        yield f"{name}/timeout", lambda: wait(hasty(drive.question("plain"))), expect
    nobody = make(Options("http://127.0.0.1:9")).whole
    assert nobody is not None
    attempts = list(range(api.refusals))
    expect = {"raises": True, "ending": "refused", "vendor": ["unknown", api.vendor], "attempts": attempts}
    yield f"{name}/refused", lambda: wait(nobody(drive.question("plain"))), expect


def _async_stream_endings(drive: Drive, api: Api, make: Callable[[Options], Way], name: str) -> Iterator[Case]:
    slow = make(Options(drive.providers.url(api.vendor, "apart"))).stream
    assert slow is not None
    gone = {"ending": "gone"}

    async def closed() -> None:
        stream = await opened(slow(drive.question("plain")))
        pieces = stream.__aiter__()
        for _ in range(CLOSED_AFTER):
            await pieces.__anext__()
        await _closing(stream)

    async def cancelled() -> None:
        reading = asyncio.ensure_future(_listed(slow(drive.question("plain"))))
        await drive.under_way(api.vendor, "apart")
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading

    if {"stream", "async"} <= api.retries:
        again = make(Options(drive.providers.url(api.vendor), retries=1)).stream
        assert again is not None
        act = lambda: api.told(drive.wait(_listed(again(drive.question("rate_limited_once")))))  # noqa: E731
        yield f"{name}/stream/retried", act, {"attempts": [0, 1]}
    yield f"{name}/stream/closed", lambda: drive.wait(closed()), gone
    yield f"{name}/stream/cancelled", lambda: drive.wait(cancelled()), gone


async def _closing(stream: Any) -> None:
    for name in ("aclose", "close"):
        if hasattr(stream, name):
            await getattr(stream, name)()
            return
    await stream.__aexit__(None, None, None)


async def opened(stream: Any) -> AsyncIterator[Any]:
    """A stream: some libraries give one, some a promise of one."""
    if hasattr(stream, "__aiter__"):
        return stream  # type: ignore[no-any-return]
    return await stream  # type: ignore[no-any-return]


async def _listed(stream: Any) -> list[Any]:
    return [piece async for piece in await opened(stream)]


def tokens(**counts: Any) -> Told:
    """Counts in words of Call, without those that the answer does not have."""
    return {name: count for name, count in counts.items() if count is not None}
